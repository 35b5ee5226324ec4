"""Runtimes against plain PyTorch, in turns in the same run: ``python -m pytest tests/benchmarks --benchmark-only``.

Plain PyTorch is the network in its ordinary memory layout, called once on the whole image. ``times_as_fast`` is what it
takes over what OpenVINO takes; the aim is 2.5 on two cores, with results at most 1/255 apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unirestorer
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.mixture import Mixture
from unirestorer.core.runtimes import runtime_of
from unirestorer.core.runtimes.cache import Cache
from unirestorer.core.runtimes.compiled import compiler
from unirestorer.core.runtimes.eager import EAGER
from unirestorer.core.runtimes.openvino import OpenVino
from unirestorer.core.tiles import run_tiled
from unirestorer.plugins.manager import load_catalogue

SIZE = SizeRequirement(16, 16)


def embedded() -> nn.Module:
    """The expert of the root of the embedded model."""
    mixture = unirestorer.load(runtime="eager").restorer.mixture
    assert isinstance(mixture, Mixture)
    return mixture.expert(0).module


def nafnet() -> nn.Module:
    """NAFNet of width 32 as published, 29 million random weights."""
    spec = load_catalogue().experts["nafnet"]
    assert spec.build is not None
    torch.manual_seed(0)
    network = spec.build(spec.published[0].config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def laid_out(network: nn.Module, layout: torch.memory_format) -> nn.Module:
    """``network`` with its weights in ``layout``."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return network


def picture(side: int) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def in_turns(ways: Mapping[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """The best time of each in milliseconds, after one call of each that does not count."""
    best = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for name, way in ways.items():
                start = perf_counter()
                way()
                best[name] = min(best[name], perf_counter() - start if turn else float("inf"))
    return {name: round(1000 * seconds, 1) for name, seconds in best.items()}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("side", [256, 512, 1024])
@pytest.mark.parametrize(("make", "rounds"), [(embedded, 8), (nafnet, 2)], ids=["embedded", "nafnet-32"])
def test_openvino(benchmark: Any, make: Callable[[], nn.Module], rounds: int, side: int, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    fast, plain, image = laid_out(make(), torch.channels_last), laid_out(make(), torch.contiguous_format), picture(side)
    eager, openvino = EAGER.prepare(fast, "", SIZE), OpenVino(cache=Cache(tmp_path)).prepare(fast, "it", SIZE)
    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain(image),
        "eager": lambda: eager(image),
        "openvino": lambda: openvino(image),
    }
    if side == 1024:
        ways["eager, tiles of 512"] = lambda: run_tiled(image, eager, SIZE, 512, 64)
        ways["openvino, tiles of 512"] = lambda: run_tiled(image, openvino, SIZE, 512, 64)
    best = in_turns(ways, rounds)
    with torch.inference_mode():
        gap = float((openvino(image).clamp(0, 1) - plain(image).clamp(0, 1)).abs().max())
    benchmark.pedantic(lambda: openvino(image), rounds=rounds)
    benchmark.extra_info |= {
        "milliseconds": best,
        "times_as_fast": round(best["plain"] / best["openvino"], 2),
        "times_as_fast_as_channels_last": round(best["eager"] / best["openvino"], 2),
        "largest_difference_of_255": round(255 * gap, 6),
    }


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
def test_compile(benchmark: Any) -> None:
    module, image = embedded(), picture(1024)
    plain = laid_out(embedded(), torch.contiguous_format)
    start = perf_counter()
    compiled = runtime_of("compile").prepare(module, "", SIZE)
    ready = perf_counter() - start
    best = in_turns({"plain": lambda: plain(image), "compile": lambda: compiled(image)}, 5)
    benchmark.pedantic(lambda: compiled(image), rounds=3)
    benchmark.extra_info |= {
        "seconds_to_prepare": round(ready, 1),
        "milliseconds": best,
        "times_as_fast": round(best["plain"] / best["compile"], 2),
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("make", [embedded, nafnet], ids=["embedded", "nafnet-32"])
def test_first_and_later_preparation(benchmark: Any, make: Callable[[], nn.Module], tmp_path: Path) -> None:
    """From nothing: traced, translated, compared, compiled, kept; later: read and compiled."""
    pytest.importorskip("openvino")
    module = make()
    start = perf_counter()
    OpenVino(cache=Cache(tmp_path)).prepare(module, "it", SIZE)
    first = perf_counter() - start
    benchmark.pedantic(lambda: OpenVino(cache=Cache(tmp_path)).prepare(module, "it", SIZE), rounds=5)
    benchmark.extra_info |= {
        "first_seconds": round(first, 2),
        "kept_megabytes": round(sum(path.stat().st_size for path in tmp_path.glob("*.model")) / 1e6, 1),
    }
