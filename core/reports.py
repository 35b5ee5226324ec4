"""What was found and done, as JSON for machines and as one line for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import atomic
from .instruction import AUTO, Instruction

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
    instruction: Instruction = AUTO


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """An estimate as JSON values: node path, probabilities by name, and why."""
    return {
        "node": estimate.node,
        "path": list(estimate.path),
        "task": estimate.task,
        "leaf_probabilities": dict(estimate.leaves),
        "level_probabilities": dict(estimate.levels),
        "type_probabilities": dict(estimate.types),
        "alternatives": [{"node": name, "probability": value} for name, value in estimate.alternatives],
        "experts": [{"node": node, "weight": weight} for node, weight in estimate.experts],
        "level": estimate.level,
        "reason": estimate.reason,
        "unknown": estimate.unknown,
        "novelty": estimate.novelty,
        "nearest": [neighbour._asdict() for neighbour in estimate.nearest],
        "tree": [branch._asdict() for branch in estimate.tree],
    }


def instruction_json(instruction: Instruction) -> dict[str, list[str]]:
    """What was said, by option; empty in auto mode."""
    return {option: list(names) for option, names in instruction.said.items()}


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON values; ``seconds`` holds the wall time of routing and of the expert."""
    done = outcome.restoration
    values: dict[str, Any] = {
        "source": str(outcome.source),
        "target": None if outcome.target is None else str(outcome.target),
        "error": outcome.error,
        "instruction": instruction_json(outcome.instruction),
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
    """For example ``rain (0.93), expert all > rain > rain/2``, and the novelty of something unknown."""
    probability = estimate.types.get(estimate.task, max(estimate.leaves.values(), default=0.0))
    strange = f", unknown (novelty {estimate.novelty:.2f})" if estimate.unknown else ""
    return f"{estimate.task} ({probability:.2f}){strange}, expert {' > '.join(estimate.path)}"


def explanation_lines(estimate: Estimate, *, plain: bool = False) -> list[str]:
    """What stands behind ``estimate_line``: the tree with its probabilities, why this node, and what it is like.

    ``plain``: with ASCII characters alone.
    """
    from .explaining import UNLIKE, tree_lines

    names = {branch.node: branch.name for branch in estimate.tree}
    parts = {
        "tree": tree_lines(estimate.tree, estimate.path, plain=plain),
        "levels": [_listed(estimate.levels.items())],
        "blend": [_listed((names[node], weight) for node, weight in estimate.experts)][: len(estimate.experts) > 1],
        "why": [estimate.reason][: bool(estimate.reason)],
        "nearest": _table([(near.type, near.degree, near.photo, f"{near.distance:.2f}") for near in estimate.nearest])
        or ["this model keeps no training samples, so nobody knows whether the photo is like them"],
    }
    width = max(map(len, parts)) + 2
    lines = [
        (name if not at else "").ljust(width) + text for name, texts in parts.items() for at, text in enumerate(texts)
    ]
    if estimate.unknown:
        lines.append(f"warning: {UNLIKE} (novelty {estimate.novelty:.2f}, 1 is the edge of it); look at the result")
    return ["  " + line for line in lines]


def _listed(shares: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in shares)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def outcome_line(outcome: Outcome) -> str:
    """For example ``rain.png  rain (0.93), expert all > rain > rain/2, 0.41 s -> out/rain.png``."""
    if outcome.restoration is None:
        return f"{outcome.source}  {outcome.error}"
    done = outcome.restoration
    change = ", unchanged" if done.unchanged else ""
    found = estimate_line(done.estimate)
    return f"{outcome.source.name}  {found}, {sum(done.seconds.values()):.2f} s{change} -> {outcome.target}"
