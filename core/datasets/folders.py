"""Folders and image files as layouts name them: any case of letters, natural order, hidden files left out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from ..images import READABLE
from .described import squashed


class Found(NamedTuple):
    """An image file, the scene folders it lies in, and the degree that a folder names."""

    path: Path
    scene: tuple[str, ...]
    degree: str | None


def natural(path: Path) -> list[tuple[str, int]]:
    """Sorting key by which 2 comes before 10."""
    return [(text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", str(path))]


def subfolders(folder: Path) -> list[Path]:
    """Folders directly inside, in natural order; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries if entry.name[0] != "." and entry.is_dir()]
    except OSError:
        return []
    return sorted(found, key=natural)


def files(base: Path, pattern: str, degrees: Mapping[str, str]) -> list[Found]:
    """Images in the folders of ``pattern`` (see ``Place``) below ``base``; none where one of ``a + b`` is missing."""
    parts = [_files(base, part, degrees) for part in pattern.split(" + ")]
    return [file for part in parts for file in part] if all(parts) else []


def _files(base: Path, pattern: str, degrees: Mapping[str, str]) -> list[Found]:
    spots = [Found(base, (), None)]
    for part in pattern.split("/"):
        if part != ".":
            spots = [inside for spot in spots for inside in _inside(spot, part, degrees)]
    return [Found(path, spot.scene, spot.degree) for spot in spots for path in _images(spot.path)]


def _inside(spot: Found, part: str, degrees: Mapping[str, str]) -> list[Found]:
    found = []
    known = {squashed(name): degree for name, degree in degrees.items()}
    for folder in subfolders(spot.path):
        if part == "{scene}":
            found.append(spot._replace(path=folder, scene=(*spot.scene, folder.name)))
        elif part == "{degree}":
            if squashed(folder.name) in known:
                found.append(spot._replace(path=folder, degree=known[squashed(folder.name)]))
        elif fnmatchcase(folder.name.lower(), part.lower()):
            found.append(spot._replace(path=folder))
    return found


def _images(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.path for entry in entries if entry.name[0] != "." and entry.is_file()]
    return sorted((Path(name) for name in names if os.path.splitext(name)[1].lower() in READABLE), key=natural)
