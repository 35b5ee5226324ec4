"""How long the program takes from cold: its help, and a first small photo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "osprey-rain.png"


def program(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "unirestorer", *map(str, arguments)], check=True, capture_output=True)


def test_help(benchmark: Any) -> None:
    benchmark.pedantic(program, ("--help",), rounds=5, warmup_rounds=1)
    benchmark.extra_info["limit_seconds"] = 0.4


@pytest.mark.parametrize("runtime", ["auto", "eager"])
def test_first_small_restore(benchmark: Any, tmp_path: Path, runtime: str) -> None:
    arguments = ("restore", PHOTO, "-o", tmp_path, "--overwrite", "--runtime", runtime)
    benchmark.pedantic(program, arguments, rounds=5, warmup_rounds=1)
    benchmark.extra_info["limit_seconds"] = 4


def test_torch_alone(benchmark: Any) -> None:
    """What no program that uses PyTorch can be quicker than."""
    command = [sys.executable, "-c", "import torch"]
    benchmark.pedantic(subprocess.run, (command,), {"check": True}, rounds=5, warmup_rounds=1)
