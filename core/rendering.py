"""Recorded samples to pixels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .catalogue import Catalogue
from .contracts import Params, Synthesizer
from .photos import Photos
from .samples import SampleSet, build_synthesizer

RENDER_BATCH = 8


def render(samples: SampleSet, photos: Photos, catalogue: Catalogue, target: Path) -> NDArray[np.uint8]:
    """The damaged crops (N, 3, side, side) uint8, mapped from the file ``target``, which is made once."""
    shape = (len(samples), 3, samples.side, samples.side)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for number, (name, config) in enumerate(samples.synthesizers):
            _render_one(samples, photos, build_synthesizer(catalogue, name, config), number, pixels)
        pixels.flush()
        os.replace(temporary, target)
    loaded: NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return loaded


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
