"""What a reproduced table says: values over seeds, and what becomes of the paper's claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .table import SHARE, Claim, Column, Line, Table, seed_of

BOUNDS = ("input", "root", "oracle")
"""Peers for which it does not matter how routers were trained: no figure of a stage is theirs."""

SIGN = 0.01
"""A limit of a claim that only says which row is above."""


@dataclass(frozen=True)
class Found:
    """A cell that was trained and measured: its choices, and its figures by "stage.figure".

    ``scores``: (peer, column or average of the suite, "convention.metric") -> mean.
    """

    choices: Mapping[str, str]
    figures: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[tuple[str, str, str], float] = field(default_factory=dict)

    def value(self, row: Line, column: Column, figure: str) -> float | None:
        """What ``row`` has in ``column``; None where that was not measured, or is not of what the row is about."""
        if column.stage is not None:
            return None if row.peer in BOUNDS else self.figures.get(figure)
        place = (row.peer, str(column.of))
        shares = figure.startswith(f"{SHARE}.") and any(
            key[:2] == place and key[2].startswith(f"{SHARE}.") for key in self.scores
        )
        return self.scores.get((*place, figure), 0.0 if shares else None)  # a level that was never used has no share


@dataclass(frozen=True)
class Value:
    """A number of the table, by seed; there may be none."""

    seeds: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds; raises ``ValueError`` where there is none."""
        if not self.seeds:
            raise ValueError("a value without any seed has no mean")
        return float(np.mean(list(self.seeds.values())))

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over the seeds; None for fewer than two."""
        return float(np.std(list(self.seeds.values()), ddof=1)) if len(self.seeds) > 1 else None

    def minus(self, other: Value) -> Value:
        """The differences, of seeds that both have."""
        return Value({seed: value - other.seeds[seed] for seed, value in self.seeds.items() if seed in other.seeds})


class Difference(NamedTuple):
    """What a claim is about in one column: the measured difference, that of the printed numbers, and the column."""

    column: Column
    value: Value
    printed: float | None


@dataclass(frozen=True)
class Verdict:
    """A claim and its differences."""

    claim: Claim
    differences: tuple[Difference, ...]

    @property
    def measured(self) -> bool:
        """Whether every difference is known."""
        return all(difference.value.seeds for difference in self.differences)

    @property
    def holding(self) -> tuple[str, ...]:
        """Titles of the columns in which the claim holds for the mean over the seeds."""
        return tuple(d.column.title for d in self.differences if d.value.seeds and self.claim.holds(d.value.mean))

    @property
    def with_every_seed(self) -> bool:
        """Whether the claim holds in all columns with each seed."""
        return self.measured and all(
            self.claim.holds(value) for difference in self.differences for value in difference.value.seeds.values()
        )

    @property
    def reproduces(self) -> bool:
        """Whether the claim holds in all columns for the means over the seeds."""
        return len(self.holding) == len(self.differences)


def value_of(row: Line, column: Column, figure: str, found: Sequence[Found]) -> Value:
    """The values that ``row`` has over its seeds."""
    cells = [cell for cell in found if row.made_of(cell.choices)]
    values = {seed_of(cell.choices): cell.value(row, column, figure) for cell in cells}
    return Value({seed: value for seed, value in values.items() if value is not None})


def verdicts(table: Table, found: Sequence[Found]) -> list[Verdict]:
    """What becomes of every claim of ``table``, by the first figure of each column."""
    rows, columns = {row.title: row for row in table.rows}, {column.title: column for column in table.columns}
    result = []
    for claim in table.claims:
        better, worse = rows[claim.row], rows[claim.over]
        differences = []
        for title in claim.columns:
            column = columns[title]
            mine, other = (value_of(row, column, column.figures[0], found) for row in (better, worse))
            both = title in better.published and title in worse.published
            printed = better.published[title][0] - worse.published[title][0] if both else None
            differences.append(Difference(column, mine.minus(other), printed))
        result.append(Verdict(claim, tuple(differences)))
    return result


def sentence(verdict: Verdict, scale: str) -> str:
    """The verdict as a sentence: differences with their spread, those that were printed, and whether they agree."""
    parts = []
    for column, value, printed in verdict.differences:
        name, digits = column.phrase or column.title, 2 if column.digits is None else column.digits
        spread = "" if value.deviation is None else f" ± {value.deviation:.{digits}f}"
        amount = f"by {value.mean:+.{digits}f}{spread} {column.unit}".rstrip() if value.seeds else "not measured"
        parts.append(f"{name} {amount}" + ("" if printed is None else f" (paper: {printed:+.{digits}f})"))
    return f"{verdict.claim.text}{_limit(verdict)}: {', '.join(parts)}: {_said(verdict, scale)}."


def _limit(verdict: Verdict) -> str:
    """What is wanted, where that is more than a sign."""
    claim = verdict.claim
    word, limit = ("at least", claim.at_least) if claim.at_least is not None else ("at most", claim.at_most)
    unit = verdict.differences[0].column.unit
    return f" ({word} {limit:+g} {unit})".replace(" )", ")") if limit is not None and abs(limit) > SIGN else ""


def _said(verdict: Verdict, scale: str) -> str:
    where = "" if scale == "paper" else " at this scale"
    if not verdict.measured:
        return "not measured"
    holds, holds_not = ("holds", "does not hold") if verdict.claim.ours else ("reproduces", "does not reproduce")
    if verdict.with_every_seed:
        return holds
    if verdict.reproduces:
        return f"{holds} on average, not with every seed"
    if not verdict.holding:
        return f"{holds_not}{where}"
    names = {d.column.title: d.column.phrase or f"for {d.column.title}" for d in verdict.differences}
    good = ", ".join(names[title] for title in verdict.holding)
    bad = ", ".join(name for title, name in names.items() if title not in verdict.holding)
    return f"{holds} {good}, not {bad}{where}"
