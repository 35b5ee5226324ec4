"""``finegrained``: the paper's DR extractor, DA-CLIP for type and degree (section 3.2).

The network of ``daclip``, put otherwise: clean photos are cropped first and damaged then, and the tower gets a crop of
that: nothing is resized, which would erase noise and compression marks; an image is looked at in its centre at native
resolution. Prompts name type and degree ("a photo with small noise"), and the loss takes equal prompts for positives of
each other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .configs import FineGrainedConfig
from .daclip import DaClip


class FineGrained(DaClip):
    """Images (B, 3, H, W) in [0, 1], any H and W, to raw DRs (B, dim) of their centre at native resolution."""

    config: FineGrainedConfig

    def window(self, images: Tensor) -> Tensor:
        """The centre (side, side); images that are smaller go on as mirrored at their edges, again and again."""
        rows, columns = (_centre(length, self.side).to(images.device) for length in images.shape[-2:])
        return images.index_select(2, rows).index_select(3, columns)


def _centre(length: int, side: int) -> Tensor:
    """Indices (side,) of the centre of ``length`` pixels; beyond, mirrored without repeating the edge."""
    if length == 1:
        return torch.zeros(side, dtype=torch.int64)
    period = 2 * (length - 1)
    index = (torch.arange(side) + (length - side) // 2) % period
    return torch.minimum(index, period - index)
