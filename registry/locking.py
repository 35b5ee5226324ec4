"""The lock that makes a local icechunk directory safe, and the log line that the lock makes untrue."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unirestorer.core.errors import RegistryError

from .guard import registry_errors

if TYPE_CHECKING:
    from icechunk import Storage

LOCK_FILE = "write.lock"
LOCK_TIMEOUT_S = 600.0
"""Seconds a writer waits for another one."""

_UNTRUE = "icechunk::storage::object_store=error"
_FILTER_LOCK = threading.Lock()


@contextmanager
def write_lock(path: Path, timeout: float | None = None, name: str = LOCK_FILE) -> Iterator[None]:
    """Hold the directory's lock, the file ``name`` in it; released by the system when the process dies.

    Raises ``RegistryError`` when another process holds it for over ``timeout`` seconds.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path / name)
    seconds = LOCK_TIMEOUT_S if timeout is None else timeout
    try:
        with registry_errors(f"{path / name}", "written"):
            lock.acquire(timeout=seconds)
    except RegistryError as error:
        if isinstance(error.__cause__, Timeout):
            raise RegistryError(
                f"{path}: locked by another writer for over {seconds:g} s; wait for it, or end that process"
            ) from error
        raise
    try:
        yield
    finally:
        lock.release()


def local_storage(path: Path) -> Storage:
    """icechunk storage of a directory whose every commit is made under ``write_lock``.

    icechunk warns (from Rust, on stderr) that local commits are unsafe when concurrent. The lock makes that untrue
    here, so that one message is filtered while the storage is made; then ICECHUNK_LOG is in force again.
    """
    import icechunk

    with _FILTER_LOCK:
        icechunk.set_logs_filter(f"{os.environ.get('ICECHUNK_LOG', 'warn')},{_UNTRUE}")
        try:
            return icechunk.local_filesystem_storage(str(path.absolute()))
        finally:
            icechunk.set_logs_filter(None)
