"""What ``unirestorer plugins`` takes as a process: ``python -m pytest tests/benchmarks --benchmark-only``."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.benchmark(group="the command line as a process")
@pytest.mark.parametrize("arguments", [["plugins"], ["plugins", "--json"], ["--help"]], ids=" ".join)
def test_command(benchmark: Any, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "unirestorer", *arguments]
    done = benchmark(subprocess.run, command, capture_output=True, check=True)
    assert b"plugins" in done.stdout or b"degradation" in done.stdout
