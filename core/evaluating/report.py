"""What an evaluation found: one row an image and peer, and what it was measured with; means, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from ..catalogue import validation_lines
from ..contracts import Config
from ..errors import ConfigError
from .conventions import CONVENTIONS
from .suite import Suite

FORMAT = 1
"""Of the JSON."""
Means = dict[str, dict[str, float]]
"""Peer -> column or average -> value."""


class Cell(NamedTuple):
    """A number of a table; ``spread``: its sample standard deviation over several reports, None of one."""

    mean: float
    spread: float | None = None


Cells = Mapping[str, Mapping[str, Cell]]
"""Peer -> column or average -> cell."""


@dataclass(frozen=True)
class Row:
    """Scores of one peer on one image, by "convention.metric", for example "standard.psnr".

    node, level: the expert that was run, by name, and the name of its level; leaf_probability, level_probability: of
    the chosen leaf and level; found: the estimated damage type. None for peers without a tree. seconds: wall time.
    """

    part: str
    image: str
    task: str | None
    peer: str
    scores: Mapping[str, float]
    seconds: float
    node: str | None = None
    level: str | None = None
    found: str | None = None
    leaf_probability: float | None = None
    level_probability: float | None = None


@dataclass(frozen=True)
class Report:
    """All rows of a suite. ``missing``: a line for each part that could not be measured. ``facts``: versions, seeds,
    hashes of models, as JSON values; nothing that differs between two equal runs.
    """

    suite: Suite
    peers: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Names of the scores, as they first come."""
        return tuple(dict.fromkeys(key for row in self.rows for key in row.scores))

    @cached_property
    def images(self) -> Mapping[str, int]:
        """Number of measured images by column: the mean over its parts, which are often the same photos."""
        names: dict[str, set[str]] = {}
        for row in self.rows:
            names.setdefault(row.part, set()).add(row.image)
        counts: dict[str, list[int]] = {}
        for part in self.suite.parts:
            if part.name in names:
                counts.setdefault(part.column, []).append(len(names[part.name]))
        return {column: round(fmean(numbers)) for column, numbers in counts.items()}

    def covered(self, name: str) -> tuple[int, int]:
        """How many of the columns that an average stands for, or of the parts of a column, were measured: (n, of)."""
        if name in self.suite.averages:
            columns = columns_of(self.suite, name)
            return len([column for column in columns if column in self.images]), len(columns)
        parts = [part.name for part in self.suite.parts if part.column == name]
        return len({row.part for row in self.rows} & set(parts)), len(parts)


def columns_of(suite: Suite, name: str) -> tuple[str, ...]:
    """The columns that an average stands for, also through other averages; of a column itself."""
    if name not in suite.averages:
        return (name,)
    return tuple(dict.fromkeys(column for inner in suite.averages[name].of for column in columns_of(suite, inner)))


def means(report: Report, key: str) -> Means:
    """Means of the score ``key`` for each peer that has it, by column, and by average over the columns that are there.

    A column is the mean over its parts of the means over their images. An average is that of its columns, each counting
    as many times as it has images (as published, where the suite says how many) if the convention of ``key`` says so
    and the average is not plain. A peer has no average where it lacks a column that another peer has.
    """
    convention = CONVENTIONS.get(key.partition(".")[0])
    weighted = convention is not None and convention.mean == "weighted"
    found: Means = {}
    for peer in report.peers:
        columns = _column_means(report, peer, key)
        if columns:
            found[peer] = columns
    there = {column for columns in found.values() for column in columns}
    for columns in found.values():
        columns.update(_averages(report, columns, there, weighted))
    return found


def _column_means(report: Report, peer: str, key: str) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for row in report.rows:
        if row.peer == peer and key in row.scores:
            scores.setdefault(row.part, []).append(row.scores[key])
    parts: dict[str, list[float]] = {}
    for part in report.suite.parts:
        if part.name in scores:
            parts.setdefault(part.column, []).append(fmean(scores[part.name]))
    return {column: fmean(values) for column, values in parts.items()}


