"""``eager``: PyTorch as it is, the reference that the other runtimes are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from ..contracts import Network, SizeRequirement


class Eager:
    """Runs the network itself."""

    name = "eager"

    def prepare(self, module: nn.Module, key: str, size: SizeRequirement) -> Network:
        """``module``."""
        return module


EAGER = Eager()
