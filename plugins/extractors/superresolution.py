"""Two networks for x4 super-resolution, with the parameter names of BasicSR's published weights.

``SRResNet``: Ledig et al. 2017 without batch normalisation, BasicSR's MSRResNet. ``RRDBNet``: ESRGAN, Wang et al. 2018.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle, relu

SMALL = 0.1
"""He's initial weights are this much smaller, so that a deep network begins near the identity."""


def _convolution(narrow: int, wide: int) -> nn.Conv2d:
    layer = nn.Conv2d(narrow, wide, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight)
    with torch.no_grad():
        layer.weight.mul_(SMALL)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class _Residual(nn.Module):
    """Two convolutions beside a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _convolution(width, width), _convolution(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        added: Tensor = self.conv2(relu(self.conv1(maps)))
        return maps + added


class SRResNet(nn.Module):
    """RGB (B, 3, H, W) to (B, 3, 4H, 4W): residual blocks, pixel shuffle twice, added to the bilinear image."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.conv_first = _convolution(3, width)
        self.body = nn.Sequential(*(_Residual(width) for _ in range(blocks)))
        self.upconv1, self.upconv2 = _convolution(width, 4 * width), _convolution(width, 4 * width)
        self.conv_hr, self.conv_last = _convolution(width, width), _convolution(width, 3)

    def deep(self, images: Tensor) -> Tensor:
        """Maps (B, width, H, W) after the last block."""
        maps: Tensor = self.body(leaky_relu(self.conv_first(images), 0.1))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """The image four times as large; not clamped."""
        maps = self.deep(images)
        for up in (self.upconv1, self.upconv2):
            maps = leaky_relu(pixel_shuffle(up(maps), 2), 0.1)
        detail: Tensor = self.conv_last(leaky_relu(self.conv_hr(maps), 0.1))
        return detail + interpolate(images, scale_factor=4, mode="bilinear", align_corners=False)


class _Dense(nn.Module):
    """Five convolutions, each of all maps before it; a fifth of the last is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(1, 6):
            wide = growth if number < 5 else width
            self.add_module(f"conv{number}", _convolution(width + (number - 1) * growth, wide))

    def forward(self, maps: Tensor) -> Tensor:
        seen, out = [maps], maps
        for layer in self.children():
            out = layer(torch.cat(seen, dim=1))
            seen.append(leaky_relu(out, 0.2))
        return maps + 0.2 * out


class _Rrdb(nn.Module):
    """Three dense blocks, a fifth of which is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_Dense(width, growth) for _ in range(3))

    def forward(self, maps: Tensor) -> Tensor:
        added: Tensor = self.rdb3(self.rdb2(self.rdb1(maps)))
        return maps + 0.2 * added


class RRDBNet(nn.Module):
    """RGB (B, 3, H, W) to (B, 3, 4H, 4W): residual-in-residual dense blocks, enlarged by nearest neighbour twice."""

    def __init__(self, width: int, blocks: int, growth: int) -> None:
        super().__init__()
        self.conv_first = _convolution(3, width)
        self.body = nn.Sequential(*(_Rrdb(width, growth) for _ in range(blocks)))
        self.conv_body = _convolution(width, width)
        self.conv_up1, self.conv_up2 = _convolution(width, width), _convolution(width, width)
        self.conv_hr, self.conv_last = _convolution(width, width), _convolution(width, 3)

    def deep(self, images: Tensor) -> Tensor:
        """Maps (B, width, H, W) after the last block."""
        return self._deep(self.conv_first(images))

    def _deep(self, first: Tensor) -> Tensor:
        maps: Tensor = self.body(first)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """The image four times as large; not clamped."""
        first = self.conv_first(images)
        maps = first + self.conv_body(self._deep(first))
        for up in (self.conv_up1, self.conv_up2):
            maps = leaky_relu(up(interpolate(maps, scale_factor=2, mode="nearest")), 0.2)
        out: Tensor = self.conv_last(leaky_relu(self.conv_hr(maps), 0.2))
        return out


_FORMER = (
    ("RRDB_trunk.", "body."),
    (".RDB", ".rdb"),
    ("trunk_conv.", "conv_body."),
    ("HRconv.", "conv_hr."),
)


def current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with BasicSR's names for those of the first ESRGAN weights (RRDB_ESRGAN_x4.pth)."""
    if not any(name.startswith("RRDB_trunk.") for name in state):
        return dict(state)
    renamed = {}
    for name, tensor in state.items():
        for old, new in (*_FORMER, ("upconv", "conv_up")):
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed
