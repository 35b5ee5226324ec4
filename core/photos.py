"""The clean photos that training samples are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import ConfigError, ImageError
from .files import digest
from .images import find_images, load

TRAIN, CALIBRATION, HELDOUT = 0, 1, 2
"""Which part of the photos trains extractor and experts, routers too, or nothing."""


@dataclass(frozen=True)
class Photos:
    """Clean photos in memory: uint8 (H, W, 3) arrays, at least ``crop`` pixels on each side, with names and hashes."""

    names: tuple[str, ...]
    hashes: tuple[str, ...]
    pixels: tuple[NDArray[np.uint8], ...]

    def crop(self, image: int, corner: NDArray[np.integer], side: int) -> NDArray[np.uint8]:
        """The (side, side, 3) crop with its top left at ``corner`` (y, x)."""
        y, x = int(corner[0]), int(corner[1])
        return self.pixels[image][y : y + side, x : x + side]


def load_photos(folder: Path, crop: int) -> Photos:
    """Every image under ``folder``, enlarged where a side is shorter than ``crop``; raises ``ImageError``."""
    names, hashes, pixels = [], [], []
    for path, relative in find_images([folder]):
        picture = load(path)
        names.append(relative.as_posix())
        hashes.append(digest(path))
        pixels.append(at_least(picture.eight, crop))
    if len(names) < 4:
        raise ImageError(f"{folder}: got {len(names)} photos, wanted at least 4 clean photos to train on")
    return Photos(tuple(names), tuple(hashes), tuple(pixels))


def at_least(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture (H, W, 3), enlarged where it is shorter than ``side`` pixels, keeping its proportions."""
    height, width = enlarged(pixels.shape[0], pixels.shape[1], side)
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def enlarged(height: int, width: int, side: int) -> tuple[int, int]:
    """The size that ``at_least`` makes of a picture."""
    scale = side / min(height, width)
    return (height, width) if scale <= 1 else (max(side, round(height * scale)), max(side, round(width * scale)))


def split_photos(count: int, calibration: float, heldout: float, seed: int) -> NDArray[np.int32]:
    """(count,) split of each photo, drawn at random; every split has at least one photo."""
    if count < 4:
        raise ConfigError(
            f"{count} photos cannot be split into training, calibration and held-out ones; wanted at least 4"
        )
    order = np.random.default_rng(seed).permutation(count)
    held, kept = max(1, round(heldout * count)), max(1, round(calibration * count))
    split = np.full(count, TRAIN, dtype=np.int32)
    split[order[:held]] = HELDOUT
    split[order[held : held + kept]] = CALIBRATION
    return split
