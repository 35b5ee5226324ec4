"""Batches for the training loop: random patches of rendered samples, a pure function of the step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..photos import Photos
from ..samples import SampleSet


class PatchPairs:
    """Batch number -> (damaged, clean), both float32 (B, 3, patch, patch) in [0, 1], flipped and turned at random."""

    def __init__(
        self,
        samples: SampleSet,
        pixels: NDArray[np.uint8],
        photos: Photos,
        members: NDArray[np.integer],
        *,
        patch: int,
        batch: int,
        seed: int,
    ) -> None:
        self.samples, self.pixels, self.photos, self.members = samples, pixels, photos, members
        self.patch, self.batch, self.seed = min(patch, samples.side), batch, seed

    def __call__(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch ``number``."""
        rng = np.random.default_rng((self.seed, number))
        damaged, clean = [], []
        for row in rng.choice(self.members, self.batch):
            y, x = rng.integers(self.samples.side - self.patch + 1, size=2)
            turn, flip = int(rng.integers(4)), bool(rng.integers(2))
            crop = self.pixels[row, :, y : y + self.patch, x : x + self.patch]
            corner = self.samples.crop[row] + (y, x)
            truth = self.photos.crop(self.samples.image[row], corner, self.patch).transpose(2, 0, 1)
            damaged.append(dihedral(crop, turn, flip))
            clean.append(dihedral(truth, turn, flip))
        return _batch(damaged), _batch(clean)


class LabelledCrops:
    """Batch number -> (damaged (B, 3, side, side), prompt (B,) int64): what an extractor is trained on."""

    def __init__(
        self,
        samples: SampleSet,
        pixels: NDArray[np.uint8],
        members: NDArray[np.integer],
        *,
        side: int,
        batch: int,
        seed: int,
    ) -> None:
        self.samples, self.pixels, self.members = samples, pixels, members
        self.side, self.batch, self.seed = min(side, samples.side), batch, seed

    def __call__(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch ``number``."""
        rng = np.random.default_rng((self.seed, number))
        rows = rng.choice(self.members, self.batch)
        crops = []
        for row in rows:
            y, x = rng.integers(self.samples.side - self.side + 1, size=2)
            crop = self.pixels[row, :, y : y + self.side, x : x + self.side]
            crops.append(dihedral(crop, int(rng.integers(4)), bool(rng.integers(2))))
        return _batch(crops), torch.from_numpy(self.samples.prompt[rows].astype(np.int64))


def dihedral(image: NDArray[np.uint8], turn: int, flip: bool) -> NDArray[np.uint8]:
    """``image`` (3, H, W) turned by ``turn`` quarter turns and mirrored."""
    turned = np.rot90(image, turn, axes=(1, 2))
    return turned[:, :, ::-1] if flip else turned


def _batch(crops: list[NDArray[np.uint8]]) -> Tensor:
    images = torch.from_numpy(np.stack(crops)).float().div_(255)
    return images.contiguous(memory_format=torch.channels_last)


def centre_pairs(
    samples: SampleSet, pixels: NDArray[np.uint8], photos: Photos, rows: NDArray[np.integer], patch: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(damaged, clean) centre patches (n, 3, patch, patch) uint8 of the samples ``rows``."""
    patch = min(patch, samples.side)
    start = (samples.side - patch) // 2
    damaged = np.ascontiguousarray(pixels[rows, :, start : start + patch, start : start + patch])
    crops = [photos.crop(samples.image[i], samples.crop[i] + start, patch).transpose(2, 0, 1) for i in rows]
    return damaged, np.stack(crops)
