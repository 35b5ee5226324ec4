"""A runtime against the reference, over every expert of a model: how far apart, how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .eager import EAGER
from .errors import UnsupportedError

if TYPE_CHECKING:
    from ..contracts import Network, Runtime
    from ..mixture import Expert, Mixture

LIMIT = 1 / 255
"""How far a runtime may be from the reference, in [0, 1]: one step of an 8-bit picture."""
_RUNS = 2


@dataclass(frozen=True)
class Comparison:
    """What a runtime made of the test picture, over ``experts`` networks.

    gap: largest difference of any value in [0, 1] from the reference. seconds and reference: what a megapixel takes
    with the runtime and with the reference, a mean over experts. unsupported: experts that it does not run, and why.
    """

    runtime: str
    experts: int
    gap: float
    seconds: float
    reference: float
    unsupported: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether the numbers are the same, for the eye and in 8 bits."""
        return self.gap <= LIMIT


def distinct(mixture: Mixture) -> list[Expert]:
    """The experts of a model that have a network, equal ones once."""
    found = {expert.key: expert for expert in map(mixture.expert, range(len(mixture.hierarchy)))}
    return [expert for expert in found.values() if not expert.identity]


def compare(runtimes: Sequence[Runtime], experts: Sequence[Expert], picture: Tensor | None = None) -> list[Comparison]:
    """Each runtime against the reference on ``picture`` (1, 3, H, W) in [0, 1], of a size that all experts accept."""
    picture = pattern() if picture is None else picture
    tallies = [_Tally(runtime) for runtime in runtimes]
    for expert in experts:
        wanted, reference = _timed(EAGER.prepare(expert.module, expert.key, expert.size), picture)
        for tally in tallies:
            tally.add(expert, picture, wanted, reference)
    return [tally.result(picture.shape[2] * picture.shape[3] / 1e6) for tally in tallies]


class _Tally:
    """What is known of one runtime so far."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.gap = 0.0
        self.seconds: list[tuple[float, float]] = []
        self.unsupported: list[str] = []

    def add(self, expert: Expert, picture: Tensor, wanted: Tensor, reference: float) -> None:
        """One more expert; ``wanted`` is what the reference makes, in ``reference`` seconds."""
        try:
            made, seconds = _timed(self.runtime.prepare(expert.module, expert.key, expert.size), picture)
        except UnsupportedError as error:
            self.unsupported.append(f"{expert.name}: {error}")
            return
        self.gap = max(self.gap, float((made.clamp(0, 1) - wanted.clamp(0, 1)).abs().max()))
        self.seconds.append((seconds, reference))

    def result(self, megapixels: float) -> Comparison:
        """Means per megapixel."""
        count = len(self.seconds)
        own, other = (sum(pair[which] for pair in self.seconds) / max(count, 1) / megapixels for which in (0, 1))
        return Comparison(self.runtime.name, count, self.gap, own, other, tuple(self.unsupported))


def pattern(height: int = 384, width: int = 512) -> Tensor:
    """(1, 3, height, width) float32 in [0, 1]: slopes, edges, waves of all lengths and noise; always the same."""
    generator = torch.Generator().manual_seed(7)
    down = torch.linspace(0, 1, height)[:, None]
    right = torch.linspace(0, 1, width)[None]
    waves = 0.5 + 0.5 * torch.sin(400 * right * right + 20 * down)
    edges = ((8 * down).floor() + (12 * right).floor()) % 2
    planes = [0.5 * down + 0.5 * right, 0.6 * waves + 0.4 * edges, 0.7 * edges + 0.3 * down * right]
    noise = 0.05 * torch.randn(3, height, width, generator=generator)
    return (torch.stack([plane.expand(height, width) for plane in planes]) + noise).clamp(0, 1)[None]


def _timed(network: Network, picture: Tensor) -> tuple[Tensor, float]:
    """What ``network`` makes of ``picture``, and the best time of several in seconds."""
    with torch.inference_mode():
        made, best = network(picture), float("inf")
        for _ in range(_RUNS):
            start = perf_counter()
            network(picture)
            best = min(best, perf_counter() - start)
    return made, best
