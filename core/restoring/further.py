"""Whether another pass is worth it, by what the model knows of the result, without a reference."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..mixture import Estimate

SURE = 0.9
"""Probability of the leaves below the branch of the chosen node from which on another pass is worth it.

Chosen on mixtures of two damages, where passes without it lose as often as they win: docs/safety.md."""


def branch(estimate: Estimate) -> str:
    """The node below the root that the chosen node belongs to, or the root."""
    return estimate.path[min(1, len(estimate.path) - 1)]


def enough(estimate: Estimate, treated: Container[str]) -> str:
    """Why the result that ``estimate`` is about is left as it is, empty where it is not.

    ``treated``: the branches whose experts ran before.
    """
    name = branch(estimate)
    sure = next((part.probability for part in estimate.tree if part.name == name), 1.0)
    if name in treated:
        return f"{name} was treated already"
    if estimate.unknown:
        return "the result is unlike anything that the model knows"
    return f"too unsure that {name} is left ({sure:.2f}, wanted {SURE:g})" if sure < SURE else ""


def worse(before: Estimate, after: Estimate) -> str:
    """Why a further pass is undone: the model takes its result for more damaged. Empty where it does not."""
    if after.undamaged >= before.undamaged:
        return ""
    return f"looks more damaged than before (undamaged {after.undamaged:.2f}, was {before.undamaged:.2f})"
