"""Built-in expert architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unirestorer.core import ExpertSpec, SizeRequirement, hookimpl

from .configs import IdentityConfig, LoraConfig, ResUNetConfig, SpandrelConfig
from .published import MPRNET, NAFNET, RESTORMER, RETINEXFORMER, SWINIR

if TYPE_CHECKING:
    from torch import Tensor, nn

    from unirestorer.core import Adapter


def _identity(config: IdentityConfig) -> nn.Module:
    from torch import nn

    return nn.Identity()


def _resunet(config: ResUNetConfig) -> nn.Module:
    from .resunet import ResUNet

    return ResUNet(config)


def _recognise_resunet(state: Mapping[str, Tensor]) -> ResUNetConfig | None:
    from .resunet import recognise

    return recognise(state)


def _lora(config: LoraConfig, base: nn.Module) -> Adapter:
    from .lora import Lora

    return Lora(config, base)


def _revived(config: SpandrelConfig, state: Mapping[str, Tensor]) -> nn.Module:
    from .checkpoint import revive

    return revive(config, state)


def _recognised(state: Mapping[str, Tensor]) -> SpandrelConfig:
    from .checkpoint import recognise

    return recognise(state)


@hookimpl
def register_experts() -> Sequence[ExpertSpec[Any]]:
    """Those of this project, those of papers, and those that rest on another network or on a file."""
    return [
        ExpertSpec(
            "identity",
            "leaves the image as it is: the expert of clean images",
            IdentityConfig,
            _identity,
            licence="Apache-2.0",
        ),
        ExpertSpec(
            "resunet",
            "compact residual U-Net at half resolution",
            ResUNetConfig,
            _resunet,
            SizeRequirement(16, 16),
            licence="Apache-2.0",
            recognise=_recognise_resunet,
        ),
        RESTORMER,
        NAFNET,
        SWINIR,
        RETINEXFORMER,
        MPRNET,
        ExpertSpec(
            "lora",
            "low-rank adapter over another expert, merged into it to restore",
            LoraConfig,
            licence="Apache-2.0",
            over=_lora,
        ),
        ExpertSpec(
            "spandrel",
            "whatever network spandrel recognises in a file of weights, each under a licence of its own",
            SpandrelConfig,
            revive=_revived,
            recognise=_recognised,
        ),
    ]
