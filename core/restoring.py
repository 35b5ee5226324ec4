"""Restoring one image: estimate the damage, run the experts it leads to, explain what was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import images, tiles
from .contracts import SizeRequirement
from .errors import ShapeError
from .images import Picture
from .instruction import AUTO, Instruction

if TYPE_CHECKING:
    from .mixture import Estimate, Expert

CENTRE = 512
"""Side in pixels of the region that the estimate looks at; never resized."""


class Router(Protocol):
    """What restoring needs of a mixture of experts (``unirestorer.core.mixture.Mixture``)."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The damages that can be named as an instruction."""
        ...

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        """Mask over nodes for an instruction, None for an empty one; raises ``UnknownNameError``, ``ConfigError``."""
        ...

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        """What is wrong with ``image`` (1, 3, H, W) in [0, 1], among the allowed nodes."""
        ...

    def expert(self, node: int) -> Expert:
        """The network of a node."""
        ...


@dataclass(frozen=True, eq=False)
class Restoration:
    """A restored image, or a batch of them, and how it came about.

    image: a ``Picture`` (files and 8-bit input) or a float32 tensor (B, 3, H, W) in [0, 1] (float input).
    estimates, experts: what was found, one per image, and the experts that were run, of the first image first.
    seconds: wall time of ``route`` and ``expert``. tiles: pieces the experts ran on. unchanged: image equals the input.
    """

    image: Picture | Tensor
    estimates: tuple[Estimate, ...]
    experts: tuple[str, ...]
    seconds: Mapping[str, float]
    tiles: int
    unchanged: bool

    @property
    def estimate(self) -> Estimate:
        """The estimate of the (first) image."""
        return self.estimates[0]

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; raises ``ShapeError`` for a batch of several images."""
        if isinstance(self.image, Picture):
            return self.image.pixels
        if len(self.image) != 1:
            raise ShapeError(f"a batch of {len(self.image)} images has no single pixel array; use .tensor")
        return tiles.as_pixels(self.image)

    @property
    def tensor(self) -> Tensor:
        """(B, 3, H, W) float32 in [0, 1]."""
        return tiles.as_tensor(self.image.pixels) if isinstance(self.image, Picture) else self.image

    @property
    def picture(self) -> Picture:
        """The result with the metadata of its source; raises ``ShapeError`` for a batch of several images."""
        return self.image if isinstance(self.image, Picture) else Picture(self.pixels)

    def save(self, path: str | Path) -> None:
        """Write the image, its suffix choosing the format; raises ``ImageError``."""
        picture = self.picture
        images.save(path, picture.pixels, picture)


@dataclass(frozen=True)
class Restorer:
    """Restores pictures with ``mixture``, in tiles of ``tile`` pixels (None: in one piece) that share ``overlap``."""

    mixture: Router
    tile: int | None = 512
    overlap: int = 64

    def diagnose(self, picture: Picture, instruction: Instruction = AUTO) -> Estimate:
        """What is wrong with ``picture``, within ``instruction``; raises ``UnknownNameError``, ``ConfigError``."""
        return self.mixture.estimate(centre(picture), self.mixture.allowed(instruction))

    def diagnose_tensor(self, batch: Tensor, instruction: Instruction = AUTO) -> Estimate:
        """As ``diagnose``, of the first image of ``batch`` (B, 3, H, W) float in [0, 1]; raises ``ShapeError``."""
        check_batch(batch)
        return self.mixture.estimate(
            _middle(batch[:1].detach().to("cpu", torch.float32)), self.mixture.allowed(instruction)
        )

    def restore(self, picture: Picture, instruction: Instruction = AUTO) -> Restoration:
        """``picture`` restored; the same picture where the estimate leads to the identity.

        Raises ``UnknownNameError`` for an unknown name and ``ConfigError`` for impossible tiles.
        """

        def run(expert: Expert) -> Picture:
            pixels = tiles.run_pixels(picture.pixels, expert.module, expert.size, self.tile, self.overlap)
            return replace(picture, pixels=pixels)

        return self._restored(picture, picture.pixels.shape[:2], centre(picture), instruction, run)

    def restore_tensor(self, batch: Tensor, instruction: Instruction = AUTO) -> Restoration:
        """``batch`` (B, 3, H, W) float in [0, 1] restored at float precision, each image routed on its own.

        Raises ``ShapeError`` for another shape or range, and what ``restore`` raises.
        """
        check_batch(batch)
        results = [self._restored_tensor(image[None], instruction) for image in batch.detach().to("cpu", torch.float32)]
        return Restoration(
            image=torch.cat([result.tensor for result in results]),
            estimates=tuple(result.estimate for result in results),
            experts=tuple(name for result in results for name in result.experts),
            seconds={part: sum(result.seconds[part] for result in results) for part in ("route", "expert")},
            tiles=sum(result.tiles for result in results),
            unchanged=all(result.unchanged for result in results),
        )

    def _restored_tensor(self, image: Tensor, instruction: Instruction) -> Restoration:
        def run(expert: Expert) -> Tensor:
            return tiles.run_tiled(image, expert.module, expert.size, self.tile, self.overlap)

        return self._restored(image, image.shape[2:], _middle(image), instruction, run)

    def _restored(
        self,
        image: Picture | Tensor,
        shape: Sequence[int],
        view: Tensor,
        instruction: Instruction,
        run: Callable[[Expert], Picture | Tensor],
    ) -> Restoration:
        """Route ``image`` of ``shape`` (height, width) by ``view``; ``run`` the expert unless it is the identity."""
        start = perf_counter()
        estimate = self.mixture.estimate(view, self.mixture.allowed(instruction))
        routed = perf_counter()
        experts = [(self.mixture.expert(node), weight) for node, weight in estimate.experts or ((estimate.node, 1.0),)]
        expert, count = blended(experts), 0
        if not expert.identity:
            count = tiles.plan(shape[0], shape[1], expert.size, self.tile, self.overlap).count
            image = run(expert)
        seconds = {"route": routed - start, "expert": perf_counter() - routed}
        names = tuple(part.name for part, _ in experts)
        return Restoration(image, (estimate,), names, seconds, count, expert.identity)


class Blend(nn.Module):
    """The weighted mean of what experts make of (B, 3, H, W), each within [0, 1]; float, before any rounding."""

    def __init__(self, experts: Sequence[tuple[Expert, float]]) -> None:
        super().__init__()
        self.parts = [(expert.module, weight) for expert, weight in experts]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of a size that all of them accept."""
        total = torch.zeros_like(image)
        for module, weight in self.parts:
            total += weight * module(image).clamp(0, 1)
        return total


