"""Tone: another development of the same photo. It counts as undamaged; it teaches routers what to leave alone.

X = s (Z - g(Z)) + g(Z),  Z = (clip(gain Y) ^ gamma - 1/2) contrast + 1/2,  g the luminance of a pixel, s the saturation

gain, gamma, contrast, saturation    factors drawn from the ranges of ``ToneConfig``; all 1 is the identity
degrees                              none
Source: own choice, about what cameras and editing programs do to undamaged photos.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unirestorer.core.contracts import Params

from .configs import ToneConfig
from .filters import luminance, power
from .items import per_item, uniform

FIELDS = ("gain", "gamma", "contrast", "saturation")


class Tone:
    """Changes exposure, gradation, contrast and saturation."""

    def __init__(self, config: ToneConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``gain``, ``gamma``, ``contrast``, ``saturation``: float32 (n,)."""
        return {name: uniform(getattr(self.config, name), n, generator) for name in FIELDS}

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Toned images (n, 3, H, W) in [0, 1]."""
        return per_item(clean, params, FIELDS, _tone)

    def degree(self, params: Params) -> list[str]:
        """Always ``none``: the photo is not damaged."""
        return ["none"] * len(params["gain"])


def _tone(image: Tensor, gain: float, gamma: float, contrast: float, saturation: float) -> Tensor:
    toned = image if gain == 1 else (image * gain).clamp(0, 1)
    toned = toned if gamma == 1 else power(toned, gamma)
    toned = toned if contrast == 1 else (toned - 0.5) * contrast + 0.5
    grey = luminance(toned)
    return toned if saturation == 1 else (toned - grey) * saturation + grey
