"""Procedural snow masks: every flake is a soft ellipse with its own place, size, stretch, tilt and opacity.

Three classes of flakes (radii in pixels, counts per pixel at density 1), own choice, tuned by eye, by coverage and by
the published input PSNR of Snow100K S, M, L (about 25, 23, 19 dB): small ones are many; medium ones are opaque and
stretched by their fall; large ones are few, out of focus and half transparent. Most masks also have a veil, the grain
of flakes too far to be seen singly: blurred white noise around a low mean. One mask shares one wind (tilt, stretch).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .blur import gaussian_kernel
from .filters import convolve
from .items import generator_of

CHUNK = 256
"""Flakes drawn at once, of similar size: bounds memory, and small flakes get small windows."""


@dataclass(frozen=True)
class Kind:
    """A class of flakes: (low, high) of the count per pixel (log-uniform), radius (pixels), opacity, edge softness."""

    count: tuple[float, float]
    radius: tuple[float, float]
    opacity: tuple[float, float]
    soft: tuple[float, float]
    stretch: float


SMALL = Kind((3e-3, 2.5e-2), (0.6, 1.7), (0.15, 0.9), (0.8, 1.6), 3.0)
MEDIUM = Kind((2e-4, 1.8e-3), (1.6, 4.0), (0.3, 1.0), (0.7, 1.6), 2.4)
LARGE = Kind((2e-5, 2e-4), (4.5, 12.0), (0.2, 0.8), (0.25, 1.2), 1.6)
KINDS = (SMALL, MEDIUM, LARGE)
VEIL = (0.01, 0.06, 0.22)
"""Mean opacity of the veil at density 1, at most and by class."""


@dataclass(frozen=True)
class Wind:
    """What all flakes of a mask share: direction of fall from the vertical (radians), and stretch in [0, 1]."""

    tilt: float
    stretch: float


def snow_mask(height: int, width: int, size: int, density: float, seed: int) -> Tensor:
    """Opacity (height, width) float32 in [0, 1] of the flakes of class ``size`` (0, 1, 2: see ``snow.py``)."""
    if density == 0:
        return torch.zeros(height, width)
    generator = generator_of(seed)
    u = torch.rand(2, generator=generator).tolist()
    wind = Wind(0.7 * math.pi * (u[0] - 0.5), u[1])
    clear = 1 - _veil(height, width, density * VEIL[size], wind, generator)
    for kind in KINDS[: size + 1]:
        clear = clear * (1 - _layer(height, width, kind, density, wind, generator))
    return 1 - clear


def _between(span: tuple[float, float], u: Tensor) -> Tensor:
    return span[0] + (span[1] - span[0]) * u


def _veil(height: int, width: int, most: float, wind: Wind, generator: torch.Generator) -> Tensor:
    """Grain (height, width) in [0, 1]: white noise blurred along the wind, of mean up to ``most``."""
    mean, contrast, spread = torch.rand(3, generator=generator).tolist()
    kernel: Tensor = gaussian_kernel(9, 0.7 + 1.5 * wind.stretch, 0.5 + 0.4 * spread, math.pi / 2 + wind.tilt)
    grain = convolve(torch.randn(1, height, width, generator=generator), kernel / torch.linalg.vector_norm(kernel))[0]
    veil: Tensor = most * mean * (1 + (0.4 + 0.6 * contrast) * grain)
    return veil.clamp(0.0, 1.0)


def _layer(height: int, width: int, kind: Kind, density: float, wind: Wind, generator: torch.Generator) -> Tensor:
    """The flakes of one kind (height, width); where flakes overlap, the more opaque one counts."""
    level = float(torch.rand(1, generator=generator))
    rate = density * kind.count[0] * (kind.count[1] / kind.count[0]) ** level
    margin = math.ceil(kind.radius[1] * kind.stretch * 1.5) + 1
    area = (height + 2 * margin) * (width + 2 * margin)
    count = int(torch.poisson(torch.tensor(rate * area), generator=generator))
    u = torch.rand(7, count, generator=generator)
    flakes = torch.stack(
        [
            u[0] * (height + 2 * margin) - margin,
            u[1] * (width + 2 * margin) - margin,
            _between(kind.radius, u[2] ** 1.5),
            _between(kind.opacity, u[3]),
            _between(kind.soft, u[4]),
            1 + (kind.stretch - 1) * wind.stretch * u[5].sqrt(),
            wind.tilt + 0.4 * (u[6] - 0.5),
        ]
    )
    layer = torch.zeros(height, width)
    extent, order = (flakes[2] * flakes[5] * (1 + 0.5 * flakes[4])).sort()
    flakes = flakes[:, order]
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        _stamp(layer, flakes[:, start:stop], math.ceil(float(extent[stop - 1])) + 1)
    return layer


def _stamp(layer: Tensor, flakes: Tensor, reach: int) -> None:
    """Raise ``layer`` (H, W) to the opacity of each flake in the (2 reach + 1)^2 window around it, in place.

    ``flakes`` (7, n): row, column, radius, opacity, softness of the edge, stretch along the fall, tilt.
    """
    height, width = layer.shape
    y, x, radius, opacity, soft, stretch, tilt = (value[:, None] for value in flakes)
    offsets = torch.arange(-reach, reach + 1)
    rows, columns = y.floor().to(torch.int64) + offsets, x.floor().to(torch.int64) + offsets
    dy, dx = (rows - y + 0.5)[:, :, None], (columns - x + 0.5)[:, None, :]
    cos, sin = tilt.cos()[..., None], tilt.sin()[..., None]
    along, across = (cos * dy + sin * dx) / stretch[..., None], cos * dx - sin * dy
    distance = (along * along + across * across).sqrt() / radius[..., None]
    rise = ((1 + 0.5 * soft[..., None] - distance) / soft[..., None]).clamp(0.0, 1.0)
    alpha = opacity[..., None] * rise * rise * (3 - 2 * rise)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    seen = inside & (alpha > 0)
    index = (rows[:, :, None] * width + columns[:, None, :])[seen]
    layer.view(-1).scatter_reduce_(0, index, alpha[seen], "amax")
