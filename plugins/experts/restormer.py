"""``restormer``: Restormer (Zamir et al., Efficient Transformer for High-Resolution Image Restoration, CVPR 2022).

Written from the paper's description. A U-Net of Transformer blocks on four levels (figure 2, section 3): from level to
level half the resolution (pixel-unshuffle) and twice the channels, and back with pixel-shuffle; features of the encoder
are joined to those of the decoder, and except on the first level a 1x1 convolution halves the channels again. More
blocks refine the features at full resolution, and the image is added. The blocks: ``restormer_blocks``. Parameter names
are those of the authors' published checkpoints, which may not be used commercially; this code may.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from .configs import RestormerConfig
from .restormer_blocks import TransformerBlock

_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")


class PatchEmbed(nn.Module):
    """Image to features of the same resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, width, H, W)."""
        out: Tensor = self.proj(images)
        return out


class Resample(nn.Module):
    """A 3x3 convolution to ``outputs`` channels, then pixels to channels or channels to pixels."""

    def __init__(self, inputs: int, outputs: int, shuffle: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), shuffle)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 * outputs, H/2, W/2) or (B, outputs / 4, 2H, 2W)."""
        out: Tensor = self.body(x)
        return out


class Restormer(nn.Module):
    """Images (B, 3, H, W) to restored ones, not clipped; H and W are multiples of 8."""

    def __init__(self, config: RestormerConfig) -> None:
        super().__init__()
        widths = [config.dim * 2**level for level in range(4)]

        def blocks(width: int, level: int) -> nn.Sequential:
            count, heads = config.num_blocks[level], config.heads[level]
            return nn.Sequential(*(TransformerBlock(config, width, heads) for _ in range(count)))

        self.patch_embed = PatchEmbed(widths[0])
        self.encoder_level1 = blocks(widths[0], 0)
        self.down1_2 = _down(widths[0])
        self.encoder_level2 = blocks(widths[1], 1)
        self.down2_3 = _down(widths[1])
        self.encoder_level3 = blocks(widths[2], 2)
        self.down3_4 = _down(widths[2])
        self.latent = blocks(widths[3], 3)
        self.up4_3 = _up(widths[3])
        self.reduce_chan_level3 = nn.Conv2d(widths[3], widths[2], 1, bias=config.bias)
        self.decoder_level3 = blocks(widths[2], 2)
        self.up3_2 = _up(widths[2])
        self.reduce_chan_level2 = nn.Conv2d(widths[2], widths[1], 1, bias=config.bias)
        self.decoder_level2 = blocks(widths[1], 1)
        self.up2_1 = _up(widths[1])
        self.decoder_level1 = blocks(widths[1], 0)
        refinement = (TransformerBlock(config, widths[1], config.heads[0]) for _ in range(config.num_refinement_blocks))
        self.refinement = nn.Sequential(*refinement)
        self.output = nn.Conv2d(widths[1], 3, 3, padding=1, bias=config.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Restore a batch; on a CPU image by image, as less memory is quicker there."""
        images = images.contiguous(memory_format=torch.channels_last)
        if images.device.type != "cpu":
            return self._restored(images)
        return torch.cat([self._restored(image) for image in images.chunk(len(images))])

    def _restored(self, images: Tensor) -> Tensor:
        first = self.encoder_level1(self.patch_embed(images))
        second = self.encoder_level2(self.down1_2(first))
        third = self.encoder_level3(self.down2_3(second))
        x = self.latent(self.down3_4(third))
        x = self.reduce_chan_level3(torch.cat([self.up4_3(x), third], dim=1))
        x = self.decoder_level3(x)
        x = self.reduce_chan_level2(torch.cat([self.up3_2(x), second], dim=1))
        x = self.decoder_level2(x)
        x = self.decoder_level1(torch.cat([self.up2_1(x), first], dim=1))
        out: Tensor = self.output(self.refinement(x))
        return images + out


def recognise(state: Mapping[str, Tensor]) -> RestormerConfig | None:
    """The configuration of the Restormer whose parameters have just the names and shapes of ``state``, else ``None``.

    ``None`` also for the variant for dual-pixel images, which have 6 channels.
    """
    try:
        config = RestormerConfig.model_validate(
            {
                "dim": state["patch_embed.proj.weight"].shape[0],
                "num_blocks": [_count(state, level) for level in _LEVELS],
                "num_refinement_blocks": _count(state, "refinement"),
                "heads": [state[f"{level}.0.attn.temperature"].shape[0] for level in _LEVELS],
                "ffn_expansion_factor": _expansion(state),
                "bias": "output.bias" in state,
                "layer_norm": "WithBias" if "latent.0.norm1.body.bias" in state else "BiasFree",
            }
        )
    except (ArithmeticError, LookupError, ValidationError):
        return None
    with torch.device("meta"):
        wanted = Restormer(config).state_dict()
    same = {name: value.shape for name, value in wanted.items()} == {name: value.shape for name, value in state.items()}
    return config if same else None


def _down(width: int) -> Resample:
    return Resample(width, width // 2, nn.PixelUnshuffle(2))


def _up(width: int) -> Resample:
    return Resample(width, 2 * width, nn.PixelShuffle(2))


def _count(state: Mapping[str, Tensor], level: str) -> int:
    """How many blocks ``level`` has."""
    return sum(name.startswith(f"{level}.") and name.endswith(".attn.temperature") for name in state)


def _expansion(state: Mapping[str, Tensor]) -> float:
    """The shortest decimal that gives all four levels their hidden channels, which are cut to whole numbers."""
    shapes = [state[f"{level}.0.ffn.project_out.weight"].shape for level in _LEVELS]
    hidden = {shape[0]: shape[1] for shape in shapes}
    least = max(into / width for width, into in hidden.items())
    rounded = [ceil(least * 10**digits) / 10**digits for digits in range(8)]
    return next((factor for factor in rounded if all(int(w * factor) == into for w, into in hidden.items())), least)
