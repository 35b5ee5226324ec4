"""What a model record says: which record is which part. Free of torch, for the registry's sake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT = "default"
"""The model that restoring uses, and the only name that moves."""

BASE, BASE_SHA256 = "base", "base_sha256"
"""Attributes of an adapter's record: the expert that it rests on, and the sha256 of the weights that this had."""
WEIGHTS_DTYPE, WIDE_SHA256 = "weights-dtype", "sha256-before-float16"
"""Attributes that an export leaves which narrowed the weights."""


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


def digests(attributes: Mapping[str, Any]) -> tuple[str | None, ...]:
    """sha256 of an expert's weights, and the one that they had before an export narrowed them."""
    wide = attributes.get(WIDE_SHA256) if attributes.get(WEIGHTS_DTYPE) == "float16" else None
    return (attributes["sha256"], wide) if wide else (attributes["sha256"],)


def base_problem(adapter: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """Why the expert with the attributes ``base`` cannot carry the ``adapter``; empty where it can."""
    if BASE in base:
        return f"is itself an adapter, over experts/{base[BASE]}"
    if adapter.get(BASE_SHA256) not in digests(base):
        return f"has sha256 {base['sha256']}, wanted {adapter.get(BASE_SHA256)}: replaced since the adapter was trained"
    return ""
