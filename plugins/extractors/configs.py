"""Configurations of the built-in extractors; free of torch, so that plugins can be listed quickly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from unirestorer.core import Config


class CompactConfig(Config):
    """Side of the centre crop in pixels, widths of the stages (each at half the size of the one before), DR width."""

    crop: PositiveInt = 224
    widths: tuple[PositiveInt, ...] = (24, 32, 48, 64)
    dim: PositiveInt = 64
    temperature: PositiveFloat = 0.1


class TowerConfig(Config):
    """A CLIP of one's own: the fields of an open_clip model configuration."""

    embed_dim: PositiveInt
    vision_cfg: Mapping[str, Any]
    text_cfg: Mapping[str, Any]
    quick_gelu: bool = False


Colour = tuple[float, float, float]


class DaClipConfig(Config):
    """The CLIP that is controlled, where its weights come from, and how images and prompts are put to it.

    ``tower``: a vision transformer that open_clip knows by name, or one described here. ``pretrained``: a file of CLIP
    or DA-CLIP weights, or open_clip's name of published ones; ``None`` for random weights. Those are looked for on this
    machine only, unless ``download``. ``words``: what a type is called in a prompt; ``template`` the text around it.
    """

    tower: str | TowerConfig = "ViT-B-32"
    pretrained: str | None = None
    download: bool = False
    mean: Colour = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.26862954, 0.26130258, 0.27577711)
    words: Mapping[str, str] = {
        "blur": "blurry",
        "haze": "hazy",
        "jpeg": "jpeg-compressed",
        "lowlight": "low-light",
        "mixed": "damaged",
        "noise": "noisy",
        "rain": "rainy",
        "shake": "motion-blurry",
        "snow": "snowy",
    }
    template: str = Field(default="{prompt}", pattern=r"\{prompt\}")


class FineGrainedConfig(DaClipConfig):
    """As ``DaClipConfig``, with degrees in prompts; ``type_weight``: of a further loss on types alone (paper: 0)."""

    words: Mapping[str, str] = {
        "clean": "no degradation",
        "jpeg": "JPEG compression",
        "lowlight": "low light",
        "mixed": "damage",
        "shake": "camera shake",
    }
    template: str = Field(default="a photo with {prompt}", pattern=r"\{prompt\}")
    type_weight: float = Field(default=0.0, ge=0)


VGG_LAYERS = tuple(
    name
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1)
    for name in (
        *(f"{kind}{block}_{number}" for number in range(1, convolutions + 1) for kind in ("conv", "relu")),
        f"pool{block}",
    )
)
"""What the paper on VGG calls the layers of VGG-16; its number here is that of the layer in torchvision's network."""


class VggConfig(Config):
    """The last layer of VGG-16 that is kept, what is taken of its maps, and the side of the centre crop in pixels.

    ``weights``: a file with torchvision's parameter names, such as the published vgg16-397923af.pth; ``None`` for
    random weights. Which layer the paper took is not known.
    """

    layer: str = "relu3_3"
    pooling: Literal["mean", "std", "mean+std"] = "mean+std"
    crop: PositiveInt = 224
    weights: Path | None = None

    @field_validator("layer")
    @classmethod
    def _is_one(cls, layer: str) -> str:
        if layer not in VGG_LAYERS:
            raise ValueError(f"no layer of VGG-16; known: {', '.join(VGG_LAYERS)}")
        return layer


class DdrConfig(Config):
    """The x4 super-resolution network, the side of the centre crop in pixels, and the DR width that PCA leaves.

    ``blocks`` ``None``: as published, 16 (``srresnet``) or 23 (``esrgan``). ``growth``: of the dense blocks of
    ``esrgan``. ``weights``: a file with BasicSR's parameter names; ``None`` for random weights.
    """

    arch: Literal["srresnet", "esrgan"] = "srresnet"
    width: PositiveInt = 64
    blocks: PositiveInt | None = None
    growth: PositiveInt = 32
    crop: int = Field(default=128, ge=16)
    dim: PositiveInt = 64
    weights: Path | None = None

    @model_validator(mode="after")
    def _fits(self) -> DdrConfig:
        if self.dim > 2 * self.width:
            raise ValueError(
                f"dim {self.dim} must be at most {2 * self.width}: mean and deviation of {self.width} maps"
            )
        return self


class ManualConfig(Config):
    """How many types and prompts (type and degree) there may be, and how far degrees of one type are apart.

    Types are ``sqrt(2 + 2 * degree**2)`` apart, degrees of one type ``sqrt(2) * degree``. ``crop`` and ``widths``: of
    the network that guesses the prompt of a photo without a label, as in ``CompactConfig``.
    """

    types: PositiveInt = 12
    prompts: PositiveInt = 32
    degree: float = Field(default=0.5, gt=0, lt=1)
    crop: PositiveInt = 224
    widths: tuple[PositiveInt, ...] = Field(default=(24, 32, 48, 64), min_length=1)
