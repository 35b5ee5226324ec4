"""Installing distributions for real: pip builds them and copies them into a folder, without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def pip_install(target: Path, *folders: Path) -> None:
    """Build the distributions in ``folders`` with the setuptools that is here, and install them into ``target``."""
    options = ["--no-index", "--no-build-isolation", "--no-deps", "--quiet", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
