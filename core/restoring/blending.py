"""Several experts as one: the weighted mean of what they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..contracts import SizeRequirement

if TYPE_CHECKING:
    from ..mixture import Expert


class Blend(nn.Module):
    """The weighted mean of what experts make of (B, 3, H, W), each within [0, 1]; float, before any rounding."""

    def __init__(self, experts: Sequence[tuple[Expert, float]]) -> None:
        super().__init__()
        self.experts = tuple(expert for expert, _ in experts)
        self.parts = [(expert.network, weight) for expert, weight in experts]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) of a size that all of them accept."""
        total = torch.zeros_like(image)
        for module, weight in self.parts:
            total += weight * module(image).clamp(0, 1)
        return total


def blended(experts: Sequence[tuple[Expert, float]]) -> Expert:
    """One expert that stands for all ``experts`` with their weights, on pictures padded to what every one accepts."""
    if len(experts) == 1:
        return experts[0][0]
    sizes = [expert.size for expert, _ in experts]
    size = SizeRequirement(lcm(*(size.multiple for size in sizes)), max(size.minimum for size in sizes))
    first = experts[0][0]
    return replace(
        first, module=Blend(experts), run=None, size=size, identity=all(expert.identity for expert, _ in experts)
    )
