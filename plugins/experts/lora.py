"""``lora``: a low-rank expert over another expert's network, the compact experts of the paper's ICLR version (rank 8).

LoRA (Hu et al. 2022) on every convolution and linear layer, grouped and depthwise convolutions too. Of a weight W with
scale alpha/rank the adapter adds

- linear (out, in): scale * B A with A (r, in), B (out, r);
- convolution (out, in/g, k, k) in g groups: scale * B A with A (r k, in k), B (out/g k, r k), reshaped to W. This is
  the layout of loralib: parameter names (``<layer>.lora_A``, ``<layer>.lora_B``) and shapes are those of its files.

A is random, B zero: untrained, it does nothing. The base's weights are frozen and not part of the state dict.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unirestorer.core.errors import ConfigError

from .configs import LoraConfig

if TYPE_CHECKING:
    from torch import Tensor


class LowRank(nn.Module):
    """What is added to one weight: ``delta`` has its shape."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        self.shape, self.scale = layer.weight.shape, config.alpha / config.rank
        out, into, rank = layer.weight.shape[0], layer.weight.shape[1], config.rank
        if isinstance(layer, nn.Conv2d):
            height, width = layer.weight.shape[2:]
            rank *= max(height, width)
            out, into = out // layer.groups * height, into * layer.groups * width
        self.lora_A = nn.Parameter(torch.empty(rank, into))
        self.lora_B = nn.Parameter(torch.zeros(out, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=sqrt(5))

    def delta(self) -> Tensor:
        """float32 also under autocast: bfloat16 would round away small steps."""
        with torch.autocast(self.lora_A.device.type, enabled=False):
            return (self.scale * (self.lora_B @ self.lora_A)).view(self.shape)


class Lora(nn.Module):
    """Images (B, 3, H, W) to what ``base`` makes of them with the low-rank terms added to its weights.

    The base goes along to devices and dtypes, but stays in evaluation mode: nothing of it changes in training. Raises
    ``ConfigError`` where it has no convolution and no linear layer.
    """

    def __init__(self, config: LoraConfig, base: nn.Module) -> None:
        super().__init__()
        self._base = (base.eval().requires_grad_(False),)  # in a tuple, lest it become part of this module's state
        self._terms = {name: LowRank(layer, config) for name, layer in _layers(base)}
        if not self._terms:
            raise ConfigError("lora: the base has no convolution and no linear layer to adapt; name another base")
        for name, term in self._terms.items():
            _place(self, name, term)

    def forward(self, images: Tensor) -> Tensor:
        """As the merged network, with a gradient for the low-rank terms."""
        (base,) = self._base
        changed = {_weight(name): base.get_parameter(_weight(name)) + t.delta() for name, t in self._terms.items()}
        output: Tensor = torch.func.functional_call(base, changed, (images,))
        return output

    def merged(self) -> nn.Module:
        """A copy of the base with the low-rank terms added to its weights."""
        network = copy.deepcopy(self._base[0])
        with torch.no_grad():
            for name, term in self._terms.items():
                network.get_parameter(_weight(name)).add_(term.delta())
        return network

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """What ``to``, ``half`` and the like go through."""
        self._base[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]


def _layers(base: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    """The layers that are adapted, by name; a weight that several share once."""
    seen: set[int] = set()
    for name, layer in base.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer._parameters.get("weight")  # None where it is computed, as by weight normalisation
            if weight is not None and id(weight) not in seen:
                seen.add(id(weight))
                yield name, layer


def _weight(layer: str) -> str:
    return f"{layer}.weight" if layer else "weight"


def _place(root: nn.Module, name: str, term: LowRank) -> None:
    """Make ``term`` the submodule ``name`` of ``root``, whatever attributes of that name there are."""
    *above, last = name.split(".")
    for part in above:
        root = root._modules.setdefault(part, nn.Module())  # type: ignore[assignment]  # none of them is None
    root._modules[last] = term
