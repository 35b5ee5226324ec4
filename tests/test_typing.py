"""An editor follows the public names from the wheel: mypy, without a checkout, tells the same types as the docs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("unirestorer", "core", "degradations", "plugins", "recipes", "registry")
FILES = ("pyproject.toml", "README.md", "LICENSE")
USER = """
from pathlib import Path
from typing import assert_type

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import unirestorer
from unirestorer import Estimate, Model, Result, Step, Treatment

model = unirestorer.load("model.zip", treatment=Treatment(strength=0.5), runtime="eager")
assert_type(model, Model)
assert_type(model.tasks, tuple[str, ...])
result = model.restore("a.jpg", "rain", degree="heavy", exclude=["snow", 3], licence="commercial", steps=2)
assert_type(result, Result[Image.Image])
assert_type(model.restore(Path("a.jpg")).image, Image.Image)
assert_type(model.restore(Image.open("a.jpg")).image, Image.Image)
assert_type(model.restore(np.zeros((4, 4, 3), dtype=np.uint16), strength=0.5).image, NDArray[np.uint16])
assert_type(model.restore(torch.zeros(2, 3, 8, 8)).image, torch.Tensor)
assert_type(result.route, tuple[Step, ...])
assert_type(result.route[0].estimate.task, str)
assert_type(result.notes, tuple[str, ...])
assert_type(result.save("b.jpg", quality=90), tuple[str, ...])
assert_type(model.diagnose("a.jpg", level=1), Estimate)
assert_type(unirestorer.restore("a.jpg", "rain", "model.zip", level=1), Result[Image.Image])
assert_type(unirestorer.restore(np.zeros((4, 4), dtype=np.float32)).image, NDArray[np.float32])
assert_type(unirestorer.restore(torch.zeros(3, 8, 8)).image, torch.Tensor)
assert_type(unirestorer.diagnose("a.jpg", exclude="rain"), Estimate)
assert_type(unirestorer.degrade("a.jpg", "noise", seed=3).tensor, torch.Tensor)
assert_type(unirestorer.__version__, str)
model.restore("a.jpg", strenght=0.5)  # wrong
model.restore(5)  # wrong
unirestorer.restore("a.jpg", quality=3)  # wrong
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """An environment with the wheel of this tree in it, beside everything that is installed here."""
    tree = tmp_path / "tree"
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.zip"))
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_the_types_of_the_wheel_are_those_that_are_documented(interpreter: Path, tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(USER)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "wheel"),
    ]
    done = subprocess.run(
        [*command, "--python-executable", str(interpreter), str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert "site-packages/unirestorer" not in done.stdout
    wrong = {number for number, line in enumerate(USER.splitlines(), 1) if line.endswith("# wrong")}
    told = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert told == wrong, done.stdout + done.stderr
