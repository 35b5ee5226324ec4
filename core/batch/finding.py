"""Which files are meant by the paths that a user gives."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..images import READABLE, WRITABLE

UNREADABLE = (".heic", ".heif", ".jxl", ".jp2", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2")
"""Suffixes of images that are not read; those in a folder are counted, so that nobody believes them restored."""


@dataclass(frozen=True)
class Found:
    """A file, its place below what was given, and why it cannot be read, empty where it may be tried."""

    source: Path
    place: Path
    error: str = ""


@dataclass(frozen=True)
class Findings:
    """What was found, in the order of what was given and sorted inside folders; images left out, by suffix."""

    files: tuple[Found, ...]
    left_out: Counter[str] = field(default_factory=Counter)


def find(paths: Sequence[Path], skip: Path) -> Findings:
    """The images in files and folders, these searched through; what is missing or has none is found with an error.

    Left out are hidden files, files of other suffixes, links to folders, and the folder ``skip``.
    """
    left_out: Counter[str] = Counter()
    files = tuple(file for path in paths for file in _in(path, skip, left_out))
    return Findings(tuple(dict.fromkeys(files)), left_out)


def _in(path: Path, skip: Path, left_out: Counter[str]) -> Iterator[Found]:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "no such file or folder; check the name" if missing else f"cannot be opened: {_reason(error)}"
        yield Found(path, Path(path.name), f"{path}: {reason}")
        return
    if not stat.S_ISDIR(mode):
        yield Found(path, Path(path.name), _kind_error(path, mode))
        return
    inside = sorted(_below(path, skip.resolve(), left_out), key=lambda found: found.source)
    others = f"; the {_listed(left_out)} in it cannot be read" if left_out else ""
    if not inside:
        wanted = f"wanted files ending in {', '.join(READABLE)}"
        yield Found(path, Path(path.name), f"{path}: no images in this folder{others}; {wanted}")
    yield from inside


def _below(folder: Path, skip: Path, left_out: Counter[str]) -> Iterator[Found]:
    """The images below ``folder``, and the folders in it that cannot be read."""
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if name[0] != "." and (Path(parent) / name).resolve() != skip]
        for name in names:
            suffix = Path(name).suffix.lower()
            if name[0] != "." and suffix in READABLE:
                source = Path(parent) / name
                yield Found(source, source.relative_to(folder), _file_error(source))
            elif name[0] != "." and suffix in UNREADABLE:
                left_out[suffix] += 1
    for error in unreadable:
        path = Path(error.filename)
        yield Found(path, path.relative_to(folder), f"{path}: cannot be read: {_reason(error)}; check its permissions")


def _file_error(path: Path) -> str:
    try:
        return _kind_error(path, path.stat().st_mode)
    except OSError as error:  # a link to nowhere, or in a circle
        return f"{path}: cannot be opened: {_reason(error)}"


def _kind_error(path: Path, mode: int) -> str:
    """A pipe would keep us waiting for ever, and a device could do anything."""
    return "" if stat.S_ISREG(mode) else f"{path}: a pipe, socket or device; wanted an image file"


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _listed(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(left_out.items()))


def left_out_line(left_out: Counter[str]) -> str:
    """For example ``left out, because they cannot be read: 3 .heic``; empty where there were none."""
    return f"left out, because they cannot be read: {_listed(left_out)}" if left_out else ""


def writable_place(place: Path, suffix: str | None) -> Path:
    """``place`` with the ``suffix`` of the chosen format; None: its own, and ``.png`` where that is not written."""
    own = WRITABLE.get(place.suffix.lower())
    if suffix is None:
        return place if own else place.with_name(place.name + ".png")
    return place if own == WRITABLE[suffix] else place.with_suffix(suffix)
