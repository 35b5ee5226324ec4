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
    require_all(state, wanted, f"{WHERE}: {path}", remedy, remedy)
    network.load_state_dict({name: state[name] for name in wanted})


def require_all(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str, missing: str, misshapen: str
) -> None:
    """Raise ``ConfigError`` for the first of ``wanted`` that ``given`` lacks or has in another shape.

    ``missing``, ``misshapen``: the remedy for either.
    """
    for name, tensor in wanted.items():
        if name not in given:
            raise ConfigError(f"{where}: no parameter '{name}'; {missing}")
        if given[name].shape != tensor.shape:
            got, want = tuple(given[name].shape), tuple(tensor.shape)
            raise ConfigError(f"{where}: '{name}' is {got}, wanted {want}; {misshapen}")
