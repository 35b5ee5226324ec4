"""The photos that a table is measured on: those that its recipe held out, or given ones, as files of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..evaluating.suite import Part, Suite
from ..images import Picture, find_images, load, save
from ..photos import HELDOUT
from ..photos import Photos as Loaded
from ..recipe import Recipe, fingerprint
from ..stages.synthesize import split_of
from .table import Photos

Source = tuple[str, Callable[[], NDArray[np.uint8]]]
"""Name of a photo, and what reads its pixels (H, W, 3)."""


def on_photos(suite: Suite) -> Suite:
    """``suite`` with all its damage put on the photos of the folder of data itself.

    Raises ``ConfigError`` where a part of it is given pairs.
    """
    return suite.model_copy(update={"parts": tuple(_on_photos(suite, part) for part in suite.parts)})


def _on_photos(suite: Suite, part: Part) -> Part:
    if part.degrade is None:
        raise ConfigError(f"suite {suite.name}: part '{part.name}' is no damage of its own; leave out --test")
    return part.model_copy(update={"dataset": None, "split": "test", "only": None, "photos": Path()})


def heldout(photos: Loaded, recipe: Recipe) -> list[Source]:
    """The photos that ``recipe`` trains nothing on; raises ``ConfigError`` where there are none."""
    rows = np.flatnonzero(split_of(photos, recipe) == HELDOUT)
    if not len(rows):
        raise ConfigError(f"{recipe.name}: all its damage is given, so it holds out no photo; name some with --test")
    return [(photos.names[row], partial(photos.pixels.__getitem__, row)) for row in rows]


def given(folder: Path) -> list[Source]:
    """Every photo below ``folder``; raises ``ImageError`` where there is none."""
    return [(name.as_posix(), partial(_pixels, path)) for path, name in find_images([folder])]


def lay_out(sources: Sequence[Source], plan: Photos, folder: Path) -> Path:
    """A folder below ``folder`` with the photos of ``plan`` as PNG files, written once.

    A fixed order is drawn over the names; the centre is cut out of larger ones. Raises ``ImageError``.
    """
    order = np.random.default_rng(0).permutation(len(sources))[: plan.count]
    chosen = [sources[number] for number in sorted(order)]
    target = folder / fingerprint(plan, [name for name, _ in chosen])[:16]
    if target.exists():
        return target
    part = folder / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    for number, (name, read) in enumerate(chosen):
        pixels = _centre(read(), plan.side)
        save(part / f"{number:03d}-{Path(name).stem}.png", pixels, Picture(pixels))
    os.replace(part, target)
    return target


def _pixels(path: Path) -> NDArray[np.uint8]:
    return load(path).eight


def _centre(pixels: NDArray[np.uint8], side: int | None) -> NDArray[np.uint8]:
    if side is None:
        return pixels
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
