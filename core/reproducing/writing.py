"""The files of a reproduced table: Markdown, CSV and JSON; and its section in a page of results."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import atomic
from .outcome import Found, Value, sentence, value_of, verdicts
from .section import put_section
from .table import Column, Line, Table

NONE = "-"


@dataclass(frozen=True)
class Origin:
    """How a table came about: its ``name`` and ``scale``, the ``command``, ``versions`` by package, CPU ``threads``.

    ``seconds``: of training and measuring, runs that were killed left out. ``measured``: on what, one line. ``missing``
    and ``failed``: a line for all that is not there.
    """

    name: str
    scale: str
    command: str
    versions: Mapping[str, str]
    threads: int
    seconds: float
    measured: str = ""
    missing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def write_files(out: Path, table: Table, found: Sequence[Found], origin: Origin) -> dict[str, Path]:
    """Write NAME.md, .csv, .json and .png into ``out``, each whole or not at all; returns them by suffix."""
    paths = {suffix: out / f"{origin.name}.{suffix}" for suffix in ("md", "csv", "json", "png")}
    text = f"# {table.title}\n\n{body(table, found, origin)}\n\n![{origin.name}]({paths['png'].name})\n"
    data = json.dumps(as_json(table, found, origin), indent=1) + "\n"
    for suffix, content in (("md", text), ("csv", as_csv(table, found)), ("json", data)):
        with atomic(paths[suffix]) as file:
            file.write(content.encode())
    from .plot import draw  # Matplotlib is loaded only to draw

    draw(table, found, paths["png"])
    return paths


def write_section(page: Path, table: Table, found: Sequence[Found], origin: Origin) -> None:
    """Put the table in its place in the Markdown file ``page``; raises ``ConfigError`` for markers that do not pair."""
    put_section(page, origin.name, f"## {table.title}\n\n{body(table, found, origin)}")


def body(table: Table, found: Sequence[Found], origin: Origin) -> str:
    """The table with everything that belongs to it, as Markdown without a heading."""
    scale = table.scale(origin.scale)
    claims = [f"- {sentence(verdict, origin.scale)}" for verdict in verdicts(table, found)]
    lost = [f"- {line}" for line in (*origin.missing, *origin.failed)]
    parts = [
        f"{table.source} {table.text}".strip(),
        markdown(table, found),
        "\n".join(claims),
        _made(origin),
        scale.note,
        "\n".join(["Not there:", "", *lost]) if lost else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _made(origin: Origin) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    return f"`{origin.command}`: {origin.measured}; {origin.seconds:.0f} s, CPU threads: {origin.threads}; {versions}."


def markdown(table: Table, found: Sequence[Found]) -> str:
    """Our rows, mean ± sample deviation over seeds, the best bold (no oracle); the printed ones beside and below."""
    beside = [c for c in table.columns if any(c.title in row.published for row in table.rows)]
    titles = ["", *(c.title for c in table.columns), *(f"paper: {c.title}" for c in beside)]
    lines = [titles, ["---"] * len(titles)]
    best = {c.title: _best(table, c, found) for c in table.columns}
    for row in table.rows:
        ours = [_cell(row, column, found, best[column.title]) for column in table.columns]
        lines.append([row.title, *ours, *(_printed(row.published, column) for column in beside)])
    for printed in table.printed:
        lines.append([printed.title, *(_printed(printed.values, c) for c in table.columns), *[""] * len(beside)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: Line, column: Column, found: Sequence[Found], best: float | None) -> str:
    values = [value_of(row, column, figure, found) for figure in column.figures]
    if not values[0].seeds:
        return NONE
    text = " / ".join(
        _number(value, digits_of(column, figure)) for value, figure in zip(values, column.figures, strict=True)
    )
    return f"**{text}**" if values[0].mean == best else text


def _number(value: Value, digits: int) -> str:
    if not value.seeds:
        return NONE
    spread = "" if value.deviation is None else f" ± {value.deviation:.{digits}f}"
    return f"{value.mean:.{digits}f}{spread}"


def _printed(values: Mapping[str, tuple[float, ...]], column: Column) -> str:
    given = values.get(column.title, ())
    numbers = zip(given, column.figures, strict=False)
    return " / ".join(f"{number:.{digits_of(column, figure)}f}" for number, figure in numbers) or NONE


def digits_of(column: Column, figure: str) -> int:
    """Decimals of ``figure``: three of what lies between 0 and 1, else two, unless the column says."""
    if column.digits is not None:
        return column.digits
    return 3 if figure.rpartition(".")[2] in ("ssim", "lpips") else 2


def _best(table: Table, column: Column, found: Sequence[Found]) -> float | None:
    """The mean to point out, of rows that do not look at the truth; None where there is no difference or no better."""
    fair = [row for row in table.rows if row.peer != "oracle"]
    values = [value_of(row, column, column.figures[0], found) for row in fair]
    means = {value.mean for value in values if value.seeds}
    if len(means) < 2 or column.best == "none":
        return None
    return max(means) if column.best == "high" else min(means)


def as_csv(table: Table, found: Sequence[Found]) -> str:
    """A line a row, column and figure, at full precision: ours with its seeds, then what was printed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "of", "column", "figure", "mean", "deviation", "seeds", "values"])
    for row in table.rows:
        for column in table.columns:
            for figure in column.figures:
                value = value_of(row, column, figure, found)
                if value.seeds:
                    seeds, values = zip(*value.seeds.items(), strict=True)
                    spread = "" if value.deviation is None else value.deviation
                    end = [value.mean, spread, " ".join(seeds), " ".join(map(repr, values))]
                    writer.writerow([row.title, "ours", column.title, figure, *end])
    for title, cells in _all_printed(table):
        for column in table.columns:
            for figure, number in zip(column.figures, cells.get(column.title, ()), strict=False):
                writer.writerow([title, "paper", column.title, figure, number, "", "", ""])
    return text.getvalue()


def _all_printed(table: Table) -> list[tuple[str, Mapping[str, tuple[float, ...]]]]:
    """Printed numbers by row, ours first."""
    ours = [(row.title, row.published) for row in table.rows if row.published]
    return [*ours, *((row.title, row.values) for row in table.printed)]


def as_json(table: Table, found: Sequence[Found], origin: Origin) -> dict[str, Any]:
    """All of it as JSON values."""
    rows = []
    for row in table.rows:
        values = {
            column.title: {
                figure: {"mean": value.mean, "deviation": value.deviation, "seeds": dict(value.seeds)}
                for figure in column.figures
                if (value := value_of(row, column, figure, found)).seeds
            }
            for column in table.columns
        }
        rows.append({"title": row.title, "where": dict(row.where), "peer": row.peer, "values": values})
    claims = [
        {
            "claim": verdict.claim.model_dump(exclude_none=True, mode="json"),
            "differences": {d.column.title: dict(d.value.seeds) for d in verdict.differences},
            "reproduces": verdict.reproduces if verdict.measured else None,
            "sentence": sentence(verdict, origin.scale),
        }
        for verdict in verdicts(table, found)
    ]
    printed = [
        {"title": title, "values": {k: list(v) for k, v in cells.items()}} for title, cells in _all_printed(table)
    ]
    return {
        "table": origin.name,
        "title": table.title,
        "scale": origin.scale,
        "command": origin.command,
        "versions": dict(origin.versions),
        "threads": origin.threads,
        "seconds": round(origin.seconds, 1),
        "measured": origin.measured,
        "missing": list(origin.missing),
        "failed": list(origin.failed),
        "rows": rows,
        "printed": printed,
        "claims": claims,
    }
