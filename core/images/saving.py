"""Pictures into files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..canvas import Pixels, in_eight_bits
from ..errors import ImageError, ShapeError
from ..files import atomic
from .formats import FORMATS, Saving, format_of
from .holding import held
from .opening import FAILURES
from .picture import Picture, samples
from .writing import write

_QUALITY = 95


def save(
    path: str | Path, pixels: Pixels, like: Picture, saving: Saving | None = None, provenance: str | None = None
) -> tuple[str, ...]:
    """Write ``pixels`` (H, W, 3) uint8 or uint16 RGB with the alpha, greyness and metadata of ``like``.

    The suffix chooses the format, unless ``saving`` does. ``provenance``: JSON text on how it was made, for the XMP
    packet. The file appears whole or not at all; missing folders are created. Returns what the format cannot hold, a
    phrase each. Raises ``ImageError`` (unwritable, unknown suffix, transparency that the format cannot hold) or
    ``ShapeError``.
    """
    path, saving = Path(path), saving or Saving()
    kind = format_of(path, saving)
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape != like.pixels.shape:
        wanted = f"{like.pixels.shape} uint8 or uint16"
        raise ShapeError(f"{path}: pixels are {pixels.shape} {pixels.dtype}, wanted {wanted}")
    values = fitting(pixels, like, kind, path)
    data = held(like, kind, provenance, values.shape[2])
    with atomic(path) as file, encoding(path, kind):
        write(file, kind, values, data, *losing(saving, kind, like))
    return data.lost


def fitting(pixels: Pixels, like: Picture, kind: str, path: Path) -> NDArray[Any]:
    """The samples (H, W, C) of a file of ``kind``; raises ``ImageError`` for transparency that it cannot hold."""
    alpha = like.alpha
    if not FORMATS[kind].alpha:
        if alpha is not None and not bool((alpha == np.iinfo(alpha.dtype).max).all()):
            raise ImageError(f"{path}: {kind} cannot hold the transparency of the source; choose a name ending in .png")
        alpha = None
    return samples(pixels if (FORMATS[kind].bits or 8) > 8 else in_eight_bits(pixels), alpha, like.grey)


def losing(saving: Saving, kind: str, like: Picture) -> tuple[int, bool]:
    """(quality, whether nothing is lost) of a file of ``kind`` made of ``like``."""
    quality = saving.quality or max(_QUALITY, like.quality or 0)
    same = like.lossless and like.format == kind and saving.quality is None
    return quality, FORMATS[kind].lossless == "choice" and (saving.lossless or same)


@contextmanager
def encoding(path: Path, kind: str) -> Iterator[None]:
    """Turns what an encoder fails with into one ``ImageError`` line; a full disk and the like pass through."""
    try:
        yield
    except OSError:
        raise
    except FAILURES as error:
        raise ImageError(f"{path}: cannot be written as {kind}: {error}; choose another format") from error
