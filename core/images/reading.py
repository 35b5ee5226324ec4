"""Pictures out of files, and of Pillow images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..canvas import Pixels
from ..errors import ImageError
from . import colours, deep
from .metadata import Metadata, metadata_of
from .opening import Opened, check_size, decoding, opened, pages
from .picture import Picture
from .tiff import Tiff


@dataclass(frozen=True)
class Header:
    """What a file says of its picture, however large this is; nothing of it is decoded.

    height, width: of the upright picture. bits: of a channel. frames: how many pictures there are.
    """

    path: Path
    format: str
    height: int
    width: int
    bits: int
    frames: int
    metadata: Metadata


def header_of(path: str | Path) -> Header:
    """What the file ``path`` says of its picture; raises ``ImageError`` as ``load`` does, but for its size."""
    path = Path(path)
    with opened(path) as image:
        numbers = pages(image)
        found = metadata_of(image, path)
        sides = (image.width, image.height) if found.orientation >= 5 else (image.height, image.width)
        return Header(path, kind_of(image) or "", *sides, deep.bits_of(image, path), len(numbers), found)


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of the upright picture in ``path``, from its header; raises ``ImageError`` as ``load`` does."""
    header = header_of(path)
    check_single(header.frames, path)
    check_size(header.height, header.width, path)
    return header.height, header.width


def load(path: str | Path) -> Picture:
    """The picture in the file ``path``; raises ``ImageError`` with one line saying what to do."""
    path = Path(path)
    with opened(path) as image:
        numbers = pages(image)
        check_single(len(numbers), path)
        return picture_of(image, path, numbers[0])


def picture_of(image: Opened, path: Path, page: int = 0) -> Picture:
    """Frame ``page`` of the opened file; raises ``ImageError``, and what Pillow and pyvips raise."""
    if page:
        image.seek(page)
    check_size(image.height, image.width, path)
    bits = deep.bits_of(image, path)
    if isinstance(image, Tiff) or bits > 8:
        found = metadata_of(image, path)
        values, icc, notes = deep.read(image, path, bits, found.icc, page)
        if image.format == "AVIF" or (isinstance(image, Tiff) and image.lab):  # its reader has turned it upright
            found = replace(found, orientation=1)
        return _picture(values, found, icc, notes, path, kind_of(image))
    image.load()  # what stands behind the pixels is only known after that
    found = metadata_of(image, path)
    values, icc, notes = _samples(image, found.icc, path)
    return _picture(values, found, icc, notes, path, kind_of(image))


def from_pil(image: Image.Image, path: Path | None = None) -> Picture:
    """A Pillow image as a ``Picture``: upright, RGB, 8 or 16 bits; raises ``ImageError`` as ``load`` does."""
    where = path or Path("image")
    with decoding(where):
        check_single(len(pages(image)), where)
        check_size(image.height, image.width, where)
        cut = not image.mode.startswith("I;16") and image.mode not in ("I", "F") and deep.bits_of(image, path) > 8
        image.load()
        found = metadata_of(image)
        values, icc, notes = _samples(image, found.icc, where)
        notes += ("of 16 bits a channel Pillow kept 8; give the file instead",) if cut else ()
        return _picture(values, found, icc, notes, path, kind_of(image))


def _samples(image: Image.Image, icc: bytes, path: Path) -> colours.Decoded:
    try:
        return colours.samples_of(image, icc)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def _picture(
    values: NDArray[Any], found: Metadata, icc: bytes, notes: tuple[str, ...], path: Path | None, kind: str | None
) -> Picture:
    values = turned(values, found.orientation)
    bands = values.shape[2]
    grey = bands < 3
    pixels: Pixels = np.repeat(values[..., :1], 3, axis=2) if grey else np.ascontiguousarray(values[..., :3])
    return Picture(
        pixels=pixels,
        alpha=np.ascontiguousarray(values[..., -1]) if bands in (2, 4) else None,
        grey=grey,
        path=path,
        format=kind,
        exif=found.exif,
        icc=icc,
        xmp=found.xmp,
        dpi=found.dpi,
        quality=found.quality,
        lossless=found.lossless,
        notes=found.notes + notes,
        extra=found.extra,
    )


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Samples (H, W, C) that lie as ``orientation`` 1 to 8 of Exif says, upright."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def kind_of(image: Opened) -> str | None:
    """The Pillow format of an opened file; that of a phone's JPEG with further pictures is JPEG."""
    return "JPEG" if image.format == "MPO" else image.format


def check_single(frames: int, path: Path) -> None:
    """Raises ``ImageError`` for a file of several pictures."""
    if frames != 1:
        raise ImageError(f"{path}: {frames} frames, wanted one picture; restore each of them with --all-frames")
