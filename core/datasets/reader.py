"""Find a data set by name and read it lazily: paths first, pixels when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UnknownNameError
from ..images import load, size_of
from .described import Place, PublishedSet, Rule, Split
from .folders import Found, files, subfolders
from .published import OWN, PUBLISHED

Side = Literal["lq", "gt"]
"""The damaged image of a pair, or its truth."""
_UNPAIRED = 2
"""How near a place came whose files do not pair."""


class Pair(NamedTuple):
    """A damaged image, its truth, and how bad the damage is, where the data set says so."""

    lq: Path
    gt: Path
    degree: str | None


@dataclass(frozen=True)
class Dataset:
    """A split of a data set on disk: ``pairs``, or the ``clean`` photos of a set of these, in natural order.

    ``base``: the folder that ``place`` starts from, ``root`` or one inside. ``notes``: what is odd but usable.
    """

    about: PublishedSet
    split: Split
    root: Path
    base: Path
    place: Place
    pairs: tuple[Pair, ...] = ()
    clean: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def size(self, pair: Pair) -> tuple[int, int]:
        """(height, width) of both images, from their headers; raises ``DataError`` where these differ."""
        height, width = size_of(pair.lq)
        if self.place.gt is None:
            return height, width // 2
        other = size_of(pair.gt)
        if other != (height, width) and not (self.about.centred and other[0] >= height and other[1] >= width):
            raise DataError(
                f"{pair.lq}: is {width}x{height} and its truth {pair.gt} is {other[1]}x{other[0]}; "
                f"wanted equal sizes, take the pair out or get another copy"
            )
        return height, width

    def read(self, pair: Pair, side: Side) -> NDArray[np.uint8]:
        """The damaged image or the truth, (H, W, 3) uint8 RGB, both of equal size.

        Raises ``ImageError`` for a file that cannot be decoded, ``DataError`` for unequal sizes.
        """
        height, width = self.size(pair)
        pixels = load(pair.lq if side == "lq" else pair.gt).eight
        if self.place.gt is None:
            return pixels[:, :width] if side == "lq" else pixels[:, -width:]
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        return pixels[top : top + height, left : left + width]


def find(name: str) -> PublishedSet:
    """The data set of a name or alias; raises ``UnknownNameError``."""
    for known in PUBLISHED:
        if known.called(name):
            return known
    raise UnknownNameError("data set", name, [known.name for known in PUBLISHED])


def open_below(folder: Path, name: str, split: str) -> Dataset:
    """As ``open_dataset``, in the first folder below ``folder`` that is called like the set or an archive of it, and
    has the split.
    """
    about = find(name)
    named = [inside for inside in subfolders(folder) if about.makes(inside.name)]
    problems: list[DataError] = []
    for root in named or [folder / about.name]:
        try:
            return open_dataset(name, root, split)
        except DataError as error:
            problems.append(error)
    raise problems[0]


def open_dataset(name: str, root: Path, split: str, *, strict: bool = False) -> Dataset:
    """The ``split`` of the data set ``name`` in the folder ``root``; reads names, no pixels.

    Raises ``DataError`` when it is not there, when files do not pair, and with ``strict`` when their number is not the
    published one (else that is a note); ``UnknownNameError`` for names.
    """
    about = find(name)
    part = about.split(split)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}; wanted {_wanted(about, part)}")
    complaints: list[tuple[int, str]] = []
    for base in _bases(root, about):
        for place in (*part.places, *filter(None, (_inside(base.name, place) for place in part.places))):
            tried = _open(about, part, root, base, place)
            if isinstance(tried, Dataset):
                if strict and tried.notes:
                    raise DataError(f"{root}: {about.name} {part.name}: {tried.notes[0]}")
                skipped = [f"not read: {text}" for severity, text in complaints if severity == _UNPAIRED]
                return replace(tried, notes=(*tried.notes, *skipped))
            complaints.append(tried)
    worst = max(complaints, key=lambda complaint: complaint[0])
    if worst[0]:
        raise DataError(f"{root}: {about.name} {part.name}: {worst[1]}")
    looked = ", ".join(place.label for place in part.places)
    raise DataError(f"{root}: 0 files of {_wanted(about, part)}; looked for {looked}")


def _wanted(about: PublishedSet, split: Split) -> str:
    number = "any number of" if split.count is None else f"{split.count}"
    things = "pairs" if about.kind == "pairs" else "photos"
    home = "" if about is OWN else f", published at {about.home}"
    return f"{about.name} {split.name} ({number} {things}{home})"


def _bases(root: Path, about: PublishedSet) -> Iterator[Path]:
    """``root``, and folders inside that an archive of the set makes."""
    yield root
    for folder in subfolders(root):
        if about.makes(folder.name):
            yield from _bases(folder, about)


def _inside(folder: str, place: Place) -> Place | None:
    """``place`` as seen from a folder of this name, where its paths begin with that."""
    sides = [side for side in (place.lq, place.gt) if side is not None]
    if any(side.partition("/")[0].lower() != folder.lower() or "/" not in side for side in sides):
        return None
    lq, gt = (None if side is None else side.partition("/")[2] for side in (place.lq, place.gt))
    return Place(lq, gt)


def _open(about: PublishedSet, split: Split, root: Path, base: Path, place: Place) -> Dataset | tuple[int, str]:
    """The data set, or how near ``place`` came (0: nothing there) and what is wrong with it."""
    sides = [None if folder is None else files(base, folder, about.degrees) for folder in place[:2]]
    if not any(sides):
        return 0, ""
    for found, folder, other in zip(sides, place[:2], (place.gt, place.lq), strict=True):
        if found is not None and not found:
            number = sum(len(side or ()) for side in sides)
            text = f"{other} has {number} images, but {folder} has none; wanted {_wanted(about, split)}"
            return (0, "") if other == "." else (1, text)
    lq, gt = sides
    if lq is None:
        count = len(gt or ())
        opened = Dataset(about, split, root, base, place, clean=tuple(file.path for file in gt or ()))
    else:
        pairs = _paired(about, split, lq, gt, place)
        if isinstance(pairs, str):
            return (_UNPAIRED, pairs) if pairs else (0, "")
        count = len(pairs)
        opened = Dataset(about, split, root, base, place, pairs=pairs)
    if split.count in (None, count):
        return opened
    note = f"{place.label} has {count} of {split.count} files as published; get the rest from {about.home}"
    if place.bare and len(about.splits) > 1:
        return 3, f"{note}, or say which split it is by a folder {split.name}/ around it"
    return Dataset(about, split, root, base, place, opened.pairs, opened.clean, (note,))


def _paired(
    about: PublishedSet, split: Split, lq: list[Found], gt: list[Found] | None, place: Place
) -> tuple[Pair, ...] | str:
    """The pairs by the first rule that leaves no damaged file over; else what is wrong, if anything is."""
    if gt is None:
        return tuple(Pair(file.path, file.path, file.degree or split.degree) for file in lq)
    problems: list[tuple[int, str]] = []
    for rule in about.rules:
        pairs, left, clash = _by_rule(rule, lq, gt, mixed=place.lq == place.gt)
        if clash:
            problems.append((1, f"{clash[0]} and {clash[1]} have one name but for the suffix; remove one"))
        elif left:
            number = f"{len(left)} of {len(lq)} files have none"
            problems.append((len(left), f"{left[0]} has no truth in {place.gt} ({number}); add it or remove the file"))
        elif pairs:
            return tuple(pair._replace(degree=pair.degree or split.degree) for pair in pairs)
    return min(problems, default=(0, ""), key=lambda problem: problem[0])[1]


def _by_rule(
    rule: Rule, lq: list[Found], gt: list[Found], *, mixed: bool
) -> tuple[list[Pair], list[Path], tuple[Path, Path] | None]:
    """Pairs, damaged files left over, and two truths of one name. ``mixed``: both kinds lie in one folder."""
    truths: dict[tuple[str, ...], Path] = {}
    for file in gt:
        key = _key(rule.gt, file)
        if key in truths:
            return [], [], (truths[key], file.path)
        if key is not None:
            truths[key] = file.path
    pairs, left = [], []
    for file in lq:
        key = _key(rule.lq, file)
        truth = None if key is None else truths.get(key)
        if mixed and (key is None or truth == file.path):
            continue  # itself a truth
        if truth is None:
            left.append(file.path)
        else:
            pairs.append(Pair(file.path, truth, file.degree))
    return pairs, left, None


def _key(pattern: str, file: Found) -> tuple[str, ...] | None:
    match = re.fullmatch(pattern, file.path.stem)
    return None if match is None else (*file.scene, *match.groups())
