"""Deterministic inputs for checking plugins."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def clean_images(n: int = 2, height: int = 40, width: int = 48, seed: int = 1) -> Tensor:
    """Smooth random images with some texture, float32 (n, 3, H, W) in [0, 1]; equal arguments, equal images."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 5, 5, generator=draw)
    grain = torch.rand(n, 3, height, width, generator=draw)
    if n == 0:
        return grain
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    return (0.9 * smooth + 0.1 * grain).clamp(0, 1)


def with_extremes(height: int, width: int) -> Tensor:
    """Three images, float32 (3, 3, H, W): textured, all black, all white."""
    return torch.cat(
        [clean_images(1, height, width), torch.zeros(1, 3, height, width), torch.ones(1, 3, height, width)]
    )


def representations(n: int = 240, width: int = 8, seed: int = 0) -> NDArray[np.float32]:
    """DRs (n, width) float32: four Gaussian blobs (types) of three closer ones (degrees) each."""
    draw = np.random.default_rng(seed)
    types = 4 * draw.normal(size=(4, 1, width))
    degrees = (types + draw.normal(size=(4, 3, width))).reshape(12, width)
    return (degrees[np.arange(n) % 12] + 0.1 * draw.normal(size=(n, width))).astype(np.float32)
