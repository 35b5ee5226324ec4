"""The embedded model on the photos that the README restores, through the command line as a user runs it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unirestorer
from unirestorer.core.evaluating.metrics import psnr
from unirestorer.core.images import load
from unirestorer.registry import open_registry, verify

ROOT = Path(__file__).parents[1]
PHOTOS = sorted((ROOT / "examples" / "photos").iterdir())
DAMAGED = [path for path in PHOTOS if not path.stem.endswith("clean")]
MAIN = [sys.executable, "-m", "unirestorer"]


def truth(photo: Path) -> np.ndarray:
    """The clean original of an example called ``name-damage.png``."""
    return load(ROOT / "examples" / "clean" / f"{photo.stem.rsplit('-', 1)[0]}.jpg").eight


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("restored")
    command = [
        *MAIN,
        "restore",
        str(ROOT / "examples" / "photos"),
        "-o",
        str(out),
        "--report",
        str(out / "report.json"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return out


def test_the_embedded_model_is_whole_and_small() -> None:
    path = Path(str(files("unirestorer") / "model.zarr.zip"))
    assert path.stat().st_size < 25_000_000
    assert verify(open_registry(path)) == []


@pytest.mark.parametrize("photo", DAMAGED, ids=lambda path: path.stem)
def test_every_damaged_example_gets_better(restored: Path, photo: Path) -> None:
    before, after = psnr(load(photo).eight, truth(photo)), psnr(load(restored / photo.name).eight, truth(photo))
    assert after > before + 0.5


@pytest.mark.parametrize("photo", DAMAGED, ids=lambda path: path.stem)
def test_the_report_names_the_damage(restored: Path, photo: Path) -> None:
    report = json.loads((restored / "report.json").read_text())
    (entry,) = (item for item in report if Path(item["source"]).name == photo.name)
    types = entry["type_probabilities"]
    assert max(types, key=types.get) == photo.stem.rsplit("-", 1)[1]


def test_a_clean_photo_comes_back_byte_for_byte(restored: Path) -> None:
    (clean,) = (path for path in PHOTOS if path.stem.endswith("clean"))
    assert (restored / clean.name).read_bytes() == clean.read_bytes()


def test_restoring_twice_gives_equal_bytes(tmp_path: Path) -> None:
    photo = load(DAMAGED[0]).pixels
    one, two = (hashlib.sha256(unirestorer.restore(photo).pixels.tobytes()).hexdigest() for _ in range(2))
    assert one == two


def test_naming_the_damage_uses_its_experts() -> None:
    estimate = unirestorer.diagnose(DAMAGED[0], task="haze")
    assert estimate.task == "haze"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process alone is read from /proc")
def test_a_photo_of_12_megapixels_stays_under_one_gigabyte(tmp_path: Path) -> None:
    small = Image.open(ROOT / "examples" / "photos" / DAMAGED[0].name).convert("RGB")
    small.resize((4000, 3000)).save(tmp_path / "big.jpg")
    command = [*MAIN, "restore", str(tmp_path / "big.jpg"), "-o", str(tmp_path / "out.png"), "--task", "noise"]
    # Not ru_maxrss: a child begins with that of its parent, which is this test run.
    report = "import atexit, re, runpy, sys\n"
    report += "atexit.register(lambda: print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]))\n"
    report += "sys.argv[:1] = []; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    arguments = [sys.executable, "-c", report, *command[2:]]
    result = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert int(result.stdout.split()[-1]) * 1024 < 10**9
    with Image.open(tmp_path / "out.png") as restored:
        assert restored.size == (4000, 3000)
