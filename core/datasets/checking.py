"""What ``unirestorer datasets`` prints: the table of published sets, and whether one on disk can be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UniRestorerError
from ..images import load
from .described import PublishedSet
from .published import PUBLISHED
from .reader import Dataset, find, open_dataset

FEW = 5
"""Pairs (or photos) that are decoded, evenly spread over the split."""
HEADER = ("data set", "kind", "for", "splits", "licence", "published at")


@dataclass(frozen=True)
class Report:
    """A split of a data set in a folder.

    ``usable``: can be trained on. ``layout``: the folders that were found. ``got``, ``wanted``: pairs (or photos).
    ``first``: names of the first pair, and its degree if known. ``sizes``: width x height of those decoded.
    ``problems``: one line each; those of a usable split are remarks.
    """

    name: str
    split: str
    root: str
    usable: bool
    layout: str = ""
    got: int = 0
    wanted: int | None = None
    first: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def check(name: str, root: Path, split: str | None = None, *, strict: bool = False) -> list[Report]:
    """Reports of ``split``, or of every split; raises ``UnknownNameError`` for names."""
    about = find(name)
    parts = [about.split(split)] if split is not None else about.splits
    return [_check(about, part.name, root, strict) for part in parts]


def _check(about: PublishedSet, split: str, root: Path, strict: bool) -> Report:
    wanted = about.split(split).count
    try:
        opened = open_dataset(about.name, root, split, strict=strict)
    except UniRestorerError as error:
        return Report(about.name, split, str(root), usable=False, wanted=wanted, problems=(str(error),))
    sizes, problems = _look(opened)
    first: tuple[str, ...] = ()
    if opened.pairs:
        pair = opened.pairs[0]
        first = (str(pair.lq), str(pair.gt), *([pair.degree] if pair.degree else []))
    elif opened.clean:
        first = (str(opened.clean[0]),)
    below = "" if opened.base == root else f"{opened.base.relative_to(root)}: "
    return Report(
        about.name,
        split,
        str(root),
        usable=not problems,
        layout=below + opened.place.label,
        got=len(opened.pairs) or len(opened.clean),
        wanted=wanted,
        first=first,
        sizes=tuple(sizes),
        problems=(*problems, *opened.notes),
    )


def _look(opened: Dataset) -> tuple[list[str], list[str]]:
    """Sizes of a few pairs or photos, which are decoded, and what is wrong with them."""
    sizes, problems = [], []
    things: Sequence[object] = opened.pairs or opened.clean
    for number in sorted({round(i * (len(things) - 1) / (FEW - 1)) for i in range(FEW)}):
        try:
            if opened.pairs:
                height, width = opened.read(opened.pairs[number], "lq").shape[:2]
                opened.read(opened.pairs[number], "gt")
            else:
                height, width = load(opened.clean[number]).pixels.shape[:2]
            sizes.append(f"{width}x{height}")
        except UniRestorerError as error:
            problems.append(str(error))
    return sizes, problems


def rows() -> list[tuple[str, ...]]:
    """The table, a row per data set; columns as in ``HEADER``."""
    return [_row(about) for about in PUBLISHED]


def _row(about: PublishedSet) -> tuple[str, ...]:
    splits = ", ".join(
        f"{split.name} {'any number' if split.count is None else f'{split.count:,}'}" for split in about.splits
    )
    unsure = "" if about.certain else " (unconfirmed)"
    return (about.name, about.kind, about.task, splits + unsure, about.licence, about.home)


def markdown() -> str:
    """The table and the notes of each set, as docs/datasets.md holds them."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(row) + " |" for row in rows()]
    lines += ["", "What to know about them:", ""]
    for about in PUBLISHED:
        also = f"also called {', '.join(about.aliases)}" if about.aliases else ""
        told = "; ".join(text for text in (also, about.note) if text)
        lines += [f"- {about.name}: {told}."] if told else []
    return "\n".join(lines)
