"""``mprnet``: MPRNet (Zamir et al., Multi-Stage Progressive Image Restoration, CVPR 2021), written from the paper.

Three stages (figure 2): a U-Net on the four quarters of the image, one on its upper and lower half, and a network
without downsampling on the whole. A supervised attention module (figure 4) makes an image after each of the first two
stages and hands on features weighted by it; cross-stage feature fusion (figure 3) adds the features of one stage to
those of the next. Here the image of the last stage is the output. Parameter names are those of the authors' published
checkpoints, which may not be used commercially; this code may.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from .configs import MPRNetConfig

Levels = list[Tensor]
"""Features of a U-Net at full, half and quarter resolution."""


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


class ChannelAttention(nn.Module):
    """Scales each channel by a weight in (0, 1) computed from the means of all channels."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        narrow = width // reduction
        self.conv_du = nn.Sequential(_conv(width, narrow, 1), nn.ReLU(), _conv(narrow, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        weight: Tensor = self.conv_du(x.mean(dim=(2, 3), keepdim=True))
        return x * weight


class CAB(nn.Module):
    """Channel attention block: two convolutions, channel attention, and the input added."""

    def __init__(self, width: int, reduction: int, act: nn.PReLU) -> None:
        super().__init__()
        self.CA = ChannelAttention(width, reduction)
        self.body = nn.Sequential(_conv(width, width), act, _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        added: Tensor = self.CA(self.body(x))
        return x + added


class Down(nn.Module):
    """Half the resolution, bilinear, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Upsample(scale_factor=0.5, mode="bilinear"), _conv(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/2, W/2)."""
        out: Tensor = self.down(x)
        return out


class Up(nn.Module):
    """Twice the resolution, bilinear, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), _conv(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, 2H, 2W)."""
        out: Tensor = self.up(x)
        return out


class Encoder(nn.Module):
    """Two channel attention blocks on each of three levels; a ``fused`` one adds the features of an earlier U-Net."""

    def __init__(self, config: MPRNetConfig, act: nn.PReLU, *, fused: bool) -> None:
        super().__init__()
        first, second, third = _widths(config)
        self.encoder_level1 = _blocks(first, config, act)
        self.encoder_level2 = _blocks(second, config, act)
        self.encoder_level3 = _blocks(third, config, act)
        self.down12 = Down(first, second)
        self.down23 = Down(second, third)
        if fused:
            for level, width in enumerate((first, second, third), 1):
                setattr(self, f"csff_enc{level}", _conv(width, width, 1))
                setattr(self, f"csff_dec{level}", _conv(width, width, 1))

    def forward(self, x: Tensor, encoded: Levels | None = None, decoded: Levels | None = None) -> Levels:
        """(B, n_feat, H, W), and the levels of the earlier U-Net, to the levels of this one."""
        levels: Levels = []
        for level in (1, 2, 3):
            x = getattr(self, f"encoder_level{level}")(x)
            if encoded is not None and decoded is not None:
                x = x + getattr(self, f"csff_enc{level}")(encoded[level - 1])
                x = x + getattr(self, f"csff_dec{level}")(decoded[level - 1])
            levels.append(x)
            if level < 3:
                x = getattr(self, f"down{level}{level + 1}")(x)
        return levels


class Decoder(nn.Module):
    """Two channel attention blocks on each level, from the coarsest; skips pass one block of their own."""

    def __init__(self, config: MPRNetConfig, act: nn.PReLU) -> None:
        super().__init__()
        first, second, third = _widths(config)
        self.decoder_level1 = _blocks(first, config, act)
        self.decoder_level2 = _blocks(second, config, act)
        self.decoder_level3 = _blocks(third, config, act)
        self.skip_attn1 = CAB(first, config.reduction, act)
        self.skip_attn2 = CAB(second, config.reduction, act)
        self.up21 = Up(second, first)
        self.up32 = Up(third, second)

    def forward(self, encoded: Levels) -> Levels:
        """Levels to levels of the same shapes."""
        third = self.decoder_level3(encoded[2])
        second = self.decoder_level2(self.up32(third) + self.skip_attn2(encoded[1]))
        first = self.decoder_level1(self.up21(second) + self.skip_attn1(encoded[0]))
        return [first, second, third]


class SAM(nn.Module):
    """Supervised attention module: features weighted by what the image that they make looks like."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, width, 1)
        self.conv2 = _conv(width, 3, 1)
        self.conv3 = _conv(3, width, 1)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Features (B, width, H, W) and the input image (B, 3, H, W) to features."""
        restored = self.conv2(x) + image
        weighted: Tensor = self.conv1(x) * torch.sigmoid(self.conv3(restored))
        return weighted + x


class ORB(nn.Module):
    """Original resolution block: ``num_cab`` channel attention blocks, a convolution, and the input added."""

    def __init__(self, width: int, config: MPRNetConfig, act: nn.PReLU) -> None:
        super().__init__()
        blocks = (CAB(width, config.reduction, act) for _ in range(config.num_cab))
        self.body = nn.Sequential(*blocks, _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        added: Tensor = self.body(x)
        return x + added


class ORSNet(nn.Module):
    """Original resolution subnetwork: after each block the features of one level of the second stage are added."""

    def __init__(self, config: MPRNetConfig, act: nn.PReLU) -> None:
        super().__init__()
        first, second, third = _widths(config)
        width = first + config.scale_orsnetfeats
        for level in (1, 2, 3):
            setattr(self, f"orb{level}", ORB(width, config, act))
            setattr(self, f"conv_enc{level}", _conv(first, width, 1))
            setattr(self, f"conv_dec{level}", _conv(first, width, 1))
        for side in ("enc", "dec"):
            setattr(self, f"up_{side}1", Up(second, first))
            setattr(self, f"up_{side}2", nn.Sequential(Up(third, second), Up(second, first)))

    def forward(self, x: Tensor, encoded: Levels, decoded: Levels) -> Tensor:
        """(B, n_feat + scale_orsnetfeats, H, W) and the levels of the second stage to features of that shape."""
        for level in (1, 2, 3):
            x = getattr(self, f"orb{level}")(x)
            for side, levels in (("enc", encoded), ("dec", decoded)):
                fused = levels[level - 1]
                if level > 1:
                    fused = getattr(self, f"up_{side}{level - 1}")(fused)
                x = x + getattr(self, f"conv_{side}{level}")(fused)
        return x


class MPRNet(nn.Module):
    """Images (B, 3, H, W) to restored ones, not clipped; H and W are multiples of 8.

    All blocks share the one slope of their PReLU, as the published network does. Its state dict has that slope under
    the name of every block, each a tensor of its own, so that it can be written to a file of safetensors.
    """

    def __init__(self, config: MPRNetConfig) -> None:
        super().__init__()
        width, act = config.n_feat, nn.PReLU()
        self.shallow_feat1 = nn.Sequential(_conv(3, width), CAB(width, config.reduction, act))
        self.shallow_feat2 = nn.Sequential(_conv(3, width), CAB(width, config.reduction, act))
        self.shallow_feat3 = nn.Sequential(_conv(3, width), CAB(width, config.reduction, act))
        self.stage1_encoder = Encoder(config, act, fused=False)
        self.stage1_decoder = Decoder(config, act)
        self.stage2_encoder = Encoder(config, act, fused=True)
        self.stage2_decoder = Decoder(config, act)
        self.stage3_orsnet = ORSNet(config, act)
        self.sam12 = SAM(width)
        self.sam23 = SAM(width)
        self.concat12 = _conv(2 * width, width)
        self.concat23 = _conv(2 * width, width + config.scale_orsnetfeats)
        self.tail = _conv(width + config.scale_orsnetfeats, 3)
        self.register_state_dict_post_hook(_unshared)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor) -> Tensor:
        """Restore a batch."""
        encoded: list[Levels] = []
        for half in images.chunk(2, dim=2):
            quarters = half.chunk(2, dim=3)
            first = _joined([self.stage1_encoder(self.shallow_feat1(quarter)) for quarter in quarters], dim=3)
            decoded = self.stage1_decoder(first)
            x = torch.cat([self.shallow_feat2(half), self.sam12(decoded[0], half)], dim=1)
            encoded.append(self.stage2_encoder(self.concat12(x), first, decoded))
        second = _joined(encoded, dim=2)
        decoded = self.stage2_decoder(second)
        x = torch.cat([self.shallow_feat3(images), self.sam23(decoded[0], images)], dim=1)
        out: Tensor = self.tail(self.stage3_orsnet(self.concat23(x), second, decoded))
        return images + out


def recognise(state: Mapping[str, Tensor]) -> MPRNetConfig | None:
    """The configuration of the MPRNet whose parameters have just the names and shapes of ``state``, else ``None``."""
    try:
        width, narrow = (state[f"shallow_feat1.{name}.weight"].shape[0] for name in ("0", "1.CA.conv_du.0"))
        config = MPRNetConfig(
            n_feat=width,
            scale_unetfeats=state["stage1_encoder.down12.down.1.weight"].shape[0] - width,
            scale_orsnetfeats=state["tail.weight"].shape[1] - width,
            num_cab=sum(name.startswith("stage3_orsnet.orb1.body.") and ".CA.conv_du.0." in name for name in state),
            reduction=width // narrow,
        )
    except (ArithmeticError, LookupError, ValidationError):
        return None
    with torch.device("meta"):
        wanted = MPRNet(config).state_dict()
    same = {name: value.shape for name, value in wanted.items()} == {name: value.shape for name, value in state.items()}
    return config if same else None


def _widths(config: MPRNetConfig) -> tuple[int, int, int]:
    """Channels at full, half and quarter resolution."""
    width, more = config.n_feat, config.scale_unetfeats
    return width, width + more, width + 2 * more


def _blocks(width: int, config: MPRNetConfig, act: nn.PReLU) -> nn.Sequential:
    return nn.Sequential(*(CAB(width, config.reduction, act) for _ in range(2)))


def _joined(parts: list[Levels], dim: int) -> Levels:
    """The levels of neighbouring parts of an image as those of the whole."""
    return [torch.cat(level, dim=dim) for level in zip(*parts, strict=True)]


def _unshared(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    """Give every name of the shared slope, which alone has one axis, a tensor of its own."""
    state.update({name: value.clone() for name, value in state.items() if name.startswith(prefix) and value.ndim == 1})
