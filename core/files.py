"""Writing files so that nobody ever meets a half-written one."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import ImageError


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    Missing parent folders are created. Raises ``ImageError`` where ``path`` cannot be written.
    """
    part = path.with_name(f"{_part(path)}{secrets.token_hex(4)}.part")
    try:
        if path.is_dir():
            raise ImageError(f"{path}: cannot be written: it is a folder; give a file name")
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file
        os.replace(part, path)
    except ImageError:
        raise
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror or error}; choose a writable place") from error
    finally:
        _discard(part)


def _part(path: Path) -> str:
    """How the names of unfinished files of ``path`` begin; eight more characters and ``.part`` follow."""
    return f".{path.name[:100]}."


def sweep(paths: Iterable[Path]) -> None:
    """Remove the unfinished files that killed programs left of ``paths``, which nobody may be writing."""
    folders: dict[Path, set[str]] = {}
    for path in paths:
        folders.setdefault(path.parent, set()).add(_part(path))
    for folder, begins in folders.items():
        for part in folder.glob(".*.part"):
            if part.name[: -len("12345678.part")] in begins:
                _discard(part)


def _discard(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:  # the folder itself is missing or unreachable, so there is nothing to remove
        return


def copy_bytes(source: Path, target: Path) -> None:
    """Make ``target`` a byte-identical copy of ``source``; raises ``ImageError``."""
    try:
        origin = source.open("rb")
    except OSError as error:
        raise ImageError(f"{source}: cannot be read: {error.strerror or error}; check its permissions") from error
    with origin, atomic(target) as file:
        shutil.copyfileobj(origin, file, 2**20)


def digest(path: Path) -> str:
    """sha256 of the file ``path``, in hex; raises ``ImageError``."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}; check its permissions") from error
