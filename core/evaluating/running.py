"""Every peer on every image of a suite; what was measured is written down as it comes, so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, UniRestorerError
from ..files import atomic
from ..run import Watcher
from .cases import Case
from .opening import Entry
from .peers import Peer, Restored
from .report import Report, Row
from .suite import Part, Suite

ROWS = "rows.jsonl"
"""The file of a run's rows: first the arguments, then a line a row."""
Key = tuple[str, str, str]
"""Part, image and peer."""


class Scorer(Protocol):
    """What is measured of an image (``unirestorer.core.evaluating.metrics.Metrics``)."""

    def score(
        self, restored: NDArray[np.uint8], truth: NDArray[np.uint8] | None, task: str | None
    ) -> Mapping[str, float]:
        """Scores by "convention.metric"; without a truth those that need none."""
        ...


@dataclass
class Journal:
    """Rows of a run by (part, image, peer); ``path`` None: in memory alone."""

    path: Path | None = None
    rows: dict[Key, Row] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, arguments: Mapping[str, Any]) -> Journal:
        """The journal in ``path``, of a run with these ``arguments`` (JSON values), begun where there is none.

        Raises ``ConfigError`` where it is that of other arguments, or no journal. A last line that was cut off when the
        run was killed is dropped.
        """
        first = json.dumps({"arguments": arguments}, sort_keys=True)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        whole, _, rest = text.rpartition("\n")
        lines = whole.split("\n") if whole else [first]
        if lines[0] != first:
            raise ConfigError(f"{path}: {_difference(lines[0], arguments)}; choose another folder, or remove the file")
        if rest or not whole:
            with atomic(path) as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
        try:
            rows = [Row(**json.loads(line)) for line in lines[1:]]
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}: is damaged ({error}); remove the file to begin anew") from None
        return cls(path, {(row.part, row.image, row.peer): row for row in rows})

    def add(self, rows: Sequence[Row]) -> None:
        """Keep ``rows``, and write them down."""
        self.rows |= {(row.part, row.image, row.peer): row for row in rows}
        if self.path is not None and rows:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{json.dumps(asdict(row))}\n" for row in rows))


def _difference(line: str, arguments: Mapping[str, Any]) -> str:
    """Which arguments differ from those of the first ``line``."""
    try:
        old = json.loads(line)["arguments"]
        names = [name for name in {**old, **arguments} if old.get(name) != arguments.get(name)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is not the journal of an evaluation"
    return f"was begun with other arguments ({', '.join(names)})"


def _silent(task: str, done: int, total: int, note: str) -> None:
    """Watches nothing."""


def evaluate(
    suite: Suite,
    entries: Sequence[Entry],
    peers: Sequence[Peer],
    metrics: Scorer,
    watch: Watcher = _silent,
    *,
    journal: Journal | None = None,
    missing: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Every one of ``peers`` on every image of ``entries``, but for those that the ``journal`` has already.

    A part that a peer cannot be measured on is a line of ``Report.missing``, after ``missing``. So is an image that
    fails, which ``tell`` hears of at once; the others go on.
    """
    journal = journal or Journal()
    lines = list(missing)

    def fails(line: str) -> None:
        lines.append(line)
        tell(line)

    for name, group in groupby(entries, key=lambda entry: entry.part):
        able, refused = _able(suite.part(name), peers)
        lines += refused
        inside = list(group)
        for number, entry in enumerate(inside):
            watch(name, number, len(inside), entry.image)
            wanted = [peer for peer in able if (entry.part, entry.image, peer.name) not in journal.rows]
            if wanted:
                journal.add(list(_measured(entry, wanted, metrics, fails)))
        watch(name, len(inside), len(inside), "")
    keys = [(entry.part, entry.image, peer.name) for entry in entries for peer in peers]
    rows = tuple(journal.rows[key] for key in keys if key in journal.rows)
    return Report(suite, tuple(peer.name for peer in peers), rows, tuple(lines), facts or {})


def _able(part: Part, peers: Sequence[Peer]) -> tuple[list[Peer], list[str]]:
    """The peers that can be measured on ``part``, and a line for each of the others."""
    reasons = {peer.name: peer.refuses(part) for peer in peers}
    able = [peer for peer in peers if not reasons[peer.name]]
    return able, [f"{part.name}: {name}: {reason}" for name, reason in reasons.items() if reason]


def _measured(entry: Entry, peers: Iterable[Peer], metrics: Scorer, fails: Callable[[str], None]) -> Iterator[Row]:
    try:
        case = entry.read()
    except UniRestorerError as error:
        fails(f"{entry.part}: {entry.image}: {error}")
        return
    for peer in peers:
        try:
            restored = peer.restore(case)
            yield _row(case, peer.name, restored, metrics.score(restored.pixels, case.truth, case.task))
        except UniRestorerError as error:
            fails(f"{entry.part}: {entry.image}: {peer.name}: {error}")


def _row(case: Case, peer: str, restored: Restored, scores: Mapping[str, float]) -> Row:
    row = Row(case.part, case.image, case.task, peer, dict(scores), restored.seconds, restored.node, restored.level)
    estimate = restored.estimate
    if estimate is None:
        return row
    leaf, level = max(estimate.leaves.values()), estimate.levels.get(str(restored.level))
    return replace(row, found=estimate.task, leaf_probability=leaf, level_probability=level)
