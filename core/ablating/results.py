"""What a sweep found: one row a cell, kept in ``results.json`` and shown as Markdown, CSV and a plot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError
from ..files import atomic
from .row import Row

RESULTS, MARKDOWN, CSV, PLOT = "results.json", "table.md", "table.csv", "plot.png"
FILES = (RESULTS, MARKDOWN, CSV, PLOT)


class Column(NamedTuple):
    """A figure of the table: heading, "stage.figure", which value is best, decimals."""

    title: str
    figure: str
    best: Callable[[Iterable[float]], float]
    digits: int


COLUMNS = (
    Column("NMI", "cluster.nmi_type", max, 3),
    Column("purity", "cluster.purity_type", max, 3),
    Column("degree purity", "cluster.purity_degree", max, 3),
    Column("unseen purity", "extract.degree purity", max, 3),
    Column("type found", "evaluate.type accuracy", max, 3),
    Column("oracle dB", "costs.oracle psnr", max, 2),
    Column("root dB", "costs.root psnr", max, 2),
    Column("regret", "routers.regret", min, 3),
    Column("gain dB", "evaluate.mean gain", max, 2),
)
_GAIN = "evaluate.gain "


def read_rows(out: Path) -> dict[str, Row]:
    """Rows by cell of an earlier run of a sweep in ``out``; none where ``out`` is missing or empty.

    Raises ``ConfigError`` when ``out`` holds something else.
    """
    path = out / RESULTS
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(entry.suffix != ".lock" for entry in out.iterdir())):
            raise ConfigError(f"{out}: holds other files and no {RESULTS}; give --out an empty or a new folder")
        return {}
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return {cell["cell"]: Row(**{**cell, "tree": tuple(cell["tree"])}) for cell in cells}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not the results of a sweep ({error!r}); give --out a new folder") from None


def write_results(out: Path, sweep: str, rows: Sequence[Row]) -> None:
    """Write all four files anew, each in place only when complete."""
    state = {"sweep": sweep, "cells": [asdict(row) for row in rows]}
    texts = {
        RESULTS: json.dumps(state, indent=1) + "\n",
        MARKDOWN: f"# {sweep}\n\n{markdown(rows)}\n",
        CSV: as_csv(rows),
    }
    for name, text in texts.items():
        with atomic(out / name) as file:
            file.write(text.encode())
    from .plot import draw  # Matplotlib is loaded only to draw

    draw(rows, out / PLOT)


def markdown(rows: Sequence[Row]) -> str:
    """The table, the best value of each column in bold, and means over an axis whose name begins with "seed"."""
    titles = [*rows[0].choices, "tree", *(column.title for column in COLUMNS), "seconds", "shared stages", "state"]
    best = {column.figure: _best(rows, column) for column in COLUMNS}
    lines = []
    for row in rows:
        values = [_number(row, column, best[column.figure]) for column in COLUMNS]
        tree = "-".join(map(str, row.tree)) or "-"
        shared = f"{row.shared} of {row.source}" if row.source else "-"
        lines.append([*row.choices.values(), tree, *values, f"{row.seconds:.0f}", shared, _state(row)])
    parts = [_table(titles, lines)]
    seeds = next((axis for axis in rows[0].choices if axis.startswith("seed")), None)
    return "\n\n".join([*parts, *([_means(rows, seeds)] if seeds else [])])


def as_csv(rows: Sequence[Row]) -> str:
    """Every cell with the gain of every group of samples; numbers at full precision."""
    groups = list(dict.fromkeys(name for row in rows for name in row.figures if name.startswith(_GAIN)))
    figures = [*(column.figure for column in COLUMNS), *groups]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["cell", *rows[0].choices, "tree", *figures, "seconds", "shared", "source", "state", "reason"])
    for row in rows:
        values = [row.figures.get(figure, "") for figure in figures]
        tree = "-".join(map(str, row.tree))
        end = [round(row.seconds, 1), row.shared, row.source, row.state, row.reason]
        writer.writerow([row.cell, *row.choices.values(), tree, *values, *end])
    return text.getvalue()


def _means(rows: Sequence[Row], seeds: str) -> str:
    """Mean and standard deviation of each figure over the axis ``seeds``, for each combination of the others."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(value for axis, value in row.choices.items() if axis != seeds), []).append(row)
    lines = []
    for choices, group in groups.items():
        done = [row for row in group if row.state == "done"]
        cells = []
        for column in COLUMNS:
            values = [row.figures[column.figure] for row in done if column.figure in row.figures]
            spread = f"{np.mean(values):.{column.digits}f} ± {np.std(values):.{column.digits}f}" if values else "-"
            cells.append(spread)
        lines.append([*choices, str(len(done)), *cells])
    axes = [axis for axis in rows[0].choices if axis != seeds]
    return f"Mean ± standard deviation over {seeds}:\n\n" + _table(
        [*axes, "cells", *(column.title for column in COLUMNS)], lines
    )


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = "|---" * len(titles) + "|"
    return "\n".join([f"| {' | '.join(titles)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)])


def _best(rows: Sequence[Row], column: Column) -> float | None:
    """The value to point out; None where there is no difference."""
    values = {row.figures[column.figure] for row in rows if column.figure in row.figures}
    return column.best(values) if len(values) > 1 else None


def _number(row: Row, column: Column, best: float | None) -> str:
    if column.figure not in row.figures:
        return "-"
    value = row.figures[column.figure]
    text = f"{value:.{column.digits}f}"
    return f"**{text}**" if value == best else text


def _state(row: Row) -> str:
    reason = row.reason.replace("|", "\\|")
    return f"{row.state}: {reason}" if reason else row.state
