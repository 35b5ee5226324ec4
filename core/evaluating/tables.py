"""A report as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .conventions import CONVENTIONS
from .report import Cells, Report, cells
from .routes import routing_tables
from .sheet import ORACLE
from .suite import Published

ABSENT = "-"
FIELDS = ("part", "image", "task", "peer", "node", "level", "found", "leaf_probability", "level_probability", "seconds")
"""Columns of the CSV beside the scores, which stand behind the first four."""
_HASH = re.compile("[0-9a-f]{64}")


def csv_text(report: Report) -> str:
    """A line an image and peer, scores in full precision; wall times too, which differ between equal runs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIELDS[:4], *report.keys, *FIELDS[4:]])
    for row in report.rows:
        fields = [getattr(row, name) for name in FIELDS]
        writer.writerow([*fields[:4], *(row.scores.get(key) for key in report.keys), *fields[4:]])
    return text.getvalue()


def score_tables(reports: Sequence[Report]) -> str:
    """Markdown: a table for each convention, below it what was published, and one for each metric without a convention.

    Peers are rows; columns and averages stand as in the suite; cells are PSNR/SSIM as papers print them. Of several
    reports of one suite, means and sample standard deviations over them. Raises what ``cells`` raises.
    """
    groups: dict[str, list[str]] = {}
    for key in reports[0].keys:
        groups.setdefault(key.partition(".")[0], []).append(key)
    return "\n\n".join(_section(reports, name, keys) for name, keys in groups.items())


