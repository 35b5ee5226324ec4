"""What routing costs beside restoring, in the same run: ``python -m pytest tests/benchmarks --benchmark-only``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import unirestorer
from unirestorer.core.mixture import Mixture


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    mixture = unirestorer.load().restorer.mixture
    assert isinstance(mixture, Mixture)
    return mixture


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=torch.channels_last
    )


@pytest.mark.benchmark(group="one image of 512x512 on the CPU")
def test_extractor_and_routers(benchmark: Any, mixture: Mixture, image: torch.Tensor) -> None:
    benchmark(mixture.estimate, image)


@pytest.mark.benchmark(group="one image of 512x512 on the CPU")
def test_expert(benchmark: Any, mixture: Mixture, image: torch.Tensor) -> None:
    expert = mixture.expert(0)
    with torch.inference_mode():
        benchmark(expert.module, image)
