"""What restoring an image costs: parameters, FLOPs, time and memory, as in the paper's supplement C.

Each part is measured in a process of its own, so that nothing that ran before counts:

- FLOPs: two for each multiplication with its addition, of convolutions and matrix products, counted by PyTorch while
  the image goes through; its fused kernels for attention, which it does not count, are switched off meanwhile.
  Element-wise work, normalisation and Fourier transforms are not counted.
- memory: the weights that the image meets, and by how much the resident set grows while the image goes through: the
  high-water mark that Linux keeps (``VmHWM``), set back before. That sees what PyTorch allocates, which ``tracemalloc``
  does not, and what is freed again. Elsewhere than on Linux it is not known.
- time: median of wall times, after the image went through twice.
"""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..catalogue import Catalogue
from ..contracts import Record, SizeRequirement
from ..errors import ConfigError, MemoryLimitError, UnknownNameError
from ..images import Picture
from ..mixture import Mixture
from ..restoring import centre
from ..ties import BASE
from ..tiles import run_pixels
from ..weights import state_of

Network = Callable[[NDArray[np.uint8]], object]
"""What is measured: takes an image (H, W, 3) uint8."""
Loader = Callable[[], Mixture]
"""Opens a model, also in another process: a function of a module, or a ``functools.partial`` of one."""
SMALL = 64
"""Side of an image that goes through first, so that what is loaded late is there."""


class Measured(NamedTuple):
    """FLOPs, seconds, and bytes by which the process grew, None where that cannot be known."""

    flops: int
    seconds: float
    growth: int | None


@dataclass(frozen=True)
class Overhead:
    """What a part costs. ``parameters``: all that are kept; ``active``: those that one image meets, in float32."""

    name: str
    parameters: int
    active: int
    measured: Measured

    @property
    def memory(self) -> int | None:
        """Bytes of weights and working memory at the peak."""
        return None if self.measured.growth is None else 4 * self.active + self.measured.growth


@dataclass(frozen=True)
class Setting:
    """``size``: side of the square image in pixels; ``repeats`` of the timing; ``threads`` of PyTorch."""

    size: int = 512
    repeats: int = 3
    threads: int = 1

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("repeats", self.repeats), ("threads", self.threads)):
            if value < 1:
                raise ConfigError(f"overhead: {name} is {value}, wanted at least 1")


class Part(NamedTuple):
    """What is to be measured: ``make`` builds it, also in another process."""

    name: str
    parameters: int
    active: int
    make: Callable[[], Network]


def model_overhead(load: Loader, setting: Setting) -> tuple[Overhead, ...]:
    """What the parts of a model and the whole of it cost (``model_parts``), each measured in a process of its own."""
    return _overhead(model_parts(load), setting)


def model_parts(load: Loader) -> tuple[Part, ...]:
    """The extractor with the routers, the experts of each level by architecture, and the whole of a model.

    ``active`` of the whole, and what is measured, is the way through the expert that takes most FLOPs. An expert that
    several nodes share counts once; an adapter is kept without the network that it rests on, and run merged into it.
    """
    mixture = load()
    routing = count(mixture.extractor) + count(mixture.routers)
    kinds = _kinds(mixture)
    kept = {name: number for kind in kinds for name, number in (kind.bases | kind.kept).items()}
    heaviest = max(kinds, key=lambda kind: flops_of(_run(mixture, kind.node), _noise(SMALL)))
    return (
        Part("extractor and routers", routing, routing, partial(_routing, load)),
        *(Part(kind.title, sum(kind.kept.values()), kind.active, partial(_expert, load, kind.node)) for kind in kinds),
        Part(
            "whole model", routing + sum(kept.values()), routing + heaviest.active, partial(_whole, load, heaviest.node)
        ),
    )


def published_overhead(
    catalogue: Callable[[], Catalogue], name: str, setting: Setting, variant: str | None = None
) -> tuple[Overhead, ...]:
    """The architecture ``name`` at its published sizes, or at the one called ``variant``, with untrained weights.

    ``catalogue`` is called in other processes, too. Raises ``UnknownNameError``, and ``ConfigError`` where no size is
    known.
    """
    spec = catalogue().expert(name)
    known = {size.variant: size.parameters for size in spec.published}
    if not known or spec.build is None:
        raise ConfigError(f"overhead: no published size of '{name}' is known; see unirestorer experts")
    if variant is not None and variant not in known:
        raise UnknownNameError(f"size of {name}", variant, known)
    parts = [
        Part(f"{name}, {label}", number, number, partial(_published, catalogue, name, label))
        for label, number in known.items()
        if variant in (None, label)
    ]
    return _overhead(parts, setting)


