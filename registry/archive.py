"""The portable home: one zarr zip, read-only."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from unirestorer.core.errors import RegistryError

from .base import ZarrRegistry
from .guard import registry_errors
from .layout import read_root

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore
    from zarr.storage import ZipStore

    from unirestorer.core.contracts import Record, RecordKey

ROOT_KEY = "zarr.json"
ENTRIES = "entries"
"""Root attribute: ``entries_digest`` of the archive; it covers what zip checksums do not, the directory itself."""


def entries_digest(entries: Iterable[zipfile.ZipInfo]) -> str:
    """Hex sha256 over name, CRC-32 and size of all entries but the root's metadata, sorted by name."""
    lines = sorted(
        f"{entry.filename}\t{entry.CRC}\t{entry.file_size}\n" for entry in entries if entry.filename != ROOT_KEY
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


class ZipRegistry(ZarrRegistry):
    """A single file. Reading is thread-safe; ``write`` raises."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._closed = False
        with registry_errors(str(path)):
            self._store = _open_store(path)
            try:
                self._check_directory()
            except BaseException:
                self._store.close()
                raise

    @property
    def read_only(self) -> bool:
        """Always ``True``."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._store.close()

    def write(self, records: Mapping[RecordKey, Record], *, message: str, author: str) -> NoReturn:
        """Raises ``RegistryError``."""
        raise RegistryError(f"{self.path}: a zip registry is read-only; write to a directory and export that")

    def _state(self) -> ZarrStore:
        if self._closed:
            raise RegistryError(f"{self.path}: this registry is closed; open it again")
        return self._store

    def _check_directory(self) -> None:
        wanted = read_root(self._store, str(self.path)).get(ENTRIES)
        with zipfile.ZipFile(self.path) as archive:
            found = entries_digest(archive.infolist())
        if wanted is not None and wanted != found:
            raise RegistryError(f"{self.path}: the zip directory does not match its sha256; get a fresh copy")


def _open_store(path: Path) -> ZipStore:
    from zarr.core.sync import sync
    from zarr.storage import ZipStore

    return sync(ZipStore.open(path, mode="r"))
