"""JPEG: X = decode(encode(Y, quality)), 8-bit baseline, 4:2:0 chroma.

quality   integer, libjpeg scale 1..100; U[30, 70] in distribution, U[10, 30] out
degrees   large: quality < 30, medium: 30 <= quality < 50, small: 50 <= quality
Encoded with libjpeg through Pillow rather than the differentiable DiffJPEG: it is what the world's files went through,
and several times faster than kornia's. JPEG works on 8 bits, so even quality 100 only comes near the identity.
Source: ranges MiOIR; boundaries are our own choice.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unirestorer.core.contracts import Params

from .configs import JpegConfig
from .items import integers, names_of, per_item

BOUNDARIES = (30, 50)
DEGREES = ("large", "medium", "small")


class Jpeg:
    """Compresses and decompresses."""

    def __init__(self, config: JpegConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``quality`` int64 (n,)."""
        return {"quality": integers(self.config.quality, n, generator)}

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Decompressed images (n, 3, H, W), multiples of 1/255 in [0, 1]."""
        return per_item(clean, params, ("quality",), _damage)

    def degree(self, params: Params) -> list[str]:
        """By ``quality``; the degree is that of the compression."""
        return names_of(params["quality"], BOUNDARIES, DEGREES)


def _damage(image: Tensor, quality: int) -> Tensor:
    pixels = (image.clamp(0.0, 1.0) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu()
    stream = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(stream) as file:
        decoded = np.array(file)
    return torch.from_numpy(decoded).permute(2, 0, 1).to(image) / 255
