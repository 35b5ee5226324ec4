"""What the guards cost beside the expert that they watch, in the same run, on a picture of 1 and of 12 megapixels."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import pytest

import unirestorer
from unirestorer.core.canvas import PixelSheet
from unirestorer.core.restoring.meters import measure
from unirestorer.core.restoring.running import run_expert
from unirestorer.core.treatment import Treatment

LIMIT = 0.02
"""Of the time of an embedded expert in its fastest runtime."""


@pytest.mark.parametrize("size", [(1000, 1000), (3000, 4000)])
def test_guards(benchmark: Any, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    before, after = PixelSheet(pixels), PixelSheet(255 - pixels)
    expert = unirestorer.load().restorer.mixture.expert(1)
    run_expert(before, expert, Treatment())
    seconds = []
    for _ in range(3):
        start = perf_counter()
        run_expert(before, expert, Treatment())
        seconds.append(perf_counter() - start)
    benchmark(measure, before, after)
    ratio = benchmark.stats.stats.min / min(seconds)
    benchmark.extra_info.update(ratio=round(ratio, 4), expert=round(min(seconds), 4))
    assert ratio < LIMIT
