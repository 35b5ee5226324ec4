"""Compiled models on disk: checked when they are read, replaced when damaged, the least recently used ones removed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import UniRestorerError
from ..files import atomic

LIMIT = 4 * 2**30
"""Bytes on disk beyond which the least recently used entries go."""
_MAGIC = b"unirestorer compiled model 1\n"
_DIGEST = hashlib.sha256().digest_size
_ABANDONED = 86400.0  # seconds after which a part of a file that was never finished is removed


class Cache:
    """Bytes by name in ``folder``; ``None``: nothing is kept. No failure of the disk is an error: it is a miss.

    Several processes may use one folder at once.
    """

    def __init__(self, folder: Path | None, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def read(self, name: str) -> bytes | None:
        """What was written under ``name``, ``None`` where there is nothing, or nothing whole."""
        if self.folder is None:
            return None
        path = self._path(name)
        try:
            content = path.read_bytes()
            os.utime(path)  # the order in which entries are used
        except OSError:
            return None
        start = len(_MAGIC) + _DIGEST
        body = content[start:]
        if content[:start] != _MAGIC + hashlib.sha256(body).digest():
            self.remove(name)
            return None
        return body

    def write(self, name: str, body: bytes) -> None:
        """Keep ``body`` under ``name``, whole or not at all, and remove what is then too much."""
        if self.folder is None or len(body) > self.limit:
            return
        with contextlib.suppress(OSError, UniRestorerError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic(self._path(name)) as file:
                file.write(_MAGIC + hashlib.sha256(body).digest())
                file.write(body)
            self._shrink(self._path(name))

    def remove(self, name: str) -> None:
        """Forget ``name``."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self._path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, seconds: float = 300) -> Iterator[None]:
        """One process at a time makes a new entry; after ``seconds`` of waiting it is made twice."""
        lock = None
        if self.folder is not None:
            with contextlib.suppress(OSError, Timeout):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = FileLock(self.folder / "lock")
                lock.acquire(timeout=seconds)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{name}.model"

    def _shrink(self, newest: Path) -> None:
        assert self.folder is not None
        for part in self.folder.glob(".*.part"):
            if part.stat().st_mtime < time.time() - _ABANDONED:
                part.unlink(missing_ok=True)
        found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.glob("*.model"))
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total > self.limit and path != newest:
                path.unlink(missing_ok=True)
                total -= size


def default_folder() -> Path | None:
    """``UNIRESTORER_CACHE``, else where the platform keeps caches; ``None`` where there is no such place."""
    if given := os.environ.get("UNIRESTORER_CACHE"):
        return Path(given).expanduser()
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "unirestorer" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "unirestorer"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else home / ".cache") / "unirestorer"
