"""How often each node and level was used, for each true type of damage: counts, means, Markdown, CSV, JSON, a heat map.

Rows come from anywhere: photos that were diagnosed, or an evaluation. Nothing else of the package is needed.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import BinaryIO

UNNAMED = "(not named)"
"""Stands for the true type where nobody says it."""
EVERYTHING = "all images"
"""Row of a table that sums up all types."""
MOST = 40
"""Nodes that a heat map shows; those used least are left out."""


@dataclass(frozen=True)
class Routed:
    """An image: its true type if known, the node and level that were used, probabilities of leaf and level.

    found: the type that was found. unknown: unlike anything the model was trained on; ``None`` where nobody can tell.
    """

    truth: str | None
    node: str
    level: str
    leaf_probability: float | None = None
    level_probability: float | None = None
    found: str | None = None
    unknown: bool | None = None


@dataclass(frozen=True)
class Group:
    """The images of one true type.

    nodes, levels: how many of them used each. leaf, level: mean probabilities. right: share whose type was found.
    unknown: share that is unlike anything known. ``None`` where no image says it.
    """

    images: int
    nodes: Mapping[str, int]
    levels: Mapping[str, int]
    leaf: float | None
    level: float | None
    right: float | None
    unknown: float | None


@dataclass(frozen=True)
class Statistics:
    """Groups by true type, all images together, and the order of nodes and levels."""

    types: Mapping[str, Group]
    everything: Group
    nodes: tuple[str, ...]
    levels: tuple[str, ...]


def statistics(rows: Sequence[Routed], nodes: Sequence[str] = (), levels: Sequence[str] = ()) -> Statistics:
    """Count ``rows``. Types are sorted; nodes and levels come in the given order, then others as they first come."""
    kinds = sorted({row.truth for row in rows if row.truth is not None})
    named: list[str | None] = [*kinds, *([None] if any(row.truth is None for row in rows) else [])]
    return Statistics(
        types={kind or UNNAMED: _group([row for row in rows if row.truth == kind]) for kind in named},
        everything=_group(rows),
        nodes=tuple(dict.fromkeys([*nodes, *(row.node for row in rows)])),
        levels=tuple(dict.fromkeys([*levels, *(row.level for row in rows)])),
    )


def _group(rows: Sequence[Routed]) -> Group:
    named = [row for row in rows if row.truth is not None and row.found is not None]
    return Group(
        images=len(rows),
        nodes=_counts(row.node for row in rows),
        levels=_counts(row.level for row in rows),
        leaf=_mean(row.leaf_probability for row in rows),
        level=_mean(row.level_probability for row in rows),
        right=_mean(float(row.found == row.truth) for row in named),
        unknown=_mean(None if row.unknown is None else float(row.unknown) for row in rows),
    )


def _counts(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def markdown(found: Statistics, heading: str = "Routing statistics") -> str:
    """A table of levels and means with a row for every type, and one of experts with a column for every type."""
    groups = _rows(found)
    summary = [["true type", "images", *found.levels, *_MEANS]]
    for name, group in groups:
        levels = [_share(group.levels.get(level, 0), group.images) for level in found.levels]
        summary.append([name, str(group.images), *levels, *_mean_cells(group)])
    used = [node for node in found.nodes if found.everything.nodes.get(node)]
    experts = [["expert", *(name for name, _ in groups)]]
    experts += [[node, *(_share(group.nodes.get(node, 0), group.images) for _, group in groups)] for node in used]
    unused = [node for node in found.nodes if node not in used]
    lines = [f"## {heading}", "", "Share of images by the level of the expert that was used, and means:", ""]
    lines += [*_piped(summary), "", "Share of the images of each true type by expert:", "", *_piped(experts)]
    lines += ["", f"Never used: {', '.join(unused)}."] if unused else []
    return "\n".join(lines) + "\n"


_MEANS = ("leaf probability", "level probability", "type found", "unknown")


def _rows(found: Statistics) -> list[tuple[str, Group]]:
    """Types, and all of them together where there are several."""
    return [*found.types.items(), *([(EVERYTHING, found.everything)] if len(found.types) > 1 else [])]


def _mean_cells(group: Group) -> list[str]:
    means = ["" if value is None else f"{value:.2f}" for value in (group.leaf, group.level)]
    return means + ["" if value is None else f"{value:.0%}" for value in (group.right, group.unknown)]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if part else ""


def _piped(table: Sequence[Sequence[str]]) -> list[str]:
    header, *rows = table
    alike = ["---", *("---:" for _ in header[1:])]
    lines = ([cell.replace("|", r"\|") for cell in cells] for cells in (header, alike, *rows))
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def to_csv(found: Statistics) -> str:
    """Counts and means: a line a type, columns ``level:NAME`` and ``node:NAME``."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    counted = (*(f"level:{name}" for name in found.levels), *(f"node:{name}" for name in found.nodes))
    table.writerow(["true_type", "images", *(name.replace(" ", "_") for name in _MEANS), *counted])
    for kind, group in _rows(found):
        means = (group.leaf, group.level, group.right, group.unknown)
        counts = [group.levels.get(name, 0) for name in found.levels]
        counts += [group.nodes.get(name, 0) for name in found.nodes]
        table.writerow([kind, group.images, *("" if mean is None else f"{mean:.6g}" for mean in means), *counts])
    return text.getvalue()


def to_json(found: Statistics) -> str:
    """Everything, as JSON."""
    return json.dumps(asdict(found), indent=2) + "\n"


WRITERS: Mapping[str, Callable[[Statistics], str]] = {".md": markdown, ".csv": to_csv, ".json": to_json}
"""By the suffix of a file, what its text is."""


def draw(found: Statistics, file: BinaryIO | Path) -> None:
    """A PNG: a row a true type, a column an expert that was used, shaded by the share of the type's images."""
    from matplotlib.figure import Figure

    count = found.everything.nodes
    used = [node for node in found.nodes if count.get(node)]
    nodes = [node for node in used if node in sorted(used, key=lambda name: -count[name])[:MOST]]
    rows = _rows(found)
    shares = [[100 * group.nodes.get(node, 0) / max(group.images, 1) for node in nodes] for _, group in rows]
    figure = Figure(figsize=(2.2 + 0.5 * len(nodes), 1.9 + 0.42 * len(rows)), layout="constrained")
    panel = figure.subplots()
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for y, line in enumerate(shares):
        for x, share in enumerate(line):
            if share:
                colour = "white" if share > 55 else "black"
                panel.text(x, y, f"{share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    panel.set_xticks(range(len(nodes)), nodes, rotation=45, ha="right", fontsize=8, parse_math=False)
    labels = [f"{name} ({group.images})" for name, group in rows]
    panel.set_yticks(range(len(rows)), labels, fontsize=8, parse_math=False)
    panel.set(xlabel="expert that was used", ylabel="true type (images)")
    figure.colorbar(image, ax=panel, label="percent of the type's images", fraction=0.03)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # folders may have names in any script
        figure.savefig(file, format="png", dpi=130)
