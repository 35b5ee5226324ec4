"""The nodes of a hierarchy as a table: ``clusters.md`` for people, ``clusters.csv`` for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..contracts import Prompts
from ..files import atomic
from ..hierarchy import LabelledTree
from .quality import SAMPLE, Quality

MARKDOWN, CSV = "clusters.md", "clusters.csv"
TITLES = ("node", "name", "level", "samples", "majority", "share", "silhouette")


def write_tables(
    folder: Path,
    labelled: LabelledTree,
    census: NDArray[np.int32],
    prompts: Prompts,
    quality: Quality,
    notes: Sequence[str],
) -> None:
    """Write both tables; ``census`` (M, P) counts the training samples of each prompt in each node."""
    heads = [f"{kind}/{degree}" for kind, degree in prompts.pairs]
    rows = [
        [*_facts(labelled, census[node], heads, quality.silhouette[node], node), *map(str, census[node])]
        for node in range(len(labelled.tree))
    ]
    for name, text in (
        (MARKDOWN, _markdown(labelled, [[*TITLES, *heads], *rows], quality, notes)),
        (CSV, _csv([[*TITLES, *heads], *rows])),
    ):
        with atomic(folder / name) as file:
            file.write(text.encode())


def _facts(
    labelled: LabelledTree, counts: NDArray[np.int32], heads: Sequence[str], silhouette: float, node: int
) -> list[str]:
    level = labelled.level_names[int(labelled.tree.level[node])]
    share = counts.max() / max(1, counts.sum())
    value = "" if np.isnan(silhouette) else f"{silhouette:.3f}"
    majority = heads[int(counts.argmax())]
    return [str(node), labelled.names[node], level, str(counts.sum()), majority, f"{share:.3f}", value]


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _markdown(labelled: LabelledTree, lines: Sequence[Sequence[str]], quality: Quality, notes: Sequence[str]) -> str:
    titles, *rows = lines
    shown = [[*row[: len(TITLES)], *("" if count == "0" else count for count in row[len(TITLES) :])] for row in rows]
    table = [titles, ["---"] * len(titles), *shown]
    parts = [
        f"# Tree {'-'.join(map(str, labelled.tree.sizes))}",
        *(f"{note[:1].upper()}{note[1:]}." for note in notes),
        "\n".join(f"| {' | '.join(row)} |" for row in _figures(quality)),
        "\n".join(f"| {' | '.join(row)} |" for row in table),
        f"Training samples; silhouettes of at most {SAMPLE} of them, each among the nodes of its level.",
    ]
    return "\n\n".join(parts) + "\n"


def _figures(quality: Quality) -> list[list[str]]:
    values = [[name.replace("_", " "), f"{value:.3f}"] for name, value in quality.figures.items()]
    return [["figure", "value"], ["---", "---"], *values]
