"""Configurations of the built-in experts; free of torch, so that plugins can be listed quickly."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from unirestorer.core import Config


class IdentityConfig(Config):
    """The identity has nothing to set."""


class ResUNetConfig(Config):
    """Widths and residual blocks per scale: 1/2, 1/4, 1/8, 1/16 of the input size; up to four scales."""

    widths: tuple[PositiveInt, ...] = Field(default=(24, 48, 64, 64), min_length=1, max_length=4)
    encoder: tuple[PositiveInt, ...] = (2, 2, 1, 1)
    decoder: tuple[PositiveInt, ...] = (2, 1, 1)

    @model_validator(mode="after")
    def _fits(self) -> ResUNetConfig:
        if len(self.encoder) != len(self.widths) or len(self.decoder) != len(self.widths) - 1:
            raise ValueError("encoder needs one number per width, decoder one fewer")
        return self


class NAFNetConfig(Config):
    """Width and blocks per level, names as in the authors' option files; the default is the network for SIDD."""

    width: PositiveInt = 32
    enc_blk_nums: tuple[PositiveInt, ...] = Field(default=(2, 2, 4, 8), min_length=1, max_length=4)
    middle_blk_num: PositiveInt = 12
    dec_blk_nums: tuple[PositiveInt, ...] = (2, 2, 2, 2)

    @model_validator(mode="after")
    def _fits(self) -> NAFNetConfig:
        if len(self.dec_blk_nums) != len(self.enc_blk_nums):
            raise ValueError("dec_blk_nums needs as many numbers as enc_blk_nums")
        return self


class RetinexFormerConfig(Config):
    """Width, stages, blocks on both levels and in the bottleneck; the default is the published network."""

    n_feat: PositiveInt = Field(default=40, multiple_of=4)
    stage: PositiveInt = 1
    num_blocks: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 2, 2)


class SwinIRConfig(Config):
    """Residual Swin Transformer blocks; the default is the network for colour denoising.

    ``img_size`` is the side of the training patches: the attention masks that a checkpoint holds are of that size.
    ``img_range``: 255 for the published networks for JPEG, which have windows of 7 pixels.
    """

    img_size: PositiveInt = 128
    embed_dim: PositiveInt = 180
    depths: tuple[PositiveInt, ...] = Field(default=(6, 6, 6, 6, 6, 6), min_length=1)
    num_heads: tuple[PositiveInt, ...] = (6, 6, 6, 6, 6, 6)
    window_size: int = Field(default=8, ge=2, le=8)
    mlp_ratio: PositiveFloat = 2.0
    resi_connection: Literal["1conv", "3conv"] = "1conv"
    img_range: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _fits(self) -> SwinIRConfig:
        if len(self.num_heads) != len(self.depths):
            raise ValueError("num_heads needs as many numbers as depths")
        if any(self.embed_dim % heads for heads in self.num_heads):
            raise ValueError(f"embed_dim {self.embed_dim} must be a multiple of each of num_heads")
        if self.img_size % self.window_size:
            raise ValueError(f"img_size {self.img_size} must be a multiple of window_size {self.window_size}")
        return self


class MPRNetConfig(Config):
    """Widths, names as in the authors' code; the default is the network for rain.

    ``n_feat`` channels at full resolution, ``scale_unetfeats`` more on each coarser level of the first two stages,
    ``scale_orsnetfeats`` more in the last, whose three blocks have ``num_cab`` channel attention blocks each.
    """

    n_feat: PositiveInt = 40
    scale_unetfeats: PositiveInt = 20
    scale_orsnetfeats: PositiveInt = 16
    num_cab: PositiveInt = 8
    reduction: PositiveInt = 4

    @model_validator(mode="after")
    def _fits(self) -> MPRNetConfig:
        if self.n_feat < self.reduction:
            raise ValueError(f"n_feat {self.n_feat} must be at least reduction {self.reduction}")
        return self


class RestormerConfig(Config):
    """Channels on the first level, blocks and heads on the four levels; names as in the authors' option files.

    The default is the published network. ``layer_norm``: ``BiasFree`` for the published networks for noise.
    """

    dim: PositiveInt = Field(default=48, multiple_of=2)
    num_blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (4, 6, 6, 8)
    num_refinement_blocks: PositiveInt = 4
    heads: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (1, 2, 4, 8)
    ffn_expansion_factor: PositiveFloat = 2.66
    bias: bool = False
    layer_norm: Literal["WithBias", "BiasFree"] = "WithBias"

    @model_validator(mode="after")
    def _fits(self) -> RestormerConfig:
        widths = [self.dim * 2**level for level in range(4)]
        if any(width % heads for width, heads in zip(widths, self.heads, strict=True)):
            raise ValueError(f"heads must divide the channels of their levels, {', '.join(map(str, widths))}")
        if int(self.dim * self.ffn_expansion_factor) < 1:
            raise ValueError(f"ffn_expansion_factor {self.ffn_expansion_factor} is too small, wanted at least 1 / dim")
        return self


class LoraConfig(Config):
    """Rank of what is added to every weight, per pixel of a kernel's side, and its scale ``alpha`` / ``rank``."""

    rank: PositiveInt = 8
    alpha: PositiveFloat = 16


class SpandrelConfig(Config):
    """What spandrel found in a file of weights; an empty ``architecture`` is whichever it finds.

    ``licence``: of the architecture's code, not of the weights. ``tags``: sizes and variants, as spandrel words them.
    """

    architecture: str = ""
    licence: str = ""
    parameters: int = Field(default=0, ge=0)
    scale: Literal[1] = 1
    tags: tuple[str, ...] = ()
