"""Which images of a suite are there; what is missing, one line each. Images are read one at a time, when asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..contracts import Preset
from ..datasets import OWN, Dataset, Pair, open_below, open_dataset
from ..errors import DataError, UniRestorerError, UnknownNameError
from ..images import find_images, load
from .cases import Case
from .suite import Part, Suite

Degrade = Callable[[NDArray[np.uint8], str, Preset, int], NDArray[np.uint8]]
"""(clean (H, W, 3), chain, preset, seed) -> damaged (H, W, 3), both uint8."""


@dataclass(frozen=True)
class Entry:
    """An image of the part ``part`` that has not been read yet; ``read`` raises ``UniRestorerError`` where it fails."""

    part: str
    image: str
    read: Callable[[], Case]

    @classmethod
    def of(cls, case: Case) -> Entry:
        """One that is in memory already."""
        return cls(case.part, case.image, lambda: case)


@dataclass(frozen=True)
class Opened:
    """The images that are there, in the order of the suite; parts that are ``missing`` and ``notes``, a line each."""

    entries: tuple[Entry, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def open_suite(
    suite: Suite, data: Path, degrade: Degrade, *, parts: Sequence[str] = (), limit: int | None = None
) -> Opened:
    """The images of ``suite`` below the folder ``data``, of the named ``parts`` (or columns) alone, or of all.

    ``limit``: at most so many of each part, evenly spread over it. Raises ``UnknownNameError`` for another part, and
    ``DataError`` when nothing at all is there.
    """
    entries: list[Entry] = []
    missing: dict[str, list[str]] = {}
    notes: dict[str, None] = {}
    chosen = _chosen(suite, parts)
    for part in chosen:
        try:
            found, remarks = _open(part, suite.seed, data, degrade)
        except UniRestorerError as error:
            missing.setdefault(str(error), []).append(part.name)
        else:
            entries += _spread(found, limit)
            notes |= dict.fromkeys(remarks)
    lines = tuple(f"{', '.join(names)}: {error}" for error, names in missing.items())
    if not entries:
        raise DataError(
            f"{data}: nothing of the suite '{suite.name}' is there ({len(chosen)} parts); first, {lines[0]}"
        )
    return Opened(tuple(entries), lines, tuple(notes))


def seed_of(seed: int, part: str, image: str) -> int:
    """What an image is damaged with, in [0, 2^63): depends on nothing else, so other images change no pixels."""
    digest = hashlib.sha256(f"{seed}\0{part}\0{image}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _chosen(suite: Suite, names: Sequence[str]) -> list[Part]:
    known = {name for part in suite.parts for name in (part.name, part.column)}
    for name in names:
        if name not in known:
            raise UnknownNameError(f"part of {suite.name}", name, known)
    return [part for part in suite.parts if not names or {part.name, part.column} & set(names)]


def _spread(entries: Sequence[Entry], limit: int | None) -> list[Entry]:
    if limit is None or len(entries) <= limit:
        return list(entries)
    return [entries[number] for number in np.linspace(0, len(entries) - 1, limit).round().astype(int)]


def _open(part: Part, seed: int, data: Path, degrade: Degrade) -> tuple[list[Entry], list[str]]:
    """Entries of a part, and what is odd about it."""
    if part.photos is not None:
        folder = data / part.photos
        photos = [path for path, _ in find_images([folder])]
        return list(_photos(part, photos, folder, seed, degrade)), []
    if part.pairs is not None:
        folder = data / part.pairs
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; put pairs there, lq/NAME.png and gt/NAME.png")
        opened = open_dataset(OWN.name, folder, part.split)
    else:
        opened = open_below(data, str(part.dataset), part.split)
    remarks = [f"{opened.about.name} {opened.split.name}: {note}" for note in opened.notes]
    if opened.clean:
        return list(_photos(part, opened.clean, _common(opened.clean), seed, degrade)), remarks
    return _pairs(part, opened), remarks


def _common(paths: Sequence[Path]) -> Path:
    """The folder that holds all files, from which their names are told, wherever a data set keeps it."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def _photos(part: Part, paths: Sequence[Path], folder: Path, seed: int, degrade: Degrade) -> Iterator[Entry]:
    for path in paths:
        image = path.name if path == folder else path.relative_to(folder).as_posix()
        if part.degrade is None:
            read = partial(_untold, part, image, path)
        else:
            read = partial(_damaged, part, image, path, seed_of(seed, part.name, image), degrade)
        yield Entry(part.name, image, read)


def _untold(part: Part, image: str, path: Path) -> Case:
    return Case(part.name, image, part.task, load(path).eight, None)


def _damaged(part: Part, image: str, path: Path, seed: int, degrade: Degrade) -> Case:
    clean = load(path).eight
    damaged = degrade(clean, str(part.degrade), part.preset, seed)
    return Case(part.name, image, part.task, damaged, clean, seed)


def _pairs(part: Part, opened: Dataset) -> list[Entry]:
    pairs = [pair for pair in opened.pairs if part.only is None or pair.degree == part.only]
    if not pairs:
        degrees = ", ".join(sorted({pair.degree or "" for pair in opened.pairs} - {""}))
        raise DataError(f"{opened.root}: no pair of {opened.about.name} is '{part.only}'; there: {degrees or 'none'}")
    folder = _common([pair.lq for pair in pairs])
    names = [pair.lq.relative_to(folder).as_posix() for pair in pairs]
    return [
        Entry(part.name, name, partial(_given, part, name, opened, pair))
        for name, pair in zip(names, pairs, strict=True)
    ]


def _given(part: Part, image: str, opened: Dataset, pair: Pair) -> Case:
    return Case(part.name, image, part.task, opened.read(pair, "lq"), opened.read(pair, "gt"))
