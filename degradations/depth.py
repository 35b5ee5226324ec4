"""Procedural depth for haze: a room or an open ground, objects standing in it, edges that follow the image.

All of it is our own choice; it stands in for the estimated or measured depth maps of the paper (MegaDepth):
1. planes    the nearest of a ground, perhaps side walls and a ceiling, and a back wall; a plane that runs towards the
             vanishing line at distance s on the image has depth c / (c + s), as perspective gives
2. objects   up to 6 boxes or ellipses, nearer than what they hide
3. relief    smooth random modulation; random warping keeps edges from being straight
4. image     often a random function of the smoothed luminance is added; always the map is filtered with the image as
             guide, so that depth edges sit on image edges as they do in photographs
5. range     the farthest point is 1, the nearest a random offset in [0.05, 0.45]
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from .filters import guided, luminance, power
from .items import generator_of

Draw = torch.Generator


def procedural_depth(image: Tensor, seed: int) -> Tensor:
    """A depth map (H, W) float32 in [0, 1], larger is farther, for ``image`` (3, H, W); equal seeds, equal maps."""
    draw = generator_of(seed)
    height, width = image.shape[-2:]
    y, x = _warped_grid(height, width, draw)
    depth = _planes(y, x, draw)
    depth = _objects(depth, y, x, draw)
    depth = depth * (1 + 0.12 * _smooth_noise(height, width, 6, draw))
    depth = _follow(depth, luminance(image.cpu()), draw)
    low, high = depth.amin(), depth.amax()
    offset, bend = _between(0.05, 0.45, draw), _between(1.0, 2.0, draw)
    return offset + (1 - offset) * power(((depth - low) / (high - low).clamp_min(1e-6)).clamp(0.0, 1.0), bend)


def _between(low: float, high: float, draw: Draw) -> float:
    return low + (high - low) * float(torch.rand(1, generator=draw))


def _smooth_noise(height: int, width: int, cells: int, draw: Draw) -> Tensor:
    """Standard normal values on a coarse grid, enlarged to (height, width)."""
    coarse = torch.randn(1, 1, cells, cells, generator=draw)
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[0, 0]


def _warped_grid(height: int, width: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Coordinates (height, width): y from -1 (bottom) to 1 (top), x from -1 to 1, slightly bent."""
    y = 1 - 2 * (torch.arange(height) + 0.5) / height
    x = 2 * (torch.arange(width) + 0.5) / width - 1
    bend = _between(0.0, 0.06, draw)
    grid_y = y[:, None] + bend * _smooth_noise(height, width, 9, draw)
    grid_x = x[None, :] + bend * _smooth_noise(height, width, 9, draw)
    return grid_y, grid_x


def _plane(y: Tensor, x: Tensor, towards: float, draw: Draw) -> Tensor:
    """Depth of a plane whose vanishing line lies in direction ``towards`` (radians, 0 = right, pi / 2 = up)."""
    along = math.cos(towards) * x + math.sin(towards) * y
    line, scale = _between(0.0, 1.2, draw), _between(0.1, 0.8, draw)
    return scale / (scale + (line - along).clamp_min(0.0))


def _planes(y: Tensor, x: Tensor, draw: Draw) -> Tensor:
    """The nearest of a ground (rarely tilted anyhow), side walls, a ceiling and a back wall."""
    tilt = math.pi if _between(0, 1, draw) < 0.1 else 0.25
    depth = _plane(y, x, math.pi / 2 + _between(-tilt, tilt, draw), draw)
    for side, chance in ((0.0, 0.3), (math.pi, 0.3), (-math.pi / 2, 0.15)):
        if _between(0, 1, draw) < chance:
            depth = torch.minimum(depth, _plane(y, x, side + _between(-0.2, 0.2, draw), draw))
    wall = _between(0.35, 1.0, draw) + _between(-0.25, 0.25, draw) * x
    return torch.minimum(depth, wall.clamp_min(0.05))


def _objects(depth: Tensor, y: Tensor, x: Tensor, draw: Draw) -> Tensor:
    """Adds objects: superellipses (of power 2 or 8) standing on what is there, somewhat nearer than their foot."""
    height, width = depth.shape
    for _ in range(int(_between(0, 7, draw))):
        centre_y, centre_x = _between(-0.9, 0.7, draw), _between(-1, 1, draw)
        tall, wide = _between(0.08, 0.6, draw), _between(0.05, 0.5, draw)
        squarings = 1 if _between(0, 1, draw) < 0.5 else 3
        row = min(height - 1, max(0, int((1 - (centre_y - tall)) / 2 * height)))
        column = min(width - 1, max(0, int((centre_x + 1) / 2 * width)))
        here = float(depth[row, column]) * _between(0.55, 1.0, draw)
        up, right = (y - centre_y) / tall, (x - centre_x) / wide
        for _ in range(squarings):
            up, right = up * up, right * right
        inside = up + right < 1
        depth = torch.where(inside, depth.clamp_max(here), depth)
    return depth


def _follow(depth: Tensor, luma: Tensor, draw: Draw) -> Tensor:
    """Gives the map structure of the image: often a tone curve of the smoothed luminance, always guided smoothing."""
    shorter = min(depth.shape)
    smooth = guided(luma, luma, max(1, shorter // 50), 0.02).clamp(0.0, 1.0)
    knots = torch.rand(6, generator=draw)
    amount = _between(0.0, 0.25, draw)
    if _between(0, 1, draw) < 0.6:
        place = smooth * 4.999
        cell = place.to(torch.int64)
        depth = depth + amount * (knots[cell] + (knots[cell + 1] - knots[cell]) * (place - cell))
    reach, eps = int(shorter * _between(0.03, 0.1, draw)), 10 ** _between(-4.0, -2.0, draw)
    return guided(depth, smooth, max(1, reach), eps)
