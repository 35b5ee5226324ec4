"""Measuring a model for a table: the suite's images, the peers that its rows name, the conventions that it shows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from time import perf_counter

from ..errors import ConfigError
from ..evaluating.conventions import CONVENTIONS
from ..evaluating.metrics import Metrics, psnr
from ..evaluating.opening import Degrade, open_suite
from ..evaluating.peers import Bench, ModelPeer, Peer, built_in
from ..evaluating.report import Report, columns_of, means
from ..evaluating.running import Journal, evaluate
from ..evaluating.suite import Suite
from ..files import atomic
from ..instruction import Instruction
from ..recipe import fingerprint
from ..restoring import Restorer
from ..run import Watcher
from .table import SHARE, Table

Key = tuple[str, str, str]
"""Peer, column or average, "convention.metric"."""


@dataclass(frozen=True)
class Measured:
    """Means of one model, a line for everything that was ``missing``, and seconds of the runs that came to an end."""

    scores: Mapping[Key, float]
    missing: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Ruler:
    """What every model of a table is measured with: its ``suite``, and the function that damages clean photos.

    ``folder`` keeps what was measured of each model, image by image, so that a run can go on.
    """

    table: Table
    suite: Suite
    degrade: Degrade
    folder: Path
    watch: Watcher

    @cached_property
    def metrics(self) -> Metrics:
        """In the conventions that the table shows. Raises ``ConfigError`` for an unknown one."""
        shown = [metric for column in self.table.columns if column.of for metric in column.metrics]
        names = list(dict.fromkeys(metric.partition(".")[0] for metric in shown if metric.partition(".")[0] != SHARE))
        unknown = [name for name in names if name not in CONVENTIONS]
        if unknown:
            raise ConfigError(f"no convention called {', '.join(unknown)}; known: {', '.join(CONVENTIONS)}")
        return Metrics([CONVENTIONS[name] for name in names])

    def measure(
        self, restorer: Restorer, name: str, stamp: str, data: Path, choices: Mapping[str, str] | None = None
    ) -> Measured:
        """``restorer``, called ``name``, on the suite's images below ``data``.

        ``choices`` of its cell: then as the rows alone restore that are made of it. ``stamp``: what the model is known
        by, so that no other one's numbers are taken for its own. What was measured in full before is not measured
        again. Raises ``DataError`` where nothing of the suite is there.
        """
        used = {row.peer for row in self.table.rows if choices is None or row.made_of(choices)}
        peers = [peer for peer in dict.fromkeys(row.peer for row in self.table.rows) if peer in used]
        told = {peer: said.model_dump(mode="json") for peer, said in self.table.peers.items()}
        conventions = [convention.model_dump(mode="json") for convention in self.metrics.conventions]
        key = fingerprint(self.suite, peers, told, conventions, self.table.fallback, stamp, data.name)
        result = self.folder / f"{name}-{key[:16]}.json"
        before = _read(result)
        if before is not None and not before.missing:
            return before
        start = perf_counter()
        report = self._report(restorer, name, peers, data, result.with_suffix(".jsonl"), key)
        seconds = round(perf_counter() - start + (before.seconds if before else 0.0), 1)
        measured = Measured(dict([*_scores(report), *_shares(report)]), report.missing, seconds)
        _write(result, measured)
        return measured

    def _report(self, restorer: Restorer, name: str, peers: list[str], data: Path, journal: Path, key: str) -> Report:
        shown = [name for column in self.table.columns if column.of for name in columns_of(self.suite, column.of)]
        opened = open_suite(self.suite, data, self.degrade, parts=shown)
        bench = Bench(restorer)

        def watch(task: str, done: int, total: int, note: str) -> None:
            self.watch(task, done, total, f"{note} ({name})")

        return evaluate(
            self.suite,
            opened.entries,
            [self._peer(peer, bench) for peer in peers],
            self.metrics,
            watch,
            journal=Journal.open(journal, {"key": key}),
            missing=opened.missing,
        )

    def _peer(self, name: str, bench: Bench) -> Peer:
        if name in self.table.peers:
            instruction = Instruction(levels=self.table.peers[name].levels)
            return ModelPeer(name, bench, lambda task: instruction, {"what": str(instruction)})
        first = self.metrics.conventions[0]
        return built_in(name, bench, {}, lambda image, truth, task: psnr(image, truth, first, task))


def _scores(report: Report) -> list[tuple[Key, float]]:
    """All means but those of columns and averages of which something is missing: others' are of all of it."""
    whole = {name for name in (*report.suite.columns, *report.suite.averages) if _is_whole(report, name)}
    return [
        ((peer, name, key), value)
        for key in report.keys
        for peer, columns in means(report, key).items()
        for name, value in columns.items()
        if name in whole
    ]


def _is_whole(report: Report, name: str) -> bool:
    return all(len(set(report.covered(column))) == 1 for column in columns_of(report.suite, name))


def _shares(report: Report) -> list[tuple[Key, float]]:
    """By peer and column or average, the share of images at each level of the tree, a mean over columns."""
    suite, counts = report.suite, dict[tuple[str, str], Counter[str]]()
    for row in report.rows:
        if row.level is not None:
            counts.setdefault((row.peer, suite.part(row.part).column), Counter())[row.level] += 1
    levels = dict.fromkeys(level for count in counts.values() for level in count)
    shares = []
    for name in (*suite.columns, *suite.averages):
        for peer in report.peers:
            there = [counts[peer, column] for column in columns_of(suite, name) if (peer, column) in counts]
            for level in levels if there else ():
                value = fmean(count[level] / count.total() for count in there)
                shares.append(((peer, name, f"{SHARE}.{level}"), value))
    return shares


def _read(path: Path) -> Measured | None:
    """What an earlier run has measured; None where it has not, or left something that cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        scores = {(peer, name, key): float(value) for peer, name, key, value in values["scores"]}
        return Measured(scores, tuple(values["missing"]), float(values["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, measured: Measured) -> None:
    values = {
        "seconds": measured.seconds,
        "missing": measured.missing,
        "scores": [[*key, value] for key, value in measured.scores.items()],
    }
    with atomic(path) as file:
        file.write((json.dumps(values, indent=1) + "\n").encode())
