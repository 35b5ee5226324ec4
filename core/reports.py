"""What was found and done, as JSON for machines and as one line for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from .files import atomic
from .instruction import AUTO, Instruction
from .restoring.files import is_copy

if TYPE_CHECKING:
    from .mixture import Estimate
    from .restoring import Restoration, Step


@dataclass(frozen=True)
class Outcome:
    """One file of a run: ``restoration`` or ``error`` is set, or neither where ``target`` was there already.

    ``target`` is None where nothing has a place. lost: what its format cannot hold. runtime: what ran the experts.
    """

    source: Path
    target: Path | None = None
    restoration: Restoration | None = None
    error: str | None = None
    instruction: Instruction = AUTO
    lost: tuple[str, ...] = ()
    runtime: str = ""

    @property
    def state(self) -> Literal["restored", "unchanged", "skipped", "failed"]:
        """What became of the file."""
        if self.error is not None:
            return "failed"
        if self.restoration is None:
            return "skipped"
        return "unchanged" if self.restoration.unchanged else "restored"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the owner of the file should know: of its reading, its restoring and its writing."""
        if self.restoration is None:
            return ()
        image = self.restoration.image
        read = () if isinstance(image, Tensor) or self._copied(image.format) else image.notes
        kept = (f"{self.target.suffix[1:]} cannot hold {', '.join(self.lost)}",) if self.lost and self.target else ()
        return tuple(dict.fromkeys((*read, *self.restoration.notes, *kept)))

    def _copied(self, kind: str | None) -> bool:
        """Whether the file is the source, byte for byte, of which nothing is lost or became another."""
        done, target = self.restoration, self.target
        return done is not None and target is not None and is_copy(done.unchanged, kind, target)


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
        "state": outcome.state,
        "error": outcome.error,
        "instruction": instruction_json(outcome.instruction),
    }
    if done is not None:
        values |= estimate_json(done.estimate)
        values |= {"expert": done.experts[0], "seconds": dict(done.seconds)}
        values |= {"tiles": done.tiles, "unchanged": done.unchanged}
        values |= {"runtime": outcome.runtime, "treatment": asdict(done.treatment), "notes": list(outcome.notes)}
        values |= {"frames": len(done.routes), "steps": [step_json(step) for step in done.route]}
    return values


def step_json(step: Step) -> dict[str, Any]:
    """A step as JSON values; the estimate in short."""
    return {
        "path": list(step.estimate.path),
        "task": step.estimate.task,
        "type_probabilities": dict(step.estimate.types),
        "experts": list(step.experts),
        "seconds": dict(step.seconds),
        "tiling": None if step.tiling is None else asdict(step.tiling),
        "outcome": step.outcome,
        "reason": step.reason,
        "meters": dict(step.meters),
    }


def outcome_text(outcome: Outcome) -> str:
    """An outcome as a line of JSON."""
    return json.dumps(outcome_json(outcome))


def read_report(path: Path) -> dict[str, str]:
    """What ``write_report`` wrote, the text by source; empty where there is nothing of that kind."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["source"]: json.dumps(entry) for entry in entries if entry["error"] is None}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def write_report(path: Path, entries: Iterable[str]) -> None:
    """Write a JSON list of ``entries``, each a text in JSON, whole or not at all; raises ``ImageError``."""
    with atomic(path) as file:
        file.write(b"[\n" + ",\n".join(entries).encode() + b"\n]\n")


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
    """For example ``rain.png  rain (0.93), expert all > rain > rain/2, 0.41 s -> out/rain.png``.

    Further steps follow the expert, with what came of them; what is undone or unchanged says why.
    """
    if outcome.restoration is None:
        return f"{outcome.source}  {outcome.error or 'skipped'}"
    done = outcome.restoration
    first, *others = done.route
    steps = estimate_line(first.estimate) + _undone(first) + "".join(f"; then {_step_line(step)}" for step in others)
    why = f": {done.why}" if done.route[-1].outcome == "unchanged" and done.why else ""
    change = f", unchanged{why}" if done.unchanged else ""
    return f"{outcome.source.name}  {steps}, {sum(done.seconds.values()):.2f} s{change} -> {outcome.target}"


def _step_line(step: Step) -> str:
    if step.outcome == "unchanged":
        return f"nothing more ({step.reason or step.estimate.path[-1]})"
    return f"{', '.join(step.experts)}{_undone(step)}"


def _undone(step: Step) -> str:
    return f" [undone: {step.reason}]" if step.outcome == "undone" else ""
