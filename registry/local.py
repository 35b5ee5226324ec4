"""The read-write home: an icechunk repository in a local directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unirestorer.core.contracts import Record
from unirestorer.core.errors import RegistryError

from .base import ZarrRegistry
from .encoding import check_weights, normalise
from .guard import registry_errors
from .layout import read_root, write_record, write_root
from .locking import LOCK_FILE, local_storage, write_lock
from .names import record_path
from .provenance import commit_metadata
from .validation import check_record

if TYPE_CHECKING:
    from icechunk import Repository
    from zarr.abc.store import Store as ZarrStore

    from unirestorer.core.contracts import RecordKey

BRANCH = "main"
_STAGING = ".creating-"
_PARTS = ("snapshots", "manifests", "chunks", "transactions", "config.yaml", "refs")
"""What icechunk keeps in a directory. ``refs`` is last: once it is in place the repository exists."""
_RETRIES = 3


class LocalRegistry(ZarrRegistry):
    """A directory. Every operation sees the newest commit; every write is one commit under the directory's lock."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._checked = ""
        with registry_errors(str(path)):
            self._repository = open_repository(path)
            self._state()

    @property
    def read_only(self) -> bool:
        """Always ``False``."""
        return False

    @property
    def repository(self) -> Repository:
        """The icechunk repository, for history and upkeep; commit to it only under ``write_lock``."""
        return self._repository

    def close(self) -> None:
        """Nothing stays open between operations."""

    def _state(self) -> ZarrStore:
        session = self._repository.readonly_session(BRANCH)
        if session.snapshot_id != self._checked:
            read_root(session.store, str(self.path))
            self._checked = session.snapshot_id
        return session.store

    def write(self, records: Mapping[RecordKey, Record], *, message: str, author: str) -> str:
        """See ``Store.write``; a record that is not as its kind asks is refused before anything is touched."""
        if not records:
            raise RegistryError(f"{self.path}: write was given no records; give it at least one")
        ready: dict[RecordKey, Record] = {}
        for (kind, name), record in sorted(records.items(), key=lambda item: item[0]):
            path = record_path(kind, name)
            ready[kind, name] = normalise(path, record)
            check_record(kind, name, ready[kind, name])
            check_weights(path, ready[kind, name])
        with write_lock(self.path), registry_errors(str(self.path), "written"):
            return self._commit(ready, message, author)

    def _commit(self, records: Mapping[RecordKey, Record], message: str, author: str) -> str:
        """Under the lock only a program that ignores it can interfere: rebase on its commit, or do the work again."""
        import icechunk

        for _ in range(_RETRIES):
            try:
                return self._commit_once(records, message, author)
            except (icechunk.ConflictError, icechunk.RebaseFailedError):
                continue
        return self._commit_once(records, message, author)

    def _commit_once(self, records: Mapping[RecordKey, Record], message: str, author: str) -> str:
        import icechunk

        session = self._repository.writable_session(BRANCH)
        read_root(session.store, str(self.path))
        for (kind, name), record in records.items():
            write_record(session.store, kind, name, record)
        metadata = commit_metadata(author, records.values())
        return session.commit(
            message, metadata=metadata, rebase_with=icechunk.ConflictDetector(), rebase_tries=_RETRIES
        )


def is_repository(path: Path) -> bool:
    """Whether a branch is there, which is the last thing creation puts in place."""
    return (path / "refs" / f"branch.{BRANCH}" / "ref.json").is_file()


def open_repository(path: Path) -> Repository:
    """The icechunk repository of an existing registry; manifests are read when an array of theirs is."""
    import icechunk

    lazily = icechunk.ManifestPreloadConfig(max_total_refs=0)
    config = icechunk.RepositoryConfig(manifest=icechunk.ManifestConfig(preload=lazily))
    return icechunk.Repository.open(local_storage(path), config=config)


def create_registry(path: Path) -> None:
    """Make ``path`` an empty registry unless it is one; refuses a directory holding anything else.

    Made complete in a folder inside, then moved up part by part, ``refs`` last: a kill leaves either no registry and
    leftovers that the next call clears, or a registry.
    """
    with registry_errors(str(path), "written"):
        path.mkdir(parents=True, exist_ok=True)
    with write_lock(path), registry_errors(str(path), "written"):
        if is_repository(path):
            return
        _clear_leftovers(path)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=path))
        _create_in(staging)
        for part in _PARTS:
            if (staging / part).exists():
                (staging / part).rename(path / part)
        shutil.rmtree(staging)


def _clear_leftovers(path: Path) -> None:
    foreign = [p.name for p in path.iterdir() if p.name not in (*_PARTS, LOCK_FILE) and not p.name.startswith(_STAGING)]
    if foreign:
        raise RegistryError(
            f"{path}: not a registry, and holds other files ('{sorted(foreign)[0]}'); give an empty or a new directory"
        )
    for leftover in path.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        elif leftover.name != LOCK_FILE:
            leftover.unlink()


def _create_in(folder: Path) -> None:
    import icechunk

    session = icechunk.Repository.create(local_storage(folder)).writable_session(BRANCH)
    write_root(session.store, {})
    session.commit("Create the registry", metadata=commit_metadata("registry", ()))
