"""Haze: X = Y t + A (1 - t), t = exp(-beta d).

d         depth (H, W) in [0, 1], larger is farther; procedural (``depth.py``), or a map of ``depth_folder``
beta      attenuation over the whole depth range; U[0.5, 2.5] in distribution, U[2.5, 3.0] out; 0 is the identity
A         gray airlight, sRGB value, U[0.8, 1.0] in both
degrees   normal: beta < 1.5, thick: 1.5 <= beta
Source: paper, supplement A, equation D; ranges MiOIR. The boundary is our own choice. The paper takes depth from
MegaDepth; the procedural depth and the folder are our own choice.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from unirestorer.core.contracts import Params

from .configs import HazeConfig
from .depth import procedural_depth
from .items import integers, names_of, per_item, seeds, uniform
from .maps import list_maps, load_map

BOUNDARIES = (1.5,)
DEGREES = ("normal", "thick")


class Haze:
    """Mixes an image with airlight, the more the farther. ``ConfigError`` when ``depth_folder`` holds no images."""

    def __init__(self, config: HazeConfig) -> None:
        self.config = config
        self._maps = list_maps(config.depth_folder)

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``beta``, ``airlight`` float32; ``map`` (index into the sorted folder, else 0), ``seed`` int64; (n,)."""
        return {
            "beta": uniform(self.config.beta, n, generator),
            "airlight": uniform(self.config.airlight, n, generator),
            "map": integers((0, max(len(self._maps) - 1, 0)), n, generator),
            "seed": seeds(n, generator),
        }

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Hazy images (n, 3, H, W) in [0, 1]. Raises ``ImageError`` when a depth map cannot be read."""
        return per_item(clean, params, ("beta", "airlight", "map", "seed"), self._damage)

    def degree(self, params: Params) -> list[str]:
        """By ``beta``."""
        return names_of(params["beta"], BOUNDARIES, DEGREES)

    def _damage(self, image: Tensor, beta: float, airlight: float, index: int, seed: int) -> Tensor:
        if self._maps:
            depth = load_map(self._maps[index % len(self._maps)])
            depth = F.interpolate(depth[None, None], image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
        else:
            depth = procedural_depth(image, seed)
        return hazy(image, depth.to(image.device), beta, airlight)


def hazy(image: Tensor, depth: Tensor, beta: float, airlight: float) -> Tensor:
    """The formula of this module for one image (3, H, W) and its depth (H, W)."""
    transmission = torch.exp(-beta * depth)
    return image * transmission + airlight * (1 - transmission)
