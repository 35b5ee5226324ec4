"""Whether a prepared network gives the numbers of PyTorch, tried on small pictures of several sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import UnsupportedError

if TYPE_CHECKING:
    from torch import nn

    from ..contracts import Network, SizeRequirement

TOLERANCE = 1e-3
"""Largest difference from PyTorch on pictures in [0, 1]: a quarter of one step of 255."""
_SIDES = ((64, 96), (112, 48), (80, 160))  # the first is what networks are traced with


def samples(size: SizeRequirement, scale: int = 1) -> list[Tensor]:
    """Noise (1, 3, h, w) in [0, 1] of three heights and widths that ``size`` allows; the same at every call."""
    generator = torch.Generator().manual_seed(0)
    least = max(size.minimum, size.multiple)

    def side(pixels: int) -> int:
        return -(-max(pixels, least) // size.multiple) * size.multiple

    return [
        torch.rand(1, 3, side(scale * height), side(scale * width), generator=generator) for height, width in _SIDES
    ]


def check(run: Network, module: nn.Module, images: Iterable[Tensor], tolerance: float = TOLERANCE) -> None:
    """Raises ``UnsupportedError`` where ``run`` differs from ``module`` by more than ``tolerance``, or fails."""
    for image in images:
        wanted = module(image)
        try:
            made = run(image)
        except Exception as error:  # whatever a compiler raises
            raise UnsupportedError(error) from error
        gap = float((made - wanted).abs().max()) if made.shape == wanted.shape else float("inf")
        if not gap <= tolerance * max(1.0, float(wanted.abs().max())):
            raise UnsupportedError(f"differs by {gap:.2g} at {image.shape[2]} x {image.shape[3]}")
