"""Gaussian noise: X = clip(Y + n), n ~ N(0, (sigma / 255)^2), independent per pixel and channel.

sigma     integer, in units of 1/255; U[15, 50] in distribution, U[50, 70] out; 0 is the identity
degrees   small: sigma < 20, medium: 20 <= sigma < 35, large: 35 <= sigma
Source: paper, supplement A, equation B; ranges MiOIR; the boundaries are our own choice (they part 15, 25 and 50).
"""

from __future__ import annotations

import torch
from torch import Tensor

from unirestorer.core.contracts import Params

from .configs import NoiseConfig
from .items import generator_of, integers, names_of, per_item, seeds

BOUNDARIES = (20, 35)
DEGREES = ("small", "medium", "large")


class Noise:
    """Adds white Gaussian colour noise."""

    def __init__(self, config: NoiseConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``sigma`` (1/255) and ``seed``, int64 (n,)."""
        return {"sigma": integers(self.config.sigma, n, generator), "seed": seeds(n, generator)}

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Noisy images (n, 3, H, W) in [0, 1]."""
        return per_item(clean, params, ("sigma", "seed"), _damage)

    def degree(self, params: Params) -> list[str]:
        """By ``sigma``."""
        return names_of(params["sigma"], BOUNDARIES, DEGREES)


def _damage(image: Tensor, sigma: int, seed: int) -> Tensor:
    noise = torch.randn(image.shape, generator=generator_of(seed)).to(image.device)
    return image + noise * (sigma / 255)
