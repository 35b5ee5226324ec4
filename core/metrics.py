"""PSNR through torchmetrics. The convention is part of a number: RGB, 8-bit rounded, no border, full range."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import ShapeError
from .vision import prepare_torchvision


def psnr(image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of uint8 RGB (H, W, 3) over all pixels and channels; infinite when equal."""
    _check(image, truth)
    if np.array_equal(image, truth):
        return math.inf
    prepare_torchvision()  # torchmetrics imports torchvision where it is installed
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(_tensor(image), _tensor(truth), data_range=255.0))


def _tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()


def _check(image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    if image.shape != truth.shape or image.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ShapeError(
            f"metrics: got {image.shape} {image.dtype} and {truth.shape} {truth.dtype}, wanted two equal uint8 shapes"
        )
