"""What restoring gives: the picture, and every step that led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from .. import images
from ..canvas import Pixels, as_pixels, as_tensor
from ..errors import ShapeError
from ..images import Picture
from ..treatment import Treatment

if TYPE_CHECKING:
    from ..mixture import Estimate


@dataclass(frozen=True)
class Tiling:
    """The tiles that a picture was cut into: their side in pixels (0: in one piece), what they share, their number."""

    side: int
    overlap: int
    count: int


@dataclass(frozen=True)
class Step:
    """One pass over a picture.

    experts: names of the nodes that were run. seconds: wall time of ``route`` and ``expert``. tiling: None where no
    network was run. outcome: ``kept``; ``unchanged``, the estimate leads to the identity; ``undone``, what the expert
    made is not used, and ``reason`` says why. meters: figures of the guards by name.
    """

    estimate: Estimate
    experts: tuple[str, ...]
    seconds: Mapping[str, float]
    tiling: Tiling | None = None
    outcome: Literal["kept", "unchanged", "undone"] = "kept"
    reason: str = ""
    meters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Restoration:
    """A restored image, or a batch of them, and how it came about.

    image: a ``Picture`` (files and integer input) or a float32 tensor (B, 3, H, W) in [0, 1] (float input).
    routes: the steps of every image, at least one each. treatment: how it was restored. notes: what its owner should
    know, a line each. unchanged: image equals the input.
    """

    image: Picture | Tensor
    routes: tuple[tuple[Step, ...], ...]
    treatment: Treatment
    unchanged: bool
    notes: tuple[str, ...] = ()

    @property
    def route(self) -> tuple[Step, ...]:
        """The steps of the (first) image."""
        return self.routes[0]

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
        if isinstance(self.image, Picture):
            return self.image.pixels
        if len(self.image) != 1:
            raise ShapeError(f"a batch of {len(self.image)} images has no single pixel array; use .tensor")
        return as_pixels(self.image)

    @property
    def tensor(self) -> Tensor:
        """(B, 3, H, W) float32 in [0, 1]."""
        return as_tensor(self.image.pixels) if isinstance(self.image, Picture) else self.image

    @property
    def picture(self) -> Picture:
        """The result with the metadata of its source; raises ``ShapeError`` for a batch of several images."""
        return self.image if isinstance(self.image, Picture) else Picture(self.pixels)

    def save(self, path: str | Path) -> None:
        """Write the image, its suffix choosing the format; raises ``ImageError``."""
        picture = self.picture
        images.save(path, picture.pixels, picture)
