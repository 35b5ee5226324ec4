"""Charts of a report: PSNR and its gain over the input by column and peer, and the levels that were used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import atomic
from .report import Cells, Report, cells
from .sheet import INPUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..routing_statistics import Statistics

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
"""Told apart with any kind of colour vision (Okabe and Ito 2002); the input is grey."""
GREY = "#999999"
WIDTH, DOTS = 12.0, 100
"""Inches and dots an inch: 1200 pixels."""
COLUMNS = 12
"""Of the table at most, in one row of the chart."""
LABELLED = 32
"""Bars at most in one row of the chart, for their values to be written above them."""


def bars(reports: Sequence[Report]) -> Figure:
    """For the first convention, PSNR and, where the input was measured, the gain over it.

    Of several reports means, with sample standard deviations as whiskers. Raises what ``cells`` raises.
    """
    from matplotlib.figure import Figure

    suite, key = reports[0].suite, f"{reports[0].suite.conventions[0]}.psnr"
    values, gains = cells(reports, key), cells(reports, key, less=INPUT)
    known = {name for row in values.values() for name in row}
    names = [name for name in (*suite.columns, *suite.averages) if name in known]
    rows = _rows(names)
    panels = [(values, "PSNR, dB"), (gains, "gain over the input, dB")][: 1 + (INPUT in values and len(values) > 1)]
    figure = Figure(figsize=(WIDTH, 0.9 + 2.7 * len(rows) * len(panels)), dpi=DOTS, layout="constrained")
    axes = figure.subplots(len(rows) * len(panels), 1, squeeze=False)[:, 0]
    colours = _colours(reports[0].peers)
    places = [(table, title, row) for row in rows for table, title in panels]
    for panel, (table, title, row) in zip(axes, places, strict=True):
        _bars(panel, table, row, colours)
        panel.set_ylabel(title)
        if table is values:
            _from_near_the_lowest(panel, values)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), frameon=False)
    figure.suptitle(f"{suite.name}: {suite.title}\nconvention: {suite.conventions[0]}", fontsize=11)
    return figure


def _rows(names: Sequence[str]) -> list[list[str]]:
    """``names`` in as few rows as possible, of about the same length."""
    count = -(-len(names) // COLUMNS)
    return [list(names[len(names) * row // count : len(names) * (row + 1) // count]) for row in range(count)]


def _colours(peers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and hatching of each peer."""
    others = [peer for peer in peers if peer != INPUT]
    hatches = ("", "//", "..")
    found = {peer: (COLOURS[n % len(COLOURS)], hatches[n // len(COLOURS) % 3]) for n, peer in enumerate(others)}
    return {INPUT: (GREY, ""), **found}


def _bars(panel: Axes, table: Cells, names: Sequence[str], colours: dict[str, tuple[str, str]]) -> None:
    """A group of bars for each name, one bar a peer."""
    width = 0.84 / len(table)
    for number, (peer, row) in enumerate(table.items()):
        places = [place for place, name in enumerate(names) if name in row]
        shown = [row[names[place]] for place in places]
        x = [place + (number - (len(table) - 1) / 2) * width for place in places]
        heights = [cell.mean for cell in shown]
        spreads = [cell.spread or 0.0 for cell in shown] if any(c.spread is not None for c in shown) else None
        colour, hatch = colours[peer]
        drawn = panel.bar(x, heights, width * 0.94, yerr=spreads, color=colour, hatch=hatch, label=peer, capsize=2)
        if len(table) * len(names) <= LABELLED:
            panel.bar_label(drawn, [f"{height:.2f}" for height in heights], fontsize=7.5, padding=2)
    panel.set_xticks(range(len(names)), [_wrapped(name) for name in names], fontsize=9)
    panel.set_xlim(-0.5, len(names) - 0.5)
    panel.margins(y=0.12)
    panel.grid(axis="y", linewidth=0.4, alpha=0.6)
    panel.set_axisbelow(True)
    panel.axhline(0, color="black", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)


def _wrapped(name: str, width: int = 13) -> str:
    from textwrap import wrap

    return "\n".join(wrap(name, width)) or name


def _from_near_the_lowest(panel: Axes, table: Cells) -> None:
    """PSNR has no natural zero: the axis begins at a multiple of five below every value, and says so."""
    values = [cell.mean for row in table.values() for cell in row.values()]
    low = 5.0 * floor((min(values) - 1) / 5)
    panel.set_ylim(bottom=low)
    panel.set_ylabel(f"{panel.get_ylabel()} (from {low:.0f})")


def levels(found: Mapping[str, Statistics]) -> Figure:
    """For each peer the share of every level, by true type; ``found`` is not empty."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    longest = max(len(statistics.types) for statistics in found.values())
    across = min(len(found), 3)
    down = -(-len(found) // across)
    figure = Figure(figsize=(WIDTH, 1.1 + down * (0.6 + 0.34 * longest)), dpi=DOTS, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    names = list(dict.fromkeys(level for statistics in found.values() for level in statistics.levels))
    shades = colormaps["cividis"]
    colours = {level: shades(number / max(1, len(names) - 1)) for number, level in enumerate(names)}
    for panel, (peer, statistics) in zip(panels, found.items(), strict=False):
        _stacks(panel, statistics, colours)
        panel.set_title(peer, fontsize=10)
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("level of the expert that was used, by true type (images)", fontsize=11)
    return figure


def draw(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG; raises ``ImageError`` where that is not possible."""
    with atomic(path) as file:
        figure.savefig(file, format="png")


def _stacks(panel: Axes, statistics: Statistics, colours: Mapping[str, tuple[float, ...]]) -> None:
    """A bar a true type, from 0 to 100 %, with a piece for each level."""
    names = [f"{kind} ({group.images})" for kind, group in statistics.types.items()]
    left = [0.0] * len(names)
    for level, colour in colours.items():
        shares = [100 * group.levels.get(level, 0) / group.images for group in statistics.types.values()]
        drawn = panel.barh(names, shares, left=left, color=colour, label=level, edgecolor="white", linewidth=0.6)
        dark = sum(colour[:3]) < 1.2
        texts = [f"{share:.0f}" if share >= 8 else "" for share in shares]
        panel.bar_label(drawn, texts, label_type="center", fontsize=8, color="white" if dark else "black")
        left = [start + share for start, share in zip(left, shares, strict=True)]
    panel.set_xlim(0, 100)
    panel.set_xlabel("% of images", fontsize=9)
    panel.tick_params(labelsize=9)
    panel.invert_yaxis()
    panel.spines[["top", "right"]].set_visible(False)
