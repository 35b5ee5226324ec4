"""Rain: X = clip(Y + S), the same gray streak layer S on all three channels.

S is made as in MiOIR, in four steps:
1. drops    uniform noise u in [0, 256) per pixel, kept where u >= 256 - strength / 100, else 0
2. sharpen  3 x 3 filter: centre 8, the four neighbours 0.1, corners 0
3. streaks  convolution with a motion kernel: a line of ``length`` pixels along the diagonal of a square, shrunk by
            1 - length / 100, tilted ``angle`` degrees from the vertical, lengthened ``stretch`` times, blurred by a
            width x width Gaussian of standard deviation 0.3 ((width - 1) / 2 - 1) + 0.8
4. scale    S = gain (F - min F) / (max F - min F); S = 0 where no drop fell (min-max scaling is undefined there)

strength  integer; U[50, 100) in distribution, U[100, 150) out; 0 is the identity
width     odd, 3..11 pixels;  length  integer 20..40 pixels;  angle  integer -45..44 degrees, positive leans left on top
gain, stretch   brightness of the brightest streak, and length factor: 1 in both presets, the paper's recipe; the knobs
          are our own choice (``strength=100..400:stretch=2..4`` comes near the heavy rain of public benchmarks)
degrees   small: strength < 50, medium: 50 <= strength < 100, large: 100 <= strength (paper's groups)
Source: paper, supplement A, equation C; recipe and ranges MiOIR, whose rounding of S to 8 bits we leave out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from unirestorer.core.contracts import Params

from .configs import RainConfig
from .filters import convolve
from .items import generator_of, integers, names_of, per_item, seeds, uniform

BOUNDARIES = (50, 100)
DEGREES = ("small", "medium", "large")
KEYS = ("strength", "width", "length", "angle", "gain", "stretch", "seed")
SHARPEN = ((0.0, 0.1, 0.0), (0.1, 8.0, 0.1), (0.0, 0.1, 0.0))


class Rain:
    """Adds bright rain streaks."""

    def __init__(self, config: RainConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``strength``, ``width``, ``length``, ``angle``, ``seed`` int64; ``gain``, ``stretch`` float32; each (n,)."""
        return {
            "strength": integers(self.config.strength, n, generator),
            "width": integers(self.config.width, n, generator, step=2),
            "length": integers(self.config.length, n, generator),
            "angle": integers(self.config.angle, n, generator),
            "gain": uniform(self.config.gain, n, generator),
            "stretch": uniform(self.config.stretch, n, generator),
            "seed": seeds(n, generator),
        }

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Rainy images (n, 3, H, W) in [0, 1]."""
        return per_item(clean, params, KEYS, _damage)

    def degree(self, params: Params) -> list[str]:
        """By ``strength``."""
        return names_of(params["strength"], BOUNDARIES, DEGREES)


def motion_kernel(length: int, angle: float, width: int, stretch: float = 1.0) -> Tensor:
    """The streak of one drop, float32 (k, k) with k odd, not normalised: step 3 of the module's text."""
    reach = 0.5 * math.sqrt(2) * length * (1 - length / 100) * stretch
    side = 2 * (math.ceil(reach) + width // 2 + 1) + 1
    grid = torch.arange(side, dtype=torch.float64) - side // 2
    y, x = grid[:, None], grid[None, :]
    turn = math.radians(angle)
    along = math.cos(turn) * y + math.sin(turn) * x
    across = math.cos(turn) * x - math.sin(turn) * y
    line = (1 - across.abs()).clamp(0.0, 1.0) * (reach + 0.5 - along.abs()).clamp(0.0, 1.0)
    sigma = 0.3 * ((width - 1) * 0.5 - 1) + 0.8
    taps = torch.exp(-0.5 * ((torch.arange(width, dtype=torch.float64) - width // 2) / sigma) ** 2)
    taps = (taps / taps.sum())[None, None]
    rows = F.conv2d(line[None, None], taps[..., None, :], padding=(0, width // 2))
    return F.conv2d(rows, taps[..., :, None], padding=(width // 2, 0))[0, 0].to(torch.float32)


def streaks(height: int, width: int, strength: int, kernel: Tensor, seed: int) -> Tensor:
    """The streak layer (height, width) float32 in [0, 1] before the gain: steps 1, 2 and 4 of the module's text."""
    noise = 256 * torch.rand(1, height, width, generator=generator_of(seed))
    drops = torch.where(noise >= 256 - 0.01 * strength, noise, 0.0)
    if strength == 0 or not bool(drops.any()):
        return torch.zeros(height, width)
    sharp = F.conv2d(drops[None], torch.tensor(SHARPEN)[None, None], padding=1)[0]
    layer = convolve(sharp, kernel)[0]
    low, high = layer.amin(), layer.amax()
    return (layer - low) / (high - low) if bool(high > low) else torch.zeros(height, width)


def _damage(
    image: Tensor, strength: int, width: int, length: int, angle: int, gain: float, stretch: float, seed: int
) -> Tensor:
    kernel = motion_kernel(length, angle, width, stretch)
    layer = streaks(image.shape[1], image.shape[2], strength, kernel, seed)
    return image + gain * layer.to(image.device)
