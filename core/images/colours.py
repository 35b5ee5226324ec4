"""Whatever mode Pillow decoded a picture to, as grey or RGB samples with or without alpha."""

from __future__ import annotations

import io
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ..errors import ImageError

Decoded = tuple[NDArray[Any], bytes, tuple[str, ...]]
"""Samples (H, W, C) uint8 or uint16, C as in ``samples``; the profile that describes them; what was converted."""

GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")


def samples_of(image: Image.Image, icc: bytes) -> Decoded:
    """What Pillow decoded, whose profile is ``icc``.

    Raises ``ImageError`` for 32-bit samples, and what Pillow raises.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], icc, ()
    if image.mode in ("I", "F"):
        raise ImageError(
            "32-bit samples, whose black and white are not known; wanted 8 or 16 bits a channel, convert it to 16 bits"
        )
    if image.mode == "CMYK":
        return _from_inks(image, icc)
    if image.mode == "LAB":
        transform = ImageCms.buildTransform(_lab(), _srgb(), "LAB", "RGB")
        return _array(_through(image, transform)), b"", ("CIELAB became sRGB",)
    if image.mode == "P" and _is_grey(image):
        image = image.convert("LA" if image.has_transparency_data else "L")
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        return _array(image.convert("LA" if image.mode in GREY else "RGBA")), icc, ()
    return _array(image.convert("L" if image.mode in GREY else "RGB")), icc, ()


def _is_grey(image: Image.Image) -> bool:
    """Whether all colours of a palette are grey."""
    palette = np.array(image.getpalette("RGB") or [0, 1, 2], dtype=np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _from_inks(image: Image.Image, icc: bytes) -> Decoded:
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            transform = ImageCms.buildTransform(profile, _srgb(), "CMYK", "RGB")
            return _array(_through(image, transform)), b"", ("CMYK became sRGB by its own profile",)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # no sound profile of four inks
    return _array(image.convert("RGB")), b"", ("CMYK became RGB without a profile",)


def _through(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    return cast(Image.Image, ImageCms.applyTransform(image, transform))


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def _lab() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))


def _array(image: Image.Image) -> NDArray[Any]:
    values = np.array(image)
    return values[..., None] if values.ndim == 2 else values
