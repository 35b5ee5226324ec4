"""Peak memory of restoring large photos, each in a process of its own, by the embedded model.

``python -m pytest tests/benchmarks/test_memory.py --benchmark-only``; the figures are in ``extra_info``, the limits are
those of docs/large-photos.md. Linux only: it counts what the process itself had at most (VmHWM).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

from unirestorer.core.images import load

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "otter-noise.png"
GIGABYTE = 1000**3
CHILD = """
import json, sys, time
from pathlib import Path
import unirestorer
from unirestorer.core.instruction import Instruction
from unirestorer.core.restoring.files import deliver, load_source
def peak():
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
source, target, runtime = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
restorer = unirestorer.load(runtime=runtime).restorer
model, start = peak(), time.perf_counter()
done = restorer.restore(load_source(source, restorer.treatment), Instruction.of(task="noise"))
deliver(done, source, target)
(tiling,) = (step.tiling for step in done.route)
print(json.dumps({"peak": peak(), "model": model, "seconds": time.perf_counter() - start, "tile": tiling.side,
                  "tiles": tiling.count, "kind": type(done.image).__name__}))
"""


def made(height: int, width: int, path: Path) -> Path:
    """A photo of that size, made of a small one and its mirror images."""
    small = load(PHOTO).eight
    block = np.concatenate([small, small[:, ::-1]], axis=1)
    block = np.concatenate([block, block[::-1]], axis=0)
    pixels = np.tile(block, (-(-height // len(block)), -(-width // block.shape[1]), 1))[:height, :width].copy()
    image = pyvips.Image.new_from_memory(pixels.data, width, height, 3, "uchar").copy(interpretation="srgb")
    image.write_to_file(str(path), **({"Q": 92} if path.suffix == ".jpg" else {"compression": "deflate"}))
    return path


def measured(source: Path, runtime: str, benchmark: Any) -> dict[str, Any]:
    command = [sys.executable, "-c", CHILD, str(source), str(source.with_stem("out")), runtime]

    def run() -> dict[str, Any]:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info.update(found)
    return dict(found)


@pytest.mark.benchmark(group="peak memory")
@pytest.mark.parametrize("runtime", ["eager", "openvino"])
def test_a_photo_of_12_megapixels(runtime: str, tmp_path: Path, benchmark: Any) -> None:
    found = measured(made(3000, 4000, tmp_path / "photo.jpg"), runtime, benchmark)
    assert found["kind"] == "Picture"
    assert found["peak"] < GIGABYTE


@pytest.mark.benchmark(group="peak memory")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("runtime", ["openvino", "eager"])
def test_a_tiff_of_100_megapixels_takes_no_more_than_one_of_36(runtime: str, tmp_path: Path, benchmark: Any) -> None:
    small = made(6000, 6000, tmp_path / "small.tif")
    command = [sys.executable, "-c", CHILD, str(small), str(tmp_path / "a.tif"), runtime]
    other = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = measured(made(10000, 10000, tmp_path / "large.tif"), runtime, benchmark)
    benchmark.extra_info["peak_of_36_megapixels"] = other["peak"]
    assert found["kind"] == other["kind"] == "Streamed"
    assert found["peak"] < 1.5 * GIGABYTE
    assert found["peak"] < other["peak"] + 0.15 * GIGABYTE  # strips of the width of the picture
