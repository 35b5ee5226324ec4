"""The kinds of image that Python code has: how each is taken for restoring, and given back as it came."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unirestorer.core.canvas import as_pixels
from unirestorer.core.errors import ShapeError
from unirestorer.core.images import Picture, from_pil, to_pil
from unirestorer.core.images.picture import luma, samples
from unirestorer.core.images.streaming import Streamed
from unirestorer.core.restoring.files import load_source
from unirestorer.core.treatment import Treatment

FilePath = str | os.PathLike[str]
ImageLike = FilePath | Image.Image | NDArray[Any] | Tensor
"""A file, a Pillow image of any mode, or a numpy array (H, W), (H, W, 3) or (H, W, 4), uint8, uint16 or floating point
in [0, 1]; a floating-point tensor (3, H, W) or (B, 3, H, W) in [0, 1], on any device."""

K = TypeVar("K")
Source = Picture | Streamed | Tensor
"""What restoring takes: a picture, in memory or on disk, or (B, 3, H, W)."""

EXIF = b"Exif\0\0"
"""What Pillow expects before a block."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601, as Pillow's."""


@dataclass(frozen=True, eq=False)
class Given(Generic[K]):
    """An image as it is restored, and how it is given back: ``again`` itself, or ``back`` what became of ``source``."""

    source: Source
    again: Callable[[], K]
    back: Callable[[Any], K]


def taken(image: ImageLike, treatment: Treatment | None = None) -> Given[Any]:
    """``image`` as restoring takes it; ``treatment``: whose memory budget says how a file is opened.

    Raises ``ImageError`` for a bad file or Pillow image, ``ShapeError`` for anything else that is no image.
    """
    if isinstance(image, str | os.PathLike):
        picture = load_source(Path(image), treatment or Treatment())
        return Given(picture, lambda: pillow(picture), pillow)
    if isinstance(image, Image.Image):
        return Given(from_pil(image), image.copy, pillow)
    if isinstance(image, Tensor):
        return _tensor(image)
    if isinstance(image, np.ndarray):
        return _array(image)
    raise ShapeError(f"image is a {type(image).__name__}, wanted a path, Pillow image, numpy array or torch tensor")


def pillow(made: Picture | Streamed) -> Image.Image:
    """``made`` as a Pillow image of mode L, LA, I;16 (grey, 16 bits), RGB or RGBA, with its metadata in ``info``."""
    picture = in_memory(made)
    deep = picture.deep and picture.grey and picture.alpha is None
    image = Image.fromarray(luma(picture.pixels)) if deep else to_pil(picture)
    exif = EXIF + picture.exif if picture.exif else b""
    found = {"exif": exif, "icc_profile": picture.icc, "xmp": picture.xmp, "dpi": picture.dpi}
    image.info |= {key: value for key, value in found.items() if value}
    return image


def in_memory(picture: Picture | Streamed) -> Picture:
    """``picture`` with its pixels; raises ``ImageError`` where these are too many."""
    return picture.whole() if isinstance(picture, Streamed) else picture


def pictured(image: Any) -> Picture:
    """A floating-point array or tensor of one image in 8 bits; raises ``ShapeError`` for a batch of several."""
    if isinstance(image, Tensor):
        if image.ndim == 4 and len(image) != 1:
            raise ShapeError(f"a batch of {len(image)} images is not one picture; take one of them")
        return Picture(as_pixels(image.reshape(1, *image.shape[-3:])))
    return _picture(np.rint(np.asarray(image, np.float32).clip(0, 1) * 255).astype(np.uint8))


def _tensor(image: Tensor) -> Given[Tensor]:
    batch = image[None] if image.ndim == 3 else image

    def back(restored: Tensor) -> Tensor:
        return restored.reshape(image.shape).to(image.device, image.dtype)

    return Given(batch, lambda: image.detach().clone(), back)


def _array(image: NDArray[Any]) -> Given[NDArray[Any]]:
    shape, dtype = image.shape, image.dtype
    if image.ndim not in (2, 3) or shape[2:] not in ((), (3,), (4,)) or image.size == 0:
        raise ShapeError(f"image array is {shape}, wanted (height, width), (height, width, 3) or (height, width, 4)")
    if dtype.newbyteorder("=") in (np.uint8, np.uint16):
        native = image.astype(dtype.newbyteorder("="), copy=False)
        return Given(_picture(native), image.copy, lambda made: _whole(made).astype(dtype, copy=False))
    if not np.issubdtype(dtype, np.floating):
        raise ShapeError(f"image array is {dtype}, wanted uint8, uint16, or floating point in [0, 1]")
    colours = np.ascontiguousarray(_colours(image), dtype=np.float32)

    def back(restored: Tensor) -> NDArray[Any]:
        made = restored[0].permute(1, 2, 0).numpy().astype(dtype)
        if image.ndim == 2:
            return (made @ _LUMA).astype(dtype)
        return np.concatenate([made, image[..., 3:]], axis=2).astype(dtype, copy=False)

    return Given(torch.from_numpy(colours).permute(2, 0, 1)[None], image.copy, back)


def _whole(picture: Picture) -> NDArray[Any]:
    """A picture as (H, W), (H, W, 3) or (H, W, 4)."""
    values = samples(picture.pixels, picture.alpha, picture.grey)
    return values[..., 0] if picture.grey else values


def _picture(image: NDArray[Any]) -> Picture:
    """(H, W), (H, W, 3) or (H, W, 4) uint8 or uint16 as a picture."""
    alpha = np.ascontiguousarray(image[..., 3]) if image.shape[2:] == (4,) else None
    return Picture(np.ascontiguousarray(_colours(image)), alpha, grey=image.ndim == 2)


def _colours(image: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