def _section(reports: Sequence[Report], name: str, keys: Sequence[str]) -> str:
    report = reports[0]
    values = {key: cells(reports, key) for key in keys}
    shown = {column for table in values.values() for row in table.values() for column in row}
    columns = [column for column in (*report.suite.columns, *report.suite.averages) if column in shown]
    best = {key: _best(key, table, columns, _lower_better(report, key)) for key, table in values.items()}
    lines = [f"| | {' | '.join(_heading(report, column) for column in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for peer in report.peers:
        if any(peer in table for table in values.values()):
            found = [_joined(values, best, peer, column) for column in columns]
            lines.append(f"| {peer} | {' | '.join(found)} |")
    printed = list(_published(report, name, keys, columns))
    lines += [line for _, line in printed]
    notes = [_sentence(report, name), _counts(reports, name, columns)]
    notes += [f"In italics, as published: {table}." for table in dict.fromkeys(table for table, _ in printed)]
    return "\n".join([f"## {name}", "", *notes, "", *lines])


def _sentence(report: Report, name: str) -> str:
    if name in CONVENTIONS:
        return f"{CONVENTIONS[name].says()} Cells are PSNR in dB/SSIM; the best in bold, the oracle aside."
    direction = "lower" if _lower_better(report, name) else "higher"
    return f"{name}: {direction} is better; mean over images of a part, then parts; the best in bold, the oracle aside."


def _lower_better(report: Report, key: str) -> bool:
    """As the metric's facts say; PSNR and SSIM are better when they are higher."""
    about = report.facts.get("metrics", {}).get(key)
    return isinstance(about, Mapping) and bool(about.get("lower_better"))


def _counts(reports: Sequence[Report], name: str, columns: Sequence[str]) -> str:
    report = reports[0]
    images = [f"{column} {report.images[column]}" for column in columns if column in report.images]
    text = f"Images: {', '.join(images)}."
    if name in CONVENTIONS and CONVENTIONS[name].mean == "weighted" and report.suite.weights:
        weights = [f"{column} {weight:g}" for column, weight in report.suite.weights.items()]
        text += f" Averages count as many as were published: {', '.join(weights)}."
    return text + (f" Mean and sample standard deviation over {len(reports)} runs." if len(reports) > 1 else "")


def _heading(report: Report, column: str) -> str:
    """The name of the column, and how many of the parts or columns behind it are there, unless all are."""
    there, total = report.covered(column)
    return column if there == total else f"{column} ({there} of {total})"


def _best(key: str, table: Cells, columns: Sequence[str], lower: bool) -> dict[str, str]:
    """By column the best value as it is printed, where peers compete; but not the oracle, which looks at the truth."""
    best: dict[str, str] = {}
    for column in columns:
        rivals = [row[column].mean for peer, row in table.items() if peer != ORACLE and column in row]
        if len(rivals) > 1:
            best[column] = _number(key, min(rivals) if lower else max(rivals))
    return best


def _joined(values: Mapping[str, Cells], best: Mapping[str, Mapping[str, str]], peer: str, column: str) -> str:
    """For example ``31.43/**.936**``; with deviations ``31.43 ± 0.08 / **.936 ± .002**``."""
    texts, bold, between = list[str](), list[bool](), "/"
    for key, table in values.items():
        cell = table.get(peer, {}).get(column)
        if cell is not None:
            text = _number(key, cell.mean)
            bold.append(peer != ORACLE and text == best[key].get(column))
            if cell.spread is not None:
                text, between = f"{text} ± {_number(key, cell.spread)}", " / "
            texts.append(text)
    if texts and all(bold):
        return f"**{between.join(texts)}**"
    return between.join(f"**{text}**" if top else text for text, top in zip(texts, bold, strict=True)) or ABSENT


def _number(key: str, value: float) -> str:
    """PSNR with two decimals, SSIM as ``.936``, others with three decimals."""
    metric = key.rpartition(".")[2]
    if metric == "psnr":
        return f"{value:.2f}"
    text = f"{value:.3f}"
    return text.removeprefix("0") if metric == "ssim" else text


def _published(report: Report, name: str, keys: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where a row stands, and the row, of what was published by convention ``name`` for columns that are all there."""
    order = [key.rpartition(".")[2] for key in keys]
    whole = [column for column in columns if _is_whole(report, column)]
    for published in report.suite.published:
        if published.convention == name:
            for row, printed in published.rows.items():
                texts = [
                    _printed(published, printed.get(column, ()), order) if column in whole else "" for column in columns
                ]
                if any(texts):
                    yield (
                        published.table,
                        f"| *{row}* | {' | '.join(f'*{text}*' if text else ABSENT for text in texts)} |",
                    )


def _is_whole(report: Report, name: str) -> bool:
    there, total = report.covered(name)
    return there == total


def _printed(published: Published, printed: Sequence[float], order: Sequence[str]) -> str:
    found = dict(zip(published.metrics, printed, strict=False))
    return "/".join(_number(metric, found[metric]) for metric in order if metric in found)


def report_text(reports: Sequence[Report]) -> str:
    """The whole of ``report.md``: scores, of one report how it was routed, what is missing, and the facts."""
    report = reports[0]
    parts = [f"# {report.suite.name}: {report.suite.title}", score_tables(reports)]
    if len(reports) == 1:
        parts += filter(None, [routing_tables(report)])
    missing = list(dict.fromkeys(line for each in reports for line in each.missing))
    if missing:
        parts.append("\n".join(["## Missing", "", *(f"- {line}" for line in missing)]))
    parts.append("\n".join(["## Measured with", "", *_facts(report.facts)]))
    return "\n\n".join(parts) + "\n"


def _facts(facts: Mapping[str, Any]) -> Iterator[str]:
    """A list of facts, mappings of mappings as a list below; sentences of conventions stand above their tables."""
    for name, value in facts.items():
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
            yield f"- {name}:"
            yield from (f"  - {key}: {_said(inner)}" for key, inner in value.items() if key != "conventions")
        else:
            yield f"- {name}: {_said(value)}"


def _said(value: Any) -> str:
    """A JSON value in a line; of a hash the first digits."""
    if isinstance(value, Mapping):
        inside = {
            name: f"({_said(inner)})" if isinstance(inner, Mapping) else _said(inner) for name, inner in value.items()
        }
        return "; ".join(f"{name} {text}" for name, text in inside.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "all"
    return f"{value[:12]}..." if isinstance(value, str) and _HASH.fullmatch(value) else str(value)
