"""``haze-grid``: inverts the haze model with a transmission and an airlight of its own at every pixel.

Haze is smooth, so most of the work is done on coarse grids: at 1/16 of the size the network looks around widely at
little cost. A narrow branch at half resolution, which sees the image itself, turns what the grids found into fields
per colour channel: s = -log t and A. With them J = I + (exp(s) - 1) (I - A), which is the haze model solved for the
clean image; a third field adds what is left. No normalisation and no global pooling: a tile of an image is restored
like the whole of it up to the receptive field, about 300 pixels across with the default configuration.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .configs import HazeGridConfig

THICKEST = 3.0  # bound of s: no transmission below exp(-3) is believed
BRIGHT = 0.7  # airlight to begin with


class Block(nn.Module):
    """x + conv(relu(conv(x))), shape kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, width, h, w)."""
        out: Tensor = x + self.conv2(torch.relu(self.conv1(x)))
        return out


class HazeGrid(nn.Module):
    """Hazy images (B, 3, H, W) in [0, 1] to clear ones, not clipped; H and W are multiples of 16."""

    def __init__(self, config: HazeGridConfig) -> None:
        super().__init__()
        w2, w4, w8, w16 = config.widths
        self.head = nn.Conv2d(12, w2, 3, padding=1)
        self.down4 = nn.Sequential(nn.ReLU(), nn.Conv2d(w2, w4, 2, stride=2), Block(w4))
        self.down8 = nn.Sequential(nn.Conv2d(w4, w8, 2, stride=2), Block(w8))
        self.down16 = nn.Sequential(nn.Conv2d(w8, w16, 2, stride=2), *(Block(w16) for _ in range(config.blocks)))
        self.up16 = nn.Conv2d(w16, w8, 1)
        self.up8 = nn.Sequential(Block(w8), nn.Conv2d(w8, w4, 1))
        self.up4 = nn.Sequential(Block(w4), nn.Conv2d(w4, w2, 1))
        self.refine = nn.Sequential(Block(w2), Block(w2))
        self.tail = nn.Conv2d(w2, 9 * 4, 3, padding=1)
        self._initialise()

    def forward(self, images: Tensor) -> Tensor:
        """Restore a batch; an untrained network is the identity."""
        half = self.head(F.pixel_unshuffle(3 * (images - 0.5), 2))  # (B, w2, H/2, W/2)
        quarter = self.down4(half)
        eighth = self.down8(quarter)
        eighth = eighth + _doubled(self.up16(self.down16(eighth)))
        quarter = quarter + _doubled(self.up8(eighth))
        half = self.refine(half + _doubled(self.up4(quarter)))
        s, light, rest = F.pixel_shuffle(self.tail(half), 2).float().chunk(3, 1)
        gain = torch.expm1(THICKEST * torch.tanh(s / THICKEST))
        return images + gain * (images - BRIGHT - light) + rest

    def _initialise(self) -> None:
        """Convolutions keep the variance, else the coarse scales, deep below, learn late; the last one is zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.tail.weight)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
