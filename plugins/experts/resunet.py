"""``resunet``: the compact restoration network, plain convolutions at half resolution and below.

Pixel-unshuffle by 2 at the input, a U-Net of residual blocks (3x3 convolution, ReLU, 3x3 convolution), pixel-shuffle
at the output, and a residual connection from input to output. No normalisation and no global pooling, so a tile of an
image is restored like the whole of it up to the receptive field. Own design: pixel-unshuffle as in FFDNet (Zhang et
al. 2018), plain residual U-Net as in DRUNet (Zhang et al. 2021). On CPUs plain convolutions run several times faster
than depthwise ones of equal MACs.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError
from torch import nn

from .configs import ResUNetConfig

if TYPE_CHECKING:
    from torch import Tensor


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), shape kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        out: Tensor = x + self.conv2(torch.relu(self.conv1(x)))
        return out


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


class ResUNet(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to restored ones, not clipped; H and W are multiples of 2 ** number of widths."""

    def __init__(self, config: ResUNetConfig) -> None:
        super().__init__()
        widths = config.widths
        self.head = nn.Conv2d(12, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, config.encoder, strict=True))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(_blocks(w, n) for w, n in zip(widths[:-1], config.decoder, strict=True))
        self.tail = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Restore a batch; an untrained network is the identity."""
        x = self.head(nn.functional.pixel_unshuffle(images, 2))  # (B, w0, H/2, W/2)
        skips = []
        for index, blocks in enumerate(self.encoder):
            x = blocks(x)
            if index < len(self.down):
                skips.append(x)
                x = self.down[index](x)
        for index in reversed(range(len(self.up))):
            x = nn.functional.pixel_shuffle(self.up[index](x), 2) + skips[index]
            x = self.decoder[index](x)
        return images + nn.functional.pixel_shuffle(self.tail(x), 2)


def recognise(state: Mapping[str, Tensor]) -> ResUNetConfig | None:
    """The configuration of the network whose parameters have just the names and shapes of ``state``, else ``None``."""
    try:
        downs = sum(name.startswith("down.") and name.endswith(".weight") for name in state)
        config = ResUNetConfig(
            widths=(state["head.weight"].shape[0], *(state[f"down.{level}.weight"].shape[0] for level in range(downs))),
            encoder=tuple(_count(state, f"encoder.{level}.") for level in range(downs + 1)),
            decoder=tuple(_count(state, f"decoder.{level}.") for level in range(downs)),
        )
    except (LookupError, ValidationError):
        return None
    with torch.device("meta"):
        wanted = ResUNet(config).state_dict()
    same = {name: value.shape for name, value in wanted.items()} == {name: value.shape for name, value in state.items()}
    return config if same else None


def _count(state: Mapping[str, Tensor], scale: str) -> int:
    """How many blocks a scale has."""
    return sum(name.startswith(scale) and name.endswith(".conv1.weight") for name in state)