def _overhead(parts: Sequence[Part], setting: Setting) -> tuple[Overhead, ...]:
    return tuple(Overhead(part.name, part.parameters, part.active, measure(part.make, setting)) for part in parts)


def count(module: nn.Module) -> int:
    """Number of parameters of ``module``."""
    return sum(parameter.numel() for parameter in module.parameters())


class _Kind(NamedTuple):
    """Alike experts of a level; ``kept``, ``bases``: parameters by record, the latter of what adapters rest on."""

    title: str
    node: int
    active: int
    kept: dict[str, int]
    bases: dict[str, int]


def _kinds(mixture: Mixture) -> list[_Kind]:
    """The experts of ``mixture`` without those that do nothing, by level, architecture, configuration and size."""
    found: dict[str, list[tuple[int, str, Record]]] = {}
    for node, level in enumerate(mixture.hierarchy.level):
        name, record = mixture.expert_record(node)
        if not mixture.expert(node).identity:
            about, weights = record.attributes, record.arrays.get("weights")
            size = 0 if weights is None else len(weights)
            key = json.dumps([mixture.level_names[level], about["arch"], about["config"], BASE in about, size])
            found.setdefault(key, []).append((node, name, record))
    return [_kind(mixture, alike) for alike in found.values()]


def _kind(mixture: Mixture, alike: Sequence[tuple[int, str, Record]]) -> _Kind:
    node, name, record = alike[0]
    active = each = count(mixture.expert(node).module)
    if BASE in record.attributes:
        each = sum(tensor.numel() for tensor in state_of(record.arrays["weights"], f"expert {name}").values())
    kept = {name: each for _, name, _ in alike}
    bases = {str(other.attributes[BASE]): active for *_, other in alike if BASE in other.attributes}
    level = mixture.level_names[mixture.hierarchy.level[node]]
    return _Kind(f"level {level}: {len(kept)} x {record.attributes['arch']}", node, active, kept, bases)


def measure(make: Callable[[], Network], setting: Setting) -> Measured:
    """What the network that ``make`` builds costs on an image of noise; ``make`` is called in a process of its own.

    Raises what ``make`` raises, and ``MemoryLimitError`` where the process is killed.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measured, make, setting).result()
        except BrokenProcessPool:
            raise MemoryLimitError(
                f"overhead: the process that measured an image of {setting.size} x {setting.size} pixels was killed, "
                "probably for want of memory; choose a smaller size"
            ) from None


def flops_of(network: Network, image: NDArray[np.uint8]) -> int:
    """FLOPs of ``network`` on ``image``: two for each multiplication with its addition."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())


@torch.inference_mode()
def _measured(make: Callable[[], Network], setting: Setting) -> Measured:
    torch.set_num_threads(setting.threads)
    network, image, seconds = make(), _noise(setting.size), list[float]()
    network(_noise(SMALL))
    before = _mark()
    network(image)
    peak = _status("VmHWM")
    flops = flops_of(network, image)
    for _ in range(setting.repeats):
        start = perf_counter()
        network(image)
        seconds.append(perf_counter() - start)
    growth = None if before is None or peak is None else max(0, peak - before)
    return Measured(flops, median(seconds), growth)


def _noise(side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def _mark() -> int | None:
    """Bytes of this process in memory, to which its high-water mark is set back; None where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    """A size in bytes that Linux keeps of this process."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return None if found is None else int(found[1]) * 1024


def _routing(load: Loader) -> Network:
    mixture = load()
    return lambda pixels: mixture.estimate(centre(Picture(pixels)))


def _expert(load: Loader, node: int) -> Network:
    return _run(load(), node)


def _run(mixture: Mixture, node: int) -> Network:
    expert = mixture.expert(node)
    return lambda pixels: run_pixels(pixels, expert.module, expert.size, None, 0)


def _whole(load: Loader, node: int) -> Network:
    mixture = load()
    run = _run(mixture, node)

    def restore(pixels: NDArray[np.uint8]) -> object:
        mixture.estimate(centre(Picture(pixels)))
        return run(pixels)

    return restore


def _published(catalogue: Callable[[], Catalogue], name: str, variant: str) -> Network:
    spec = catalogue().expert(name)
    size: SizeRequirement = spec.size
    config = next(size.config for size in spec.published if size.variant == variant)
    assert spec.build is not None
    network = spec.build(config).eval()
    return lambda pixels: run_pixels(pixels, network, size, None, 0)
