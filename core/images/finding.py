"""Which files are images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ImageError
from .formats import READABLE, WRITABLE


def find_images(paths: Iterable[str | Path], skip: Path | None = None) -> list[tuple[Path, Path]]:
    """(source, relative target) of every image in files and folders, sorted inside a folder.

    A folder is searched through and mirrored; hidden files, other suffixes, links to folders and the folder ``skip``
    are left out. A source whose suffix cannot be written gets ``.png`` appended. Raises ``ImageError`` for the first
    path that is missing or a folder without images.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(_walk(path, skip.resolve() if skip else None))
            if not inside:
                raise ImageError(f"{path}: no images in this folder; wanted files ending in {', '.join(READABLE)}")
            found += [(source, _target(source.relative_to(path))) for source in inside]
        elif path.exists():
            found.append((path, _target(Path(path.name))))
        else:
            raise ImageError(f"{path}: no such file or folder; check the name")
    return found


def _walk(folder: Path, skip: Path | None) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and (Path(parent) / name).resolve() != skip]
        yield from (Path(parent) / name for name in names if name[0] != "." and Path(name).suffix.lower() in READABLE)


def _target(relative: Path) -> Path:
    return relative if relative.suffix.lower() in WRITABLE else relative.with_name(relative.name + ".png")
