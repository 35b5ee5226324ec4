"""The plot of a reproduced table: a panel a column, our means with their spread, and what the paper printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import atomic
from .outcome import Found, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .table import Column, Table

PANELS = 6
"""Columns that are drawn at most: the last ones, where the averages stand."""


def draw(table: Table, found: Sequence[Found], path: Path) -> None:
    """Write the plot as PNG."""
    from matplotlib.figure import Figure

    columns = table.columns[-PANELS:]
    names = [row.title for row in table.rows] + [row.title for row in table.printed]
    figure = Figure(figsize=(3 + 3 * len(columns), 1.6 + 0.32 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, columns, strict=True):
        _panel(panel, table, column, found)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8, frameon=False
    )
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _panel(panel: Axes, table: Table, column: Column, found: Sequence[Found]) -> None:
    """Ours as dots with a bar of one standard deviation, the paper's as open diamonds, one row below the other."""
    ours = [(place, value_of(row, column, column.figures[0], found)) for place, row in enumerate(table.rows)]
    known = [(place, value) for place, value in ours if value.seeds]
    panel.errorbar(
        [value.mean for _, value in known],
        [place for place, _ in known],
        xerr=[value.deviation or 0.0 for _, value in known],
        fmt="o",
        color="C0",
        capsize=3,
        label="ours, mean and deviation over seeds",
    )
    below = [*(row.published for row in table.rows), *(row.values for row in table.printed)]
    printed = [(place, cells[column.title][0]) for place, cells in enumerate(below) if column.title in cells]
    panel.plot(
        [value for _, value in printed],
        [place for place, _ in printed],
        "D",
        color="0.4",
        markerfacecolor="none",
        label="printed in the paper (other data and networks)",
    )
    named = column.unit in column.title.replace(",", "").split()
    panel.set_title(column.title if named or not column.unit else f"{column.title}, {column.unit}", fontsize=9)
    panel.grid(axis="x", color="0.9")
    panel.tick_params(labelsize=8)
