"""The plot of a sweep: a heat map each of gain and clustering quality for two axes, bars for any other number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .row import Row

PANELS = (
    ("mean gain on held-out samples, dB", "evaluate.mean gain", 2),
    ("NMI of the type level with the true types", "cluster.nmi_type", 3),
)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the plot of ``rows`` as PNG; cells without the figure are marked with their state."""
    from matplotlib.figure import Figure

    axes = list(rows[0].choices)
    names = [list(dict.fromkeys(row.choices[axis] for row in rows)) for axis in axes]
    if len(axes) == 2:
        size = (2 * (2 + 1.3 * len(names[1])), 1.8 + 0.7 * len(names[0]))
    else:
        size = (13, 1.4 + 0.35 * len(rows))
    figure = Figure(figsize=(max(9, size[0]), size[1]), layout="constrained")
    for panel, (title, figure_name, digits) in zip(figure.subplots(1, 2), PANELS, strict=True):
        panel.set_title(title, fontsize=10)
        if len(axes) == 2:
            _heat(panel, rows, axes, names, figure_name, digits)
        else:
            _bars(panel, rows, figure_name, digits)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=130)


def _heat(
    panel: Axes, rows: Sequence[Row], axes: Sequence[str], names: Sequence[Sequence[str]], figure: str, digits: int
) -> None:
    """First axis downwards, second to the right; brighter is higher."""
    from matplotlib import colormaps

    values, texts = np.full((len(names[0]), len(names[1])), np.nan), {}
    for row in rows:
        place = names[0].index(row.choices[axes[0]]), names[1].index(row.choices[axes[1]])
        values[place] = row.figures.get(figure, np.nan)
        texts[place] = f"{values[place]:.{digits}f}" if figure in row.figures else row.state
    colours = colormaps["viridis"].with_extremes(bad="0.85")
    panel.imshow(np.ma.masked_invalid(values), cmap=colours, aspect="auto")
    known = values[~np.isnan(values)]
    bright = known.min() + 0.6 * np.ptp(known) if len(known) else 0.0
    for place, text in texts.items():
        dark = bool(values[place] < bright)  # never where there is no value
        panel.text(place[1], place[0], text, ha="center", va="center", color="white" if dark else "black")
    panel.set_xticks(range(len(names[1])), names[1])
    panel.set_yticks(range(len(names[0])), names[0])
    panel.set_xlabel(axes[1])
    panel.set_ylabel(axes[0])


def _bars(panel: Axes, rows: Sequence[Row], figure: str, digits: int) -> None:
    """A bar a cell, top down; the best one is darker."""
    values = [row.figures.get(figure, 0.0) for row in rows]
    known = [value for row, value in zip(rows, values, strict=True) if figure in row.figures]
    colours = ["C0" if known and value == max(known) else "#9ecae1" for value in values]
    bars = panel.barh([row.cell for row in rows], values, color=colours)
    texts = [f"{v:.{digits}f}" if figure in row.figures else row.state for row, v in zip(rows, values, strict=True)]
    panel.bar_label(bars, texts, padding=3, fontsize=8)
    panel.margins(x=0.15)
    panel.invert_yaxis()
