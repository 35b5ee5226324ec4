"""Snow: X = Y (1 - M) + M c, c = 1 (white).

M         opacity of the flakes (H, W) in [0, 1]; procedural (``flakes.py``), or a mask of ``mask_folder``
size      which flakes: 0 small; 1 small and medium; 2 small, medium and large (the classes S, M, L of Snow100K)
density   relative number of flakes, U[0.3, 1.3] in both presets; 0 is the identity (procedural masks only)
degrees   small, medium, large: by ``size``
Source: paper, supplement A, equation E (formula of OneRestore); classes of Snow100K, whose masks the paper uses. The
procedural masks are our own choice; a folder holds one class, and ``size`` says which.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from unirestorer.core.contracts import Params

from .configs import SnowConfig
from .flakes import snow_mask
from .items import generator_of, integers, per_item, seeds, uniform
from .maps import list_maps, load_map

DEGREES = ("small", "medium", "large")


class Snow:
    """Covers an image with white flakes. ``ConfigError`` when ``mask_folder`` holds no images."""

    def __init__(self, config: SnowConfig) -> None:
        self.config = config
        self._maps = list_maps(config.mask_folder)

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``size``, ``map`` (index into the sorted folder, else 0), ``seed`` int64; ``density`` float32; (n,)."""
        return {
            "size": integers(self.config.size, n, generator),
            "density": uniform(self.config.density, n, generator),
            "map": integers((0, max(len(self._maps) - 1, 0)), n, generator),
            "seed": seeds(n, generator),
        }

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Snowy images (n, 3, H, W) in [0, 1]. Raises ``ImageError`` when a mask cannot be read."""
        return per_item(clean, params, ("size", "density", "map", "seed"), self._damage)

    def degree(self, params: Params) -> list[str]:
        """By ``size``."""
        return [DEGREES[size] for size in params["size"].tolist()]

    def _damage(self, image: Tensor, size: int, density: float, index: int, seed: int) -> Tensor:
        height, width = image.shape[-2:]
        if self._maps:
            mask = fit(load_map(self._maps[index % len(self._maps)]), height, width, seed)
        else:
            mask = snow_mask(height, width, size, density, seed)
        return snowy(image, mask.to(image.device))


def snowy(image: Tensor, mask: Tensor) -> Tensor:
    """The formula of this module for one image (3, H, W) and a mask (H, W)."""
    return image * (1 - mask) + mask


def fit(mask: Tensor, height: int, width: int, seed: int) -> Tensor:
    """A (height, width) part of ``mask`` at a place drawn from ``seed``; a mask that is too small is enlarged first."""
    scale = max(height / mask.shape[0], width / mask.shape[1], 1.0)
    if scale > 1:
        size = [max(height, round(mask.shape[0] * scale)), max(width, round(mask.shape[1] * scale))]
        mask = F.interpolate(mask[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    corner = torch.rand(2, generator=generator_of(seed)).tolist()
    top, left = (int(u * (have - want + 1)) for u, have, want in zip(corner, mask.shape, (height, width), strict=True))
    return mask[top : top + height, left : left + width]
