"""What was found and done, as JSON for machines and as one line for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import atomic

if TYPE_CHECKING:
    from .mixture import Estimate
    from .restoring import Restoration


@dataclass(frozen=True)
class Outcome:
    """One file of a run: either ``restoration`` or ``error`` is set. ``target`` is None where nothing has a place."""

    source: Path
    target: Path | None = None
    restoration: Restoration | None = None
    error: str | None = None


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """An estimate as JSON values: node path and probabilities by name."""
    return {
        "node": estimate.node,
        "path": list(estimate.path),
        "task": estimate.task,
        "leaf_probabilities": dict(estimate.leaves),
        "level_probabilities": dict(estimate.levels),
        "type_probabilities": dict(estimate.types),
        "alternatives": [{"node": name, "probability": value} for name, value in estimate.alternatives],
    }


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON values; ``seconds`` holds the wall time of routing and of the expert."""
    done = outcome.restoration
    values: dict[str, Any] = {
        "source": str(outcome.source),
        "target": None if outcome.target is None else str(outcome.target),
        "error": outcome.error,
    }
    if done is not None:
        values |= estimate_json(done.estimate)
        values |= {"expert": done.experts[0], "seconds": dict(done.seconds)}
        values |= {"tiles": done.tiles, "unchanged": done.unchanged}
    return values


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a JSON list of outcomes to ``path``, whole or not at all; raises ``ImageError`` where it cannot."""
    text = json.dumps([outcome_json(outcome) for outcome in outcomes], indent=2)
    with atomic(path) as file:
        file.write(text.encode() + b"\n")


def estimate_line(estimate: Estimate) -> str:
    """For example ``rain (0.93), expert all > rain > rain/2``."""
    probability = estimate.types.get(estimate.task, max(estimate.leaves.values(), default=0.0))
    return f"{estimate.task} ({probability:.2f}), expert {' > '.join(estimate.path)}"


def outcome_line(outcome: Outcome) -> str:
    """For example ``rain.png  rain (0.93), expert all > rain > rain/2, 0.41 s -> out/rain.png``."""
    if outcome.restoration is None:
        return f"{outcome.source}  {outcome.error}"
    done = outcome.restoration
    change = ", unchanged" if done.unchanged else ""
    found = estimate_line(done.estimate)
    return f"{outcome.source.name}  {found}, {sum(done.seconds.values()):.2f} s{change} -> {outcome.target}"
