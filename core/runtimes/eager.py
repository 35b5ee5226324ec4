"""``eager``: PyTorch as it is, the reference that the other runtimes are held against."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..contracts import Network, SizeRequirement


class Eager:
    """Runs the network itself, on ``device``: "cpu", "cuda", "mps"."""

    name = "eager"

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def prepare(self, module: nn.Module, key: str, size: SizeRequirement) -> Network:
        """``module`` in the memory layout that is quickest on CPUs; on another device a copy of it, in full float32."""
        if self.device == "cpu":
            return lambda image: module(image.contiguous(memory_format=torch.channels_last))
        there = deepcopy(module).to(self.device)

        def run(image: Tensor) -> Tensor:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                out: Tensor = there(image.to(self.device))
            return out.cpu()

        return run


EAGER = Eager()


def accelerator() -> str | None:
    """The device that PyTorch has beside the CPU, if any: "cuda" or "mps"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None
