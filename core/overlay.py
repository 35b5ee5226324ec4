"""A part of a recipe put over the whole of it: choices of a sweep, and the ``smoke`` part of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PLUGIN_BLOCKS = ("extractor", "cluster", "experts")


def overlaid(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """``change`` over the recipe ``base``; a block that names another plugin loses the old plugin's configuration."""
    values = dict(base)
    for block in _PLUGIN_BLOCKS:
        old, new = values.get(block), change.get(block)
        if isinstance(old, dict) and isinstance(new, dict) and new.get("name", old.get("name")) != old.get("name"):
            values[block] = {key: value for key, value in old.items() if key != "config"}
    return merged(values, change)


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """``change`` over ``base``, mapping by mapping; lists and scalars are replaced, null removes a key."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return {key: value for key, value in result.items() if key not in change or value is not None}
