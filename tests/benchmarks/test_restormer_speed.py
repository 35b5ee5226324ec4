"""Restormer at its published size beside the authors' network on one image of 512 x 512 pixels, two threads.

``python -m pytest tests/benchmarks/test_restormer_speed.py --benchmark-only``; the time is ours, in ``extra_info`` are
theirs, measured in turn with ours, and how many times quicker ours is. Theirs also gets images and weights as the host
lays them out, ``channels_last``.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest
import torch
from torch import nn

from unirestorer.core.training.loop import seeded
from unirestorer.core.vision import prepare_torchvision
from unirestorer.plugins.experts.configs import RestormerConfig
from unirestorer.plugins.experts.restormer import Restormer


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    """Ours and theirs, of equal weights."""
    prepare_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module("spandrel_extra_arches.architectures.Restormer")
    ours, theirs = seeded(lambda: Restormer(RestormerConfig()), 0).eval(), module.Restormer().eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.mark.timeout(1200)
@pytest.mark.benchmark(group="restormer on one image of 512x512 on the CPU")
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels_last", "contiguous"])
def test_restormer(benchmark: Any, networks: tuple[nn.Module, nn.Module], layout: torch.memory_format) -> None:
    image = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    ours, theirs = (network.to(memory_format=layout) for network in networks)  # type: ignore[call-overload]
    for network in (ours, theirs):
        network(image[..., :64, :64])
    seconds: list[float] = []
    wanted: list[torch.Tensor] = []

    def run_theirs() -> None:
        start = perf_counter()
        wanted[:] = [theirs(image)]
        seconds.append(perf_counter() - start)

    got = benchmark.pedantic(ours, args=(image,), setup=run_theirs, rounds=2)
    assert (got - wanted[0]).abs().max() <= 1e-4
    benchmark.extra_info["their seconds"] = [round(value, 2) for value in seconds]
    benchmark.extra_info["times quicker"] = round(min(seconds) / benchmark.stats.stats.min, 2)
