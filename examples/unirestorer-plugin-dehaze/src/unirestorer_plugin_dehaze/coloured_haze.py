"""Coloured haze: X = Y t + A (1 - t), t = exp(-beta d); d and A vary across the image.

d           optical depth (H, W), at most 1: distance times density. The distance grows towards a horizon; the density
            is a mixture, by ``patchiness``, of even air and of banks (turbulent multi-scale noise); divided by its
            maximum, so that beta is the attenuation along the densest line of sight
beta        U[1.0, 2.8] in distribution, U[2.8, 3.6] out; 0 is the identity
patchiness  U[0.2, 1.0]; 0 is even haze, 1 banks with clear air between them
A           airlight (3, H, W), sRGB values: runs linearly across the image, in a random direction, from ``airlight`` to
            ``airlight_end``, two colours (3,) of one kind: sunset (hue 15 to 32 degrees), smog (32 to 52) or dusk
            (205 to 240); HSV saturation U[0.5, 0.95], value U[0.65, 0.95]; ``drift``, U[0, 0.7], says how far apart
degrees     thin: beta < 1.8, dense: 1.8 <= beta
Source: the haze model of Koschmieder (1924). How d and A vary, all ranges and the boundary are our own choice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from unirestorer.core import Params

from .configs import ColouredHazeConfig

BOUNDARY = 1.8
GRID = 96  # side of the grid on which the density is made
OCTAVES = ((3, 1.0), (6, 0.5), (12, 0.22))  # noise cells per side, amplitude

Draw = torch.Generator


class ColouredHaze:
    """Mixes an image with coloured airlight, the more the denser the haze before it."""

    def __init__(self, config: ColouredHazeConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: Draw) -> Params:
        """``beta``, ``patchiness`` (n,), ``airlight``, ``airlight_end`` (n, 3) float32; ``seed`` (n,) int64."""
        config = self.config
        spans = torch.tensor(config.hues)[torch.randint(len(config.hues), (n,), generator=generator)]
        first, second = self._colours(spans, generator), self._colours(spans, generator)
        drift = _uniform(config.drift, n, generator)
        return {
            "beta": _uniform(config.beta, n, generator),
            "patchiness": _uniform(config.patchiness, n, generator),
            "airlight": first,
            "airlight_end": first + drift[:, None] * (second - first),
            "seed": torch.randint(2**31, (n,), generator=generator),
        }

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Hazy images (n, 3, H, W) in [0, 1]; item by item, so that an item's bits do not depend on its batch."""
        out = torch.empty_like(clean, dtype=torch.float32, memory_format=torch.contiguous_format)
        for index, image in enumerate(clean):
            item = {name: value[index] for name, value in params.items()}
            draw = torch.Generator().manual_seed(int(item["seed"]))
            height, width = image.shape[-2:]
            depth = optical_depth(height, width, float(item["patchiness"]), draw)
            light = airlight(height, width, item["airlight"], item["airlight_end"], draw)
            transmission = torch.exp(-float(item["beta"]) * depth).to(image.device)
            out[index] = image.float().contiguous() * transmission + light.to(image.device) * (1 - transmission)
        return out.clamp_(0.0, 1.0)

    def degree(self, params: Params) -> list[str]:
        """By ``beta``."""
        return ["dense" if beta >= BOUNDARY else "thin" for beta in params["beta"].tolist()]

    def _colours(self, spans: Tensor, generator: Draw) -> Tensor:
        """sRGB colours (n, 3) with a hue of each span (n, 2), in degrees."""
        n = len(spans)
        hue = spans[:, 0] + (spans[:, 1] - spans[:, 0]) * torch.rand(n, generator=generator)
        return _rgb(hue, _uniform(self.config.saturation, n, generator), _uniform(self.config.value, n, generator))


def optical_depth(height: int, width: int, patchiness: float, draw: Draw) -> Tensor:
    """d (H, W) float32 in (0, 1]: distance towards a horizon times the density of the haze on the way."""
    y, x = _coordinates(GRID, GRID)
    tilt, line, scale, near = (_between(*span, draw) for span in ((-0.25, 0.25), (-0.2, 1.0), (0.15, 1.0), (0.1, 0.6)))
    distance = scale / (scale + (line - y - tilt * x).clamp_min(0.0))
    density = 1 - patchiness + patchiness * _banks(draw)
    depth = density * (near + (1 - near) * distance)
    return F.interpolate((depth / depth.amax())[None, None], (height, width), mode="bilinear")[0, 0]


def airlight(height: int, width: int, start: Tensor, end: Tensor, draw: Draw) -> Tensor:
    """A (3, H, W): from colour ``start`` (3,) on one side to ``end`` (3,) on the other, in a random direction."""
    y, x = _coordinates(height, width)
    angle = _between(0.0, 2 * math.pi, draw)
    ramp = 0.5 + 0.5 * (math.sin(angle) * y + math.cos(angle) * x) / (abs(math.sin(angle)) + abs(math.cos(angle)))
    return start[:, None, None] + ramp * (end - start)[:, None, None]


def _banks(draw: Draw) -> Tensor:
    """Density of haze banks (GRID, GRID) in [0, 1]: stretched fractal noise, bent by noise, with soft or hard edges."""
    stretch = _between(1.0, 2.0, draw)
    noise = sum(amount * _noise(cells, stretch, draw) for cells, amount in OCTAVES)
    y, x = _coordinates(GRID, GRID)
    bend = _between(0.02, 0.12, draw)
    places = torch.stack((x + bend * _noise(4, 1.0, draw), -y + bend * _noise(4, 1.0, draw)), -1)
    bent = F.grid_sample(
        torch.as_tensor(noise)[None, None], places[None], padding_mode="reflection", align_corners=False
    )
    return torch.sigmoid(_between(1.2, 3.2, draw) * (bent[0, 0] - _between(-0.6, 0.5, draw)))


def _noise(cells: int, stretch: float, draw: Draw) -> Tensor:
    """Standard normal values, ``cells`` across and ``stretch`` times as many down, smoothly enlarged (GRID, GRID)."""
    coarse = torch.randn(1, 1, round(cells * stretch), cells, generator=draw)
    return F.interpolate(coarse, (GRID, GRID), mode="bicubic", align_corners=True)[0, 0]


def _coordinates(height: int, width: int) -> tuple[Tensor, Tensor]:
    """y (H, 1) from 1 (top) to -1 and x (1, W) from -1 (left) to 1, of pixel centres."""
    y = 1 - 2 * (torch.arange(height) + 0.5) / height
    return y[:, None], (2 * (torch.arange(width) + 0.5) / width - 1)[None]


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV (n,), hue in degrees, to RGB (n, 3)."""
    place = (torch.tensor([5.0, 3.0, 1.0]) + hue[:, None] / 60) % 6
    missing = torch.minimum(place, 4 - place).clamp(0.0, 1.0)
    return value[:, None] * (1 - saturation[:, None] * missing)


def _uniform(span: tuple[float, float], n: int, generator: Draw) -> Tensor:
    """``n`` float32 values, uniform in [low, high]."""
    low, high = span
    return (low + (high - low) * torch.rand(n, generator=generator)).clamp(low, high)


def _between(low: float, high: float, draw: Draw) -> float:
    return low + (high - low) * float(torch.rand(1, generator=draw))
