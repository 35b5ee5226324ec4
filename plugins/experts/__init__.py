"""Built-in expert architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unirestorer.core import ExpertSpec, SizeRequirement, hookimpl

from .configs import IdentityConfig, ResUNetConfig

if TYPE_CHECKING:
    from torch import nn


def _identity(config: IdentityConfig) -> nn.Module:
    from torch import nn

    return nn.Identity()


def _resunet(config: ResUNetConfig) -> nn.Module:
    from .resunet import ResUNet

    return ResUNet(config)


@hookimpl
def register_experts() -> Sequence[ExpertSpec[Any]]:
    """The identity for clean images, and the compact network."""
    return [
        ExpertSpec("identity", "leaves the image as it is: the expert of clean images", IdentityConfig, _identity),
        ExpertSpec(
            "resunet", "compact residual U-Net at half resolution", ResUNetConfig, _resunet, SizeRequirement(16, 16)
        ),
    ]
