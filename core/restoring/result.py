"""What restoring gives: the picture, and every step that led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from ..canvas import Pixels, as_pixels, as_tensor
from ..errors import ShapeError
from ..images import Picture
from ..images.streaming import Streamed
from ..treatment import Treatment

if TYPE_CHECKING:
    from ..mixture import Estimate


@dataclass(frozen=True)
class Tiling:
    """The tiles that a picture was cut into: their side in pixels (0: in one piece), what they share, their number.

    seam, step: what blending had to hide, in [0, 1], the mean and the most (``tiles.Seams``). note: what its owner
    should know, if anything.
    """

    side: int
    overlap: int
    count: int
    seam: float = 0.0
    step: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One pass over a picture.

    experts: names of the nodes that were chosen. seconds: wall time of ``route`` and ``expert``. tiling: None where no
    network was run. outcome: ``kept``; ``unchanged``, nothing was to be done; ``undone``, what the expert made is not
    used. reason: why nothing was done, or why it was undone. meters: figures of the guards by name. shares: where parts
    of the picture have estimates of their own, what share of it each node got, or is left ``unchanged``.
    """

    estimate: Estimate
    experts: tuple[str, ...]
    seconds: Mapping[str, float]
    tiling: Tiling | None = None
    outcome: Literal["kept", "unchanged", "undone"] = "kept"
    reason: str = ""
    meters: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Restoration:
    """A restored image, or a batch of them, and how it came about.

    image: a ``Picture`` or ``Streamed`` (files and integer input), or a float32 tensor (B, 3, H, W) in [0, 1] (float
    input). routes: the steps of every image, at least one each. treatment: how it was restored. notes: what its owner
    should know, a line each. unchanged: image equals the input.
    """

    image: Picture | Streamed | Tensor
    routes: tuple[tuple[Step, ...], ...]
    treatment: Treatment
    unchanged: bool
    notes: tuple[str, ...] = ()

    @property
    def route(self) -> tuple[Step, ...]:
        """The steps of the (first) image."""
        return self.routes[0]

    @property
    def why(self) -> str:
        """Why the (first) image was left as it is, for example ``looks undamaged (clean 0.61)``; else empty."""
        return self.route[-1].reason if all(step.outcome != "kept" for step in self.route) else ""

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """What was found before the first step, one per image."""
        return tuple(route[0].estimate for route in self.routes)

    @property
    def estimate(self) -> Estimate:
        """The estimate of the (first) image."""
        return self.estimates[0]

    @property
    def experts(self) -> tuple[str, ...]:
        """The experts of the first step of every image."""
        return tuple(name for route in self.routes for name in route[0].experts)

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of ``route`` and ``expert``."""
        steps = [step for route in self.routes for step in route]
        return {part: sum(step.seconds[part] for step in steps) for part in ("route", "expert")}

    @property
    def tiles(self) -> int:
        """Pieces that the experts ran on."""
        return sum(step.tiling.count for route in self.routes for step in route if step.tiling)

    @property
    def pixels(self) -> Pixels:
        """(H, W, 3) RGB, uint8, or uint16 where the source was; raises ``ShapeError`` for a batch of several images."""
        if not isinstance(self.image, Tensor):
            return self.picture.pixels
        if len(self.image) != 1:
            raise ShapeError(f"a batch of {len(self.image)} images has no single pixel array; use .tensor")
        return as_pixels(self.image)

    @property
    def tensor(self) -> Tensor:
        """(B, 3, H, W) float32 in [0, 1]."""
        return self.image if isinstance(self.image, Tensor) else as_tensor(self.pixels)

    @property
    def picture(self) -> Picture:
        """The result with the metadata of its source, in memory.

        Raises ``ShapeError`` for a batch of several images, ``ImageError`` for one of more than 89 megapixels.
        """
        if isinstance(self.image, Tensor):
            return Picture(self.pixels)
        return self.image.whole() if isinstance(self.image, Streamed) else self.image
