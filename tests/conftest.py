"""Shared by all tests: third-party plugins that happen to be installed stay out, and child processes are simple."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import unirestorer

os.environ["UNIRESTORER_DISABLE_PLUGINS"] = "all"
os.environ["UNIRESTORER_CACHE"] = tempfile.mkdtemp(prefix="unirestorer-cache-")
atexit.register(shutil.rmtree, os.environ["UNIRESTORER_CACHE"], ignore_errors=True)

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """``run_python(code, *paths, **environment)`` runs ``code`` in a fresh interpreter with ``paths`` importable.

    The package is importable, third-party plugins are on, and the working directory is empty.
    """
    home = tmp_path / "empty-home"
    home.mkdir()

    def run(code: str, *paths: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {key: value for key, value in os.environ.items() if not key.startswith("UNIRESTORER_")}
        package_root = str(Path(str(unirestorer.__file__)).parents[1])
        variables |= {"PYTHONPATH": os.pathsep.join([*map(str, paths), package_root]), "OMP_NUM_THREADS": "1"}
        variables["UNIRESTORER_CACHE"] = os.environ["UNIRESTORER_CACHE"]
        command = [sys.executable, "-W", "error", "-c", code]
        return subprocess.run(command, cwd=home, env=variables | environment, capture_output=True, text=True)

    return run
