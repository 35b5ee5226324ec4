"""Reading, the same for both homes: each operation looks at one consistent state of the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .guard import registry_errors
from .layout import children, has_node, read_attributes, read_record
from .names import kind_of, record_path

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

    from unirestorer.core.contracts import Record, RecordKey


class ZarrRegistry(ABC):
    """A registry at ``path``; also a context manager that closes itself. Implements ``core.contracts.Store``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    @abstractmethod
    def read_only(self) -> bool:
        """Whether ``write`` is refused."""

    @abstractmethod
    def write(self, records: Mapping[RecordKey, Record], *, message: str, author: str) -> str:
        """Replace the given records in one commit, all or nothing; returns the commit id. Raises ``RegistryError``."""

    @abstractmethod
    def close(self) -> None:
        """Release files; using the registry afterwards is an error. Closing twice is fine."""

    @abstractmethod
    def _state(self) -> ZarrStore:
        """The newest committed state, read-only."""

    def names(self, kind: str) -> list[str]:
        """Sorted names of the records of ``kind``; the one operation whose cost grows with their number."""
        segments = kind_of(kind).segments
        with registry_errors(f"{self.path}: {kind}"):
            state = self._state()
            found = [""]
            for _ in range(segments):
                found = [f"{above}/{name}" for above in found for name in children(state, kind + above)]
        return sorted(name[1:] for name in found)

    def exists(self, kind: str, name: str) -> bool:
        """Whether the record is there; reads nothing of it."""
        path = record_path(kind, name)
        with registry_errors(f"{self.path}: {path}"):
            return has_node(self._state(), path)

    def attributes(self, kind: str, name: str) -> Mapping[str, Any]:
        """The attributes, their hash verified; does not read arrays. Raises ``RegistryError``."""
        with registry_errors(f"{self.path}: {record_path(kind, name)}"):
            return read_attributes(self._state(), kind, name)[0]

    def read(self, kind: str, name: str) -> Record:
        """The whole record; hashes, shapes and versions verified. Raises ``RegistryError``."""
        with registry_errors(f"{self.path}: {record_path(kind, name)}"):
            return read_record(self._state(), kind, name)

    def __enter__(self) -> ZarrRegistry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
