"""Weights of published files put into a network by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from unirestorer.core.errors import ConfigError

WHERE = "extractor.config.weights"


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    """Put those of ``state`` that ``network`` has into it; others are left out.

    Raises ``ConfigError`` naming the first parameter that is missing or of another shape, and ``remedy``.
    """
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            raise ConfigError(f"{WHERE}: {path}: no parameter '{name}'; {remedy}")
        if state[name].shape != tensor.shape:
            got, want = tuple(state[name].shape), tuple(tensor.shape)
            raise ConfigError(f"{WHERE}: {path}: '{name}' is {got}, wanted {want}; {remedy}")
    network.load_state_dict({name: state[name] for name in wanted})
