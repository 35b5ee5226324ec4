"""Clean: X = Y. The eighth class: a photo that needs nothing must be recognised as such.

No parameters, no ranges; the degree is "none". Own choice (the paper has no clean class).
"""

from __future__ import annotations

import torch
from torch import Tensor

from unirestorer.core.contracts import Params

from .configs import CleanConfig
from .items import per_item


class Clean:
    """The identity on images in [0, 1]."""

    def __init__(self, config: CleanConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """One placeholder per item (``item`` int64 (n,)), so that the number of items is known; draws nothing."""
        return {"item": torch.arange(n)}

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """A copy of ``clean`` (n, 3, H, W), clipped to [0, 1]."""
        return per_item(clean, params, (), torch.clone)

    def degree(self, params: Params) -> list[str]:
        """Always "none"."""
        return ["none"] * len(params["item"])
