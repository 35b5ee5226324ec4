"""A folder of 200 small files against a loop of single commands, and how many workers pay."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unirestorer import api
from unirestorer.core.batch import Rules, Settings, plan, run

FILES, ALONE = 200, 10
"""Files of the folder; of these as many are restored by a command each, and the rest is taken to last as long."""
PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def program(*arguments: object) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "unirestorer", *map(str, arguments)], check=True, capture_output=True)
    return time.perf_counter() - start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of 160 x 120 pixels of the example photos, all damages in turn."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.iterdir()) if path.suffix in (".png", ".jpg")]
    for index in range(FILES):
        photo = photos[index % len(photos)]
        left, top = (int(random.integers(0, side)) for side in (photo.width - 160, photo.height - 120))
        photo.crop((left, top, left + 160, top + 120)).save(folder / f"{index:03}.png")
    return folder


def test_a_folder_against_single_commands(benchmark: Any, folder: Path, tmp_path: Path) -> None:
    sources = sorted(folder.iterdir())
    program("restore", sources[0], "-o", tmp_path / "warm")  # compiled networks are kept on disk
    alone = [program("restore", source, "-o", tmp_path / "alone") for source in sources[:ALONE]]
    together = benchmark.pedantic(program, ("restore", folder, "-o", tmp_path / "together"), rounds=1)
    assert len(list((tmp_path / "together").iterdir())) == FILES
    benchmark.extra_info["single_command_seconds"] = min(alone)
    benchmark.extra_info["times_faster"] = FILES * min(alone) / together


@pytest.mark.parametrize("runtime", ["auto", "eager"])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers(benchmark: Any, folder: Path, tmp_path: Path, runtime: str, workers: int) -> None:
    restorer = api.load(runtime=runtime).restorer
    jobs = plan([folder], tmp_path, Rules(overwrite=True)).to_do
    restore = lambda: run(jobs, restorer, Settings(workers=workers), lambda outcome: None)  # noqa: E731
    benchmark.pedantic(restore, rounds=3, warmup_rounds=1)
    benchmark.extra_info["files_per_second"] = FILES / benchmark.stats["min"]
