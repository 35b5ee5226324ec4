"""A decoded image and what came with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..canvas import Canvas, Pixels, PixelSheet, in_eight_bits
from .extra import NOTHING, Extra


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    pixels: (H, W, 3) uint8 or uint16 RGB, upright. alpha: (H, W) of the same dtype or None. grey: the file held one
    channel. path, format: where it came from and its Pillow format. exif: the block from its byte order on, without
    orientation. icc: the profile. xmp: the packet. dpi: (across, down) pixels per inch. quality: what a JPEG was
    saved with, roughly. lossless: it came of a WebP that lost nothing. notes: what became another, a line each.
    extra: what only some formats hold.
    """

    pixels: Pixels
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    grey: bool = False
    path: Path | None = None
    format: str | None = None
    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    quality: int | None = None
    lossless: bool = False
    notes: tuple[str, ...] = ()
    extra: Extra = NOTHING

    @property
    def canvas(self) -> PixelSheet:
        """The pixels, to be read in pieces."""
        return PixelSheet(self.pixels)

    def on(self, canvas: Canvas) -> Picture:
        """This picture with the pixels of ``canvas``, a sheet that came of ``self.canvas.blank()``."""
        return replace(self, pixels=cast(PixelSheet, canvas).pixels)

    @property
    def eight(self) -> NDArray[np.uint8]:
        """The pixels in 8 bits a channel."""
        return in_eight_bits(self.pixels)

    @property
    def deep(self) -> bool:
        """Whether there are 16 bits a channel."""
        return self.pixels.dtype == np.uint16


def samples(pixels: Pixels, alpha: NDArray[Any] | None, grey: bool) -> NDArray[Any]:
    """What a file holds: (H, W, C) of the dtype of ``pixels``, C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)."""
    colour = luma(pixels)[..., None] if grey else pixels
    return colour if alpha is None else np.concatenate([colour, as_deep_as(alpha, pixels)[..., None]], axis=2)


def luma(pixels: Pixels) -> NDArray[Any]:
    """(H, W, 3) to (H, W) of the same dtype: ITU-R BT.601, exact where the three channels are equal."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16).astype(pixels.dtype)


def as_deep_as(values: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    """``values`` (uint8 or uint16) in the dtype of ``pixels``."""
    if values.dtype == pixels.dtype:
        return values
    return in_eight_bits(values) if pixels.dtype == np.uint8 else values.astype(np.uint16) * np.uint16(257)


def to_pil(picture: Picture) -> Image.Image:
    """The picture as a Pillow image of mode L, LA, RGB or RGBA, 8 bits a channel."""
    return pil_of(samples(picture.eight, picture.alpha, picture.grey))


def pil_of(values: NDArray[np.uint8]) -> Image.Image:
    """(H, W, C) uint8 with C = 1 to 4 as a Pillow image of mode L, LA, RGB or RGBA."""
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else np.ascontiguousarray(values))