def blended(experts: Sequence[tuple[Expert, float]]) -> Expert:
    """One expert that stands for all ``experts`` with their weights, on pictures padded to what every one accepts."""
    if len(experts) == 1:
        return experts[0][0]
    sizes = [expert.size for expert, _ in experts]
    size = SizeRequirement(lcm(*(size.multiple for size in sizes)), max(size.minimum for size in sizes))
    first = experts[0][0]
    return replace(first, module=Blend(experts), size=size, identity=all(expert.identity for expert, _ in experts))


def centre(picture: Picture, side: int = CENTRE) -> Tensor:
    """The middle of the picture as (1, 3, h, w) float32 in [0, 1], at most ``side`` pixels high and wide."""
    height, width = picture.pixels.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return tiles.as_tensor(picture.pixels[top : top + side, left : left + side])


def _middle(image: Tensor) -> Tensor:
    top, left = (max(0, (length - CENTRE) // 2) for length in image.shape[2:])
    return image[:, :, top : top + CENTRE, left : left + CENTRE]


def check_batch(batch: Tensor) -> None:
    """Raises ``ShapeError`` unless ``batch`` is (B, 3, H, W) floating point in [0, 1] with at least one pixel."""
    if batch.ndim != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise ShapeError(f"image tensor is {tuple(batch.shape)}, wanted (3, H, W) or (B, 3, H, W)")
    if not batch.is_floating_point():
        raise ShapeError(f"image tensor is {batch.dtype}, wanted floating point in [0, 1]; divide bytes by 255")
    low, high = (float(value) for value in torch.aminmax(batch.detach()))
    if not (low >= 0 and high <= 1):
        raise ShapeError(f"image values range from {low:g} to {high:g}, wanted 0 to 1; scale or clamp them")
