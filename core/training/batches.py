"""Batches for the training loop: random patches of rendered samples, a pure function of the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import ObjectiveInput
from ..rendering import Truths
from ..samples import SampleSet


class PatchPairs:
    """Batch number -> (damaged, clean), both float32 (B, 3, patch, patch) in [0, 1], flipped and turned at random."""

    def __init__(
        self,
        samples: SampleSet,
        pixels: NDArray[np.uint8],
        truths: Truths,
        members: NDArray[np.integer],
        *,
        patch: int,
        batch: int,
        seed: int,
    ) -> None:
        self.samples, self.pixels, self.truths, self.members = samples, pixels, truths, members
        self.patch, self.batch, self.seed = min(patch, samples.side), batch, seed

    def __call__(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch ``number``."""
        rng = np.random.default_rng((self.seed, number))
        damaged, clean = [], []
        for row in rng.choice(self.members, self.batch):
            y, x = rng.integers(self.samples.side - self.patch + 1, size=2)
            turn, flip = int(rng.integers(4)), bool(rng.integers(2))
            crop = self.pixels[row, :, y : y + self.patch, x : x + self.patch]
            truth = self.truths.crop(int(row), (int(y), int(x)), self.patch).transpose(2, 0, 1)
            damaged.append(dihedral(crop, turn, flip))
            clean.append(dihedral(truth, turn, flip))
        return _batch(damaged), _batch(clean)


class LabelledCrops:
    """Batch number -> what an extractor is trained on: what ``inputs`` names, in that order.

    Random crops of the samples and the same of their truth, both (B, 3, side, side) float32 in [0, 1], flipped and
    turned alike; prompts and photos (B,) int64. ``truths`` are needed for ``clean`` alone.
    """

    def __init__(
        self,
        samples: SampleSet,
        pixels: NDArray[np.uint8],
        truths: Truths | None,
        members: NDArray[np.integer],
        *,
        side: int,
        batch: int,
        seed: int,
        inputs: Sequence[ObjectiveInput],
    ) -> None:
        self.samples, self.pixels, self.truths, self.members = samples, pixels, truths, members
        self.side, self.batch, self.seed, self.inputs = min(side, samples.side), batch, seed, inputs

    def __call__(self, number: int) -> tuple[Tensor, ...]:
        """The batch ``number``."""
        rng = np.random.default_rng((self.seed, number))
        rows = rng.choice(self.members, self.batch)
        crops, truths = [], []
        for row in rows:
            y, x = rng.integers(self.samples.side - self.side + 1, size=2)
            turn, flip = int(rng.integers(4)), bool(rng.integers(2))
            crop = self.pixels[row, :, y : y + self.side, x : x + self.side]
            crops.append(dihedral(crop, turn, flip))
            if self.truths is not None:
                truth = self.truths.crop(int(row), (int(y), int(x)), self.side).transpose(2, 0, 1)
                truths.append(dihedral(truth, turn, flip))
        make: dict[ObjectiveInput, Callable[[], Tensor]] = {
            "images": lambda: _batch(crops),
            "prompt": lambda: torch.from_numpy(self.samples.prompt[rows].astype(np.int64)),
            "photo": lambda: torch.from_numpy(self.samples.image[rows].astype(np.int64)),
            "clean": lambda: _batch(truths),
        }
        return tuple(make[name]() for name in self.inputs)


def dihedral(image: NDArray[np.uint8], turn: int, flip: bool) -> NDArray[np.uint8]:
    """``image`` (3, H, W) turned by ``turn`` quarter turns and mirrored."""
    turned = np.rot90(image, turn, axes=(1, 2))
    return turned[:, :, ::-1] if flip else turned


def _batch(crops: list[NDArray[np.uint8]]) -> Tensor:
    images = torch.from_numpy(np.stack(crops)).float().div_(255)
    return images.contiguous(memory_format=torch.channels_last)


def centre_pairs(
    samples: SampleSet, pixels: NDArray[np.uint8], truths: Truths, rows: NDArray[np.integer], patch: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(damaged, clean) centre patches (n, 3, patch, patch) uint8 of the samples ``rows``."""
    patch = min(patch, samples.side)
    start = (samples.side - patch) // 2
    damaged = np.ascontiguousarray(pixels[rows, :, start : start + patch, start : start + patch])
    crops = [truths.crop(int(row), (start, start), patch).transpose(2, 0, 1) for row in rows]
    return damaged, np.stack(crops)
