"""What a model record says: which record is which part. Free of torch, for the registry's sake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT = "default"
"""The model that restoring uses, and the only name that moves."""


def is_version(name: str, base: str) -> bool:
    """Whether the model ``name`` is a later version of ``base``, like ``tiny.2`` of ``tiny``."""
    return name.startswith(f"{base}.") and name.removeprefix(f"{base}.").isdecimal()


def install_hint(origin: str) -> str:
    """What to do about a missing plugin whose ``origin`` is "distribution version"."""
    name, _, version = origin.partition(" ")
    return f"pip install {name}=={version}" if version and name != "plugin" else f"install the {origin or 'plugin'}"


def expert_names(ties: Mapping[str, Any], nodes: int) -> list[str]:
    """Record name of each node's expert: ``expert_names`` of an extended model, else ``<set>/<node>``."""
    return list(ties.get("expert_names") or [f"{ties['experts']}/{node}" for node in range(nodes)])


def experts_before(ties: Mapping[str, Any]) -> dict[str, str | None]:
    """sha256 that each older expert had when the model was extended (the first time that it was older)."""
    found: dict[str, str | None] = {}
    for entry in ties.get("provenance", {}).get("extensions", ()):
        found = {**entry.get("experts_before", {}), **found}
    return found
