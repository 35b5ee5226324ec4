"""Camera shake: X = Y (*) k, k the path of a hand-held camera during the exposure, normalised to sum 1.

length    of the path in pixels, U[6, 20] in distribution, U[20, 30] out; below 1 it is the identity
turn      standard deviation of the change of direction along the whole path, radians, U[0.5, 3]
borders   reflected, as in ``blur.py``
degrees   small: length < 12, large: 12 <= length
Source: own choice; the paper blurs with Gaussian kernels only. Random paths after Boracchi and Foi (2012), "Modeling
the performance of image restoration from motion blur". No built-in expert is trained on it: routers learn to do no
harm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unirestorer.core.contracts import Params

from .configs import ShakeConfig
from .filters import convolve
from .items import generator_of, names_of, per_item, seeds, uniform

BOUNDARIES = (12.0,)
DEGREES = ("small", "large")
STEPS = 256


class Shake:
    """Convolves with a random camera path."""

    def __init__(self, config: ShakeConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``length`` (pixels) and ``turn`` (radians) float32, ``seed`` int64, each (n,)."""
        length, turn = uniform(self.config.length, n, generator), uniform(self.config.turn, n, generator)
        return {"length": length, "turn": turn, "seed": seeds(n, generator)}

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Shaken images (n, 3, H, W) in [0, 1]."""
        return per_item(clean, params, ("length", "turn", "seed"), _damage)

    def degree(self, params: Params) -> list[str]:
        """By ``length``."""
        return names_of(params["length"], BOUNDARIES, DEGREES)


def path_kernel(length: float, turn: float, seed: int) -> Tensor:
    """A float32 kernel of odd side and sum 1: a path of ``length`` pixels that turns at random and pauses at random."""
    generator = generator_of(seed)
    start = float(torch.rand(1, generator=generator)) * 2 * math.pi
    turns = torch.randn(STEPS, generator=generator, dtype=torch.float64).cumsum(0) * (turn / math.sqrt(STEPS))
    speed = torch.rand(STEPS, generator=generator, dtype=torch.float64) ** 2
    step = length * speed / speed.sum()
    x, y = (step * (start + turns).cos()).cumsum(0), (step * (start + turns).sin()).cumsum(0)
    x, y = x - (x.max() + x.min()) / 2, y - (y.max() + y.min()) / 2
    radius = math.ceil(float(torch.maximum(x.abs().max(), y.abs().max()))) + 1
    kernel = torch.zeros((2 * radius + 1) ** 2, dtype=torch.float64)
    left, top = x.floor(), y.floor()
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - (x - left - dx).abs()) * (1 - (y - top - dy).abs())
            index = (top + dy + radius) * (2 * radius + 1) + left + dx + radius
            kernel.index_add_(0, index.long(), weight)
    return (kernel / kernel.sum()).float().reshape(2 * radius + 1, 2 * radius + 1)


def _damage(image: Tensor, length: float, turn: float, seed: int) -> Tensor:
    return image if length < 1 else convolve(image, path_kernel(length, turn, seed))
