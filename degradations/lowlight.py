"""Low light: X = (Y / L) L_used^gamma in the paper's form, that is Y M^(gamma - 1) with an illumination M in (0, 1].

L          illumination (H, W): maximum over R, G, B, smoothed by a guided filter (guide: itself), floor 1e-3
M          exposure ((1 - uniformity) L + uniformity mean(L)); exposure 1 and uniformity 0 give (Y / L) L^gamma
gamma      U[1.5, 3] in distribution, U[3, 4] out; 1 is the identity
uniformity U[0, 1]: 0 darkens the shadows most, 1 scales all pixels alike, as a short exposure does
exposure   U[0.5, 1]: the scale of a retinex illumination is arbitrary, a bright scene may be underexposed too
noise      optional Gaussian noise of std noise_sigma / 255 after darkening, default 0: the paper drops the noise term
degrees    light: gamma < 2, heavy: 2 <= gamma
Source: paper, supplement A, equation F (structure of OneRestore). The gamma ranges are not published; ours lie between
MiOIR's [1, 3] (near 1 is no damage) and OneRestore's [2, 3]. Uniformity, exposure and noise range are our own choice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unirestorer.core.contracts import Params

from .configs import LowLightConfig
from .filters import guided, mean, power
from .items import generator_of, names_of, per_item, seeds, uniform

BOUNDARIES = (2.0,)
DEGREES = ("light", "heavy")
RADIUS, EPS, FLOOR = 8, 0.01, 1e-3


class LowLight:
    """Darkens an image by its own illumination map."""

    def __init__(self, config: LowLightConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``gamma``, ``uniformity``, ``exposure``, ``noise_sigma`` (1/255) float32 and ``seed`` int64, each (n,)."""
        names = ("gamma", "uniformity", "exposure", "noise_sigma")
        drawn = {name: uniform(getattr(self.config, name), n, generator) for name in names}
        return {**drawn, "seed": seeds(n, generator)}

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Dark images (n, 3, H, W) in [0, 1]."""
        return per_item(clean, params, ("gamma", "uniformity", "exposure", "noise_sigma", "seed"), _damage)

    def degree(self, params: Params) -> list[str]:
        """By ``gamma``."""
        return names_of(params["gamma"], BOUNDARIES, DEGREES)


def illumination(image: Tensor) -> Tensor:
    """The smoothed maximum over the channels of (3, H, W): (H, W) in [1e-3, 1]."""
    brightest = image.amax(0)
    return guided(brightest, brightest, RADIUS, EPS).clamp(FLOOR, 1.0)


def _damage(image: Tensor, gamma: float, uniformity: float, exposure: float, noise_sigma: float, seed: int) -> Tensor:
    light = illumination(image)
    used = exposure * ((1 - uniformity) * light + uniformity * mean(light))
    dark = image * power(used, gamma - 1)
    if noise_sigma == 0:
        return dark
    return dark + torch.randn(image.shape, generator=generator_of(seed)).to(image.device) * (noise_sigma / 255)
