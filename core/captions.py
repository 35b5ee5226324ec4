"""Caption files: what each photo shows, as text of UTF-8 lines ``name<TAB>caption``.

Names are those of the training photos: paths inside their folder, with forward slashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError
from .files import atomic

Caption = Callable[[Sequence[NDArray[np.uint8]]], Sequence[str]]
"""Pictures, uint8 RGB (H, W, 3) of any sizes, to one caption each."""
Read = Callable[[], NDArray[np.uint8]]
"""Reads a photo, uint8 RGB (H, W, 3)."""
_BATCH, _BATCHES = 8, 16


def read_captions(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The caption of each photo in ``names``, in that order; the file may hold others too.

    Raises ``ConfigError``, one line, where ``read_rows`` does or where photos have no caption.
    """
    rows = read_rows(path)
    missing = [name for name in names if name not in rows]
    if missing:
        remedy = "`unirestorer captions` adds those that are missing"
        raise ConfigError(f"{path}: no caption for {len(missing)} of {len(names)} photos: {_first(missing)}; {remedy}")
    return tuple(rows[name] for name in names)


def read_rows(path: Path) -> dict[str, str]:
    """Name to caption, in the order of the file; empty lines are skipped.

    Raises ``ConfigError``, one line, for a file that cannot be read, a line that is not ``name<TAB>caption``, and a
    name that comes twice.
    """
    rows = [_row(path, number, line) for number, line in enumerate(_lines(path), 1) if line.strip()]
    twice = [name for name, count in Counter(name for name, _ in rows).items() if count > 1]
    if twice:
        raise ConfigError(f"{path}: more than one caption for {len(twice)} photos: {_first(twice)}; keep one of each")
    return dict(rows)


def add_captions(path: Path, photos: Mapping[str, Read], caption: Caption, watch: Callable[[int], None]) -> None:
    """Caption ``photos``, name to what reads one, and add them to the file ``path``, which may be there or not.

    It is replaced by a longer one, whole, every 128 photos and at the end, also where that comes early. ``watch`` gets
    the number of photos done. Raises ``ConfigError`` as ``read_rows`` and for names that no line can hold, and
    what reading raises.
    """
    rows = read_rows(path) if path.exists() else {}
    odd = [name for name in photos if any(mark in name for mark in "\t\r\n")]
    if odd:
        raise ConfigError(f"{path}: tab or line break in the name of {len(odd)} photos: {odd[0]!r}; rename them")
    names, written = list(photos), len(rows)
    try:
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            rows |= zip(batch, caption([photos[name]() for name in batch]), strict=True)
            if start % (_BATCH * _BATCHES) == 0:
                written = write_rows(path, rows)
            watch(start + len(batch))
    finally:
        if len(rows) > written:
            write_rows(path, rows)


def write_rows(path: Path, rows: Mapping[str, str]) -> int:
    """Write name and caption, one line each, whole or not at all; returns how many. Raises ``ImageError``."""
    with atomic(path) as file:
        file.write("".join(f"{name}\t{' '.join(caption.split())}\n" for name, caption in rows.items()).encode())
    return len(rows)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}; check name and permissions") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _row(path: Path, number: int, line: str) -> tuple[str, str]:
    name, tab, caption = line.rstrip("\r").partition("\t")
    caption = " ".join(caption.split())
    if not (name and tab and caption):
        raise ConfigError(f"{path}: line {number}: got {line[:60]!r}, wanted a name, a tab and a caption")
    return name, caption


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
