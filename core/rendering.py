"""Recorded samples to pixels: of damaged crops, and of their truths."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .catalogue import Catalogue
from .contracts import Params, Synthesizer
from .datasets import Side
from .pairs import Given
from .photos import Photos
from .samples import SampleSet, build_synthesizer

RENDER_BATCH = 8


def render(
    samples: SampleSet, photos: Photos, catalogue: Catalogue, target: Path, given: Given | None = None
) -> NDArray[np.uint8]:
    """The damaged crops (N, 3, side, side) uint8, mapped from the file ``target``, which is made once."""

    def fill(pixels: NDArray[np.uint8]) -> None:
        for number, (name, config) in enumerate(samples.synthesizers):
            _render_one(samples, photos, build_synthesizer(catalogue, name, config), number, pixels)
        if samples.sources:
            rows = samples.given
            for place, crop in _given_crops(samples, given or Given(), "lq"):
                pixels[rows[place]] = crop

    return _mapped(target, len(samples), samples.side, fill)


@dataclass(frozen=True)
class Truths:
    """The truth of every sample: crops of clean photos in memory, and of given pairs, mapped from a file."""

    samples: SampleSet
    photos: Photos
    pixels: NDArray[np.uint8] | None = None

    @cached_property
    def _place(self) -> NDArray[np.intp]:
        return np.cumsum(self.samples.synthesizer >= len(self.samples.synthesizers)) - 1

    def crop(self, row: int, corner: tuple[int, int], side: int) -> NDArray[np.uint8]:
        """Truth (side, side, 3) of the part of sample ``row`` whose top left is at ``corner`` (y, x) of it."""
        samples, (y, x) = self.samples, corner
        if samples.synthesizer[row] < len(samples.synthesizers):
            return self.photos.crop(samples.image[row], samples.crop[row] + (y, x), side)
        assert self.pixels is not None
        return self.pixels[self._place[row], :, y : y + side, x : x + side].transpose(1, 2, 0)


def truths(samples: SampleSet, photos: Photos, given: Given, target: Path) -> Truths:
    """The truths of ``samples``; those of given pairs are copied once to the file ``target``, to keep memory small."""
    count = len(samples.given)
    if not count:
        return Truths(samples, photos)

    def fill(pixels: NDArray[np.uint8]) -> None:
        for place, crop in _given_crops(samples, given, "gt"):
            pixels[place] = crop

    return Truths(samples, photos, _mapped(target, count, samples.side, fill))


def _mapped(target: Path, count: int, side: int, fill: Callable[[NDArray[np.uint8]], None]) -> NDArray[np.uint8]:
    """Pixels (count, 3, side, side) uint8 of the file ``target``; ``fill`` makes them where it is not there yet."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, 3, side, side))
        fill(pixels)
        pixels.flush()
        os.replace(temporary, target)
    loaded: NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return loaded


def _given_crops(samples: SampleSet, given: Given, which: Side) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Place among the given samples, and crop (3, side, side), of every one of them; each pair is decoded once."""
    rows, side = samples.given, samples.side
    assert samples.pair is not None
    sources = [given.find(kind, config) for kind, config in samples.sources]
    last, picture = -1, np.zeros((0, 0, 3), dtype=np.uint8)
    for place in np.argsort(samples.pair[rows], kind="stable"):
        row = rows[place]
        pair, image = samples.pairs[samples.pair[row]], samples.image[row]
        if samples.pair[row] != last:
            last, source = samples.pair[row], sources[samples.synthesizer[row] - len(samples.synthesizers)]
            names, hashes = (pair[0], samples.images[image]), (pair[1], samples.hashes[image])
            picture = source.pixels(names, hashes, which, side)
        y, x = samples.crop[row]
        yield int(place), picture[y : y + side, x : x + side].transpose(2, 0, 1)


def _render_one(
    samples: SampleSet, photos: Photos, synthesizer: Synthesizer, number: int, pixels: NDArray[np.uint8]
) -> None:
    rows = np.flatnonzero(samples.synthesizer == number)
    fields = samples.params.get(samples.synthesizers[number][0], {})
    for start in range(0, len(rows), RENDER_BATCH):
        part = rows[start : start + RENDER_BATCH]
        clean = to_float(np.stack([photos.crop(samples.image[i], samples.crop[i], samples.side) for i in part]))
        params: Params = {
            k: torch.from_numpy(np.ascontiguousarray(v[start : start + len(part)])) for k, v in fields.items()
        }
        with torch.inference_mode():
            pixels[part] = to_bytes(synthesizer.apply(clean, params))


def to_float(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, H, W, 3) to float32 (n, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).contiguous().float().div_(255)


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """float (n, 3, H, W) to rounded uint8 of the same layout."""
    array: NDArray[np.uint8] = images.clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return array
