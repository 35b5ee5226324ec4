"""``nafnet``, ``swinir`` and ``retinexformer``: the networks of papers whose code spandrel carries under free licences.

spandrel makes the layers, under the names of the public checkpoints; their configurations are here, so that a network
can be trained from scratch and kept in a registry. Sources: Chen et al., Simple Baselines for Image Restoration, ECCV
2022; Liang et al., SwinIR, ICCV Workshops 2021; Cai et al., Retinexformer, ICCV 2023.

NAFNet and SwinIR pad on the right and below to a multiple of their own, NAFNet with zeros, SwinIR by reflection;
Retinexformer does not. At sizes that the host hands over only a SwinIR with windows of other than 8 pixels pads. None
clamps its output, and none keeps state between images.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F  # noqa: N812

from unirestorer.core import Config
from unirestorer.core.vision import prepare_torchvision

from .configs import NAFNetConfig, RetinexFormerConfig, SwinIRConfig

if TYPE_CHECKING:
    from torch import Tensor

C = TypeVar("C", bound=Config)

_FIXED: Mapping[str, Mapping[str, object]] = {
    "NAFNet": {"img_channel": 3},
    "RetinexFormer": {"in_channels": 3, "out_channels": 3},
    "SwinIR": {"in_chans": 3, "upscale": 1, "upsampler": "", "start_unshuffle": 1},
}
"""By spandrel's name of an architecture: what makes it map RGB images to images of their size."""


def nafnet(config: NAFNetConfig) -> nn.Module:
    """NAFNet (B, 3, H, W) -> (B, 3, H, W); untrained it adds one random convolution of its input to it."""
    network = _built("NAFNet", config)
    for block in network.modules():
        for name in ("norm1", "norm2"):
            if hasattr(block, name):
                setattr(block, name, ChannelNorm(len(getattr(block, name).weight)))
    return network


def swinir(config: SwinIRConfig) -> nn.Module:
    """SwinIR without upsampling (B, 3, H, W) -> (B, 3, H, W), for noise and JPEG.

    Without stochastic depth, too: training draws nothing at random, so that it can be resumed exactly.
    """
    return _built("SwinIR", config, drop_path_rate=0.0)


def retinexformer(config: RetinexFormerConfig) -> nn.Module:
    """Retinexformer (B, 3, H, W) -> (B, 3, H, W), for low light."""
    return _built("RetinexFormer", config)


def recognise_nafnet(state: Mapping[str, Tensor]) -> NAFNetConfig | None:
    """The configuration of the NAFNet that ``state`` belongs to, else ``None``."""
    return _recognised("NAFNet", NAFNetConfig, state)


def recognise_swinir(state: Mapping[str, Tensor]) -> SwinIRConfig | None:
    """The configuration of the SwinIR that ``state`` belongs to; ``None`` for others, and for ones that upscale."""
    return _recognised("SwinIR", SwinIRConfig, state)


def recognise_retinexformer(state: Mapping[str, Tensor]) -> RetinexFormerConfig | None:
    """The configuration of the Retinexformer that ``state`` belongs to, else ``None``."""
    return _recognised("RetinexFormer", RetinexFormerConfig, state)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, shape kept; ``weight`` and ``bias`` (C,).

    In the place of spandrel's, whose backward pass uses what PyTorch has deprecated.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, (last.shape[-1],), self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


def _spandrel(module: str = "spandrel") -> Any:
    """The module; spandrel has no annotations, and imports torchvision."""
    prepare_torchvision()
    return importlib.import_module(module)


def _built(arch: str, config: Config, **others: object) -> nn.Module:
    make = getattr(_spandrel(f"spandrel.architectures.{arch}"), arch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.meshgrid", category=UserWarning)  # SwinIR, of its own code
        network: nn.Module = make(**config.model_dump(), **_FIXED[arch], **others)
    return network


def _recognised(arch: str, config: type[C], state: Mapping[str, Tensor]) -> C | None:
    """spandrel reads the sizes from the shapes, makes that network and loads ``state`` into it, all names or none."""
    support = _spandrel().MAIN_REGISTRY[arch]
    if not support.detect(state):
        return None
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = support.architecture.load(dict(state)).model.hyperparameters
        read = config.model_validate({name: found[name] for name in config.model_fields})
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValidationError, ValueError):
        return None  # the names of one, but other shapes
    return read if all(found[name] == value for name, value in _FIXED[arch].items()) else None