def _averages(report: Report, columns: Mapping[str, float], there: set[str], weighted: bool) -> dict[str, float]:
    """Averages of one peer's ``columns``; of ``there`` it must have all that an average stands for."""
    suite, found = report.suite, dict(columns)
    weights = {name: float(suite.weights.get(name, report.images[name])) for name in columns}
    for name, average in suite.averages.items():
        inner = [part for part in average.of if part in found]
        if not inner or (set(columns_of(suite, name)) & there) - set(columns):
            continue
        shares = [weights[part] if weighted and not average.plain else 1.0 for part in inner]
        found[name] = fmean([found[part] for part in inner], shares)
        weights[name] = sum(weights[part] for part in inner)
    return {name: value for name, value in found.items() if name in suite.averages}


def cells(reports: Sequence[Report], key: str, less: str | None = None) -> Cells:
    """Means of ``key`` over one report, or over several of one suite with their sample standard deviation.

    Several are those of models that were trained with different seeds, or of other seeds of the damage. ``less``: a
    peer whose means are taken off those of all others, where it has them. Raises ``ConfigError`` where the reports have
    other peers, images or scores.
    """
    for report in reports[1:]:
        _check_alike(reports[0], report)
    tables = [means(report, key) for report in reports]
    if less is not None:
        tables = [_differences(table, less) for table in tables]
    return {
        peer: {name: _cell([table[peer][name] for table in tables]) for name in values}
        for peer, values in tables[0].items()
    }


def _differences(table: Means, less: str) -> Means:
    base = table.get(less, {})
    return {
        peer: {name: value - base[name] for name, value in values.items() if name in base}
        for peer, values in table.items()
        if peer != less
    }


def _cell(values: Sequence[float]) -> Cell:
    return Cell(fmean(values), stdev(values) if len(values) > 1 else None)


def _check_alike(first: Report, other: Report) -> None:
    if first.suite.model_copy(update={"seed": 0}) != other.suite.model_copy(update={"seed": 0}):
        raise ConfigError(
            f"reports of other suites: '{first.suite.name}', '{other.suite.name}'; give those of one suite"
        )
    one, two = (
        {(row.peer, row.part, row.image, *sorted(row.scores)) for row in report.rows} for report in (first, other)
    )
    for peer, part, image, *_ in sorted(one ^ two):
        raise ConfigError(
            f"reports of suite '{first.suite.name}': {peer} on {part}, {image} is not in all of them with the same "
            "scores; evaluate the same images, peers and metrics"
        )


class _Document(Config):
    """The JSON of a report."""

    format: int
    suite: Suite
    peers: tuple[str, ...]
    means: Mapping[str, Means]
    missing: tuple[str, ...]
    facts: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]


def to_json(report: Report) -> str:
    """``report`` as JSON with its means; without wall times, so that equal runs give equal text."""
    values = {
        "format": FORMAT,
        "suite": report.suite.model_dump(mode="json"),
        "peers": report.peers,
        "means": {key: means(report, key) for key in report.keys},
        "missing": report.missing,
        "facts": report.facts,
        "rows": list(_row_values(report.rows)),
    }
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def _row_values(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {name: value for name, value in asdict(row).items() if name != "seconds" and value is not None}


def from_json(text: str, where: str = "report") -> Report:
    """The report that ``to_json`` wrote; wall times are 0. Raises ``ConfigError`` that begins with ``where``."""
    try:
        document = _Document.model_validate_json(text)
        check = TypeAdapter(Row).validate_python
        rows = tuple(check({"task": None, "seconds": 0.0, **row}) for row in document.rows)
    except ValidationError as error:
        raise ConfigError(validation_lines(error, where)) from None
    if document.format != FORMAT:
        raise ConfigError(f"{where}: format is {document.format}, wanted {FORMAT}; evaluate again")
    return Report(document.suite, document.peers, rows, document.missing, document.facts)
