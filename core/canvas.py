"""Pixels that are read and written in pieces, so that restoring does not care where they are kept.

A ``Canvas`` is read as float32 tensors in [0, 1]; a ``Sheet`` is one that is filled from top to bottom. Those here are
in memory: 8- and 16-bit arrays, and float tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import ShapeError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3) RGB, 8 or 16 bits a channel."""
_ROWS = 64


class Canvas(Protocol):
    """An upright RGB picture of ``height`` x ``width`` pixels that can be read in pieces."""

    @property
    def height(self) -> int:
        """Rows."""
        ...

    @property
    def width(self) -> int:
        """Columns."""
        ...

    @property
    def resident(self) -> int:
        """Bytes of memory that a sheet of this size and kind takes."""
        ...

    def read(self, rows: slice, columns: slice) -> Tensor:
        """That part as (1, 3, h, w) float32 in [0, 1]; slices with a start and a stop inside the picture."""
        ...

    def blank(self) -> Sheet:
        """A sheet of the same size and kind of pixels, to be filled."""
        ...


class Sheet(Canvas, Protocol):
    """A canvas that is filled from top to bottom, and can be read where it is filled."""

    def write(self, top: int, strip: Tensor) -> None:
        """Rows from ``top`` on: (3, h, W) float, clamped to [0, 1] and rounded to what the sheet holds."""
        ...


@dataclass(frozen=True, eq=False)
class PixelSheet:
    """A sheet over ``pixels`` (H, W, 3) uint8 or uint16; raises ``ShapeError`` for anything else."""

    pixels: Pixels

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if self.pixels.ndim != 3 or shape[2] != 3 or dtype not in (np.uint8, np.uint16) or self.pixels.size == 0:
            raise ShapeError(f"pixels are {shape} {dtype}, wanted (H, W, 3) uint8 or uint16")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def resident(self) -> int:
        """As ``Canvas.resident``."""
        return int(self.pixels.nbytes)

    def read(self, rows: slice, columns: slice) -> Tensor:
        """As ``Canvas.read``."""
        part = self.pixels[rows, columns]
        image = torch.empty(1, 3, *part.shape[:2])
        for top in range(0, len(part), _ROWS):  # what stays in the caches is quicker turned round than all at once
            image[:, :, top : top + _ROWS] = as_tensor(part[top : top + _ROWS])
        return image

    def blank(self) -> PixelSheet:
        """As ``Canvas.blank``."""
        return PixelSheet(np.empty_like(self.pixels))

    def write(self, top: int, strip: Tensor) -> None:
        """As ``Sheet.write``."""
        deep = self.pixels.dtype == np.uint16
        self.pixels[top : top + strip.shape[1]] = (as_deep_pixels if deep else as_pixels)(strip[None])


@dataclass(frozen=True, eq=False)
class TensorSheet:
    """A sheet over ``image`` (1, 3, H, W) float32 in [0, 1]; raises ``ShapeError`` for another shape."""

    image: Tensor

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.shape[0] != 1 or self.image.shape[1] != 3 or self.image.numel() == 0:
            raise ShapeError(f"image is {tuple(self.image.shape)}, wanted (1, 3, H, W)")

    @property
    def height(self) -> int:
        """Rows."""
        return self.image.shape[2]

    @property
    def width(self) -> int:
        """Columns."""
        return self.image.shape[3]

    @property
    def resident(self) -> int:
        """As ``Canvas.resident``."""
        return 4 * self.image.numel()

    def read(self, rows: slice, columns: slice) -> Tensor:
        """As ``Canvas.read``."""
        return self.image[:, :, rows, columns].float()

    def blank(self) -> TensorSheet:
        """As ``Canvas.blank``."""
        return TensorSheet(torch.empty(self.image.shape, dtype=torch.float32))

    def write(self, top: int, strip: Tensor) -> None:
        """As ``Sheet.write``."""
        self.image[0, :, top : top + strip.shape[1]] = strip.clamp(0, 1)


def middle(canvas: Canvas, side: int) -> Tensor:
    """The middle of the canvas as (1, 3, h, w) float32 in [0, 1], at most ``side`` pixels high and wide."""
    height, width = min(side, canvas.height), min(side, canvas.width)
    top, left = (canvas.height - height) // 2, (canvas.width - width) // 2
    return canvas.read(slice(top, top + height), slice(left, left + width))


def as_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) uint8 or uint16 to (1, 3, H, W) float32 in [0, 1]."""
    writeable = np.require(pixels, requirements=("C", "W"))  # torch warns about read-only arrays
    if min(writeable.strides) < 0:  # of an axis of one pixel, that was turned round: contiguous, but torch takes it not
        writeable = writeable.copy()
    return torch.from_numpy(writeable).permute(2, 0, 1)[None].float().div_(np.iinfo(pixels.dtype).max)


def as_pixels(image: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) float in [0, 1] (else clamped) to (H, W, 3) uint8, rounded to the nearest."""
    return np.stack(tuple(_rounded(image, 255).to(torch.uint8).numpy()), axis=2)


def as_deep_pixels(image: Tensor) -> NDArray[np.uint16]:
    """As ``as_pixels``, to uint16."""
    return np.stack(tuple(_rounded(image, 65535).to(torch.int32).numpy().astype(np.uint16)), axis=2)


def _rounded(image: Tensor, top: int) -> Tensor:
    return image[0].detach().mul(top).round_().clamp_(0, top).to("cpu")


def in_eight_bits(pixels: Pixels) -> NDArray[np.uint8]:
    """uint16 of any shape to uint8, rounded to the nearest; uint8 as it is."""
    if pixels.dtype == np.uint8:
        return cast("NDArray[np.uint8]", pixels)
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
