"""Writes one model, and nothing else, as a portable zip. Equal content gives equal bytes."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unirestorer.core.contracts import Record
from unirestorer.core.errors import RegistryError
from unirestorer.core.ties import BASE, DEFAULT, expert_names

from .archive import ENTRIES, ROOT_KEY, entries_digest
from .encoding import normalise
from .guard import registry_errors
from .halving import halve
from .layout import write_record, write_root
from .names import record_path
from .validation import check_record

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer

    from unirestorer.core.contracts import RecordKey, Store

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_MODE = 0o644 << 16


def export_zip(source: Store, target: Path, *, model: str, half: bool = False) -> None:
    """Write what ``models/<model>`` needs for restoring to ``target``, one file, in place only when complete.

    That is the model, its extractor, hierarchy (without ``assign``), routers, all experts of its set and those that
    adapters among them rest on; no costs, DR sets or stages. ``half`` stores float32 and float64 weights as float16 and
    adds attribute ``weights-dtype``. One record is held in memory at a time. Raises ``RegistryError``.
    """
    target = Path(target)
    if target.suffix.lower() != ".zip":
        raise RegistryError(f"{target}: wanted a name ending in .zip; rename the target")
    keys = model_records(source, model)
    with registry_errors(str(target), "written"):
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                _write_archive(source, keys, zipfile.ZipFile(stream, "w"), half)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def model_records(source: Store, model: str) -> list[RecordKey]:
    """Sorted keys of the records that ``models/<model>`` is made of; raises ``RegistryError`` if one is missing."""
    parts = source.attributes("models", model)
    keys = [("models", model), ("extractors", parts["extractor"])]
    keys += [("hierarchies", parts["hierarchy"]), ("routers", parts["routers"])]
    if source.exists("hierarchies", parts["hierarchy"]):
        nodes = len(source.attributes("hierarchies", parts["hierarchy"])["node_names"])
        experts = set(expert_names(parts, nodes))
        known = [source.attributes("experts", name) for name in experts if source.exists("experts", name)]
        experts |= {attributes[BASE] for attributes in known if BASE in attributes}
        keys += [("experts", name) for name in experts]
    missing = [record_path(kind, name) for kind, name in keys if not source.exists(kind, name)]
    if missing:
        raise RegistryError(f"models/{model}: needs {', '.join(missing)}, not there; run the stages that write them")
    return sorted(keys)


def _write_archive(source: Store, keys: list[RecordKey], archive: zipfile.ZipFile, half: bool) -> None:
    from zarr.storage import MemoryStore

    with archive:
        for kind, name in keys:
            content: dict[str, Buffer] = {}
            target = DEFAULT if kind == "models" else name  # whichever it was, it is the one that restoring loads
            write_record(MemoryStore(content), kind, target, _prepare(source, kind, name, half))
            content.pop(ROOT_KEY, None)  # the root is written last, when all entries are known
            _add_entries(archive, content)
        root: dict[str, Buffer] = {}
        write_root(MemoryStore(root), {ENTRIES: entries_digest(archive.infolist())})
        _add_entries(archive, root)


def _prepare(source: Store, kind: str, name: str, half: bool) -> Record:
    record = source.read(kind, name)
    if kind == "hierarchies":
        record = replace(record, arrays={key: array for key, array in record.arrays.items() if key != "assign"})
    if half and "weights" in record.arrays:
        record = halve(record_path(kind, name), record)
    ordered = Record(record.arrays, dict(sorted(record.attributes.items())))
    ready = normalise(record_path(kind, name), ordered)
    check_record(kind, name, ready)
    return ready


def _add_entries(archive: zipfile.ZipFile, content: Mapping[str, Buffer]) -> None:
    """Add the sorted keys that the archive does not have yet (several records make the same parent groups)."""
    present = set(archive.namelist())
    for key in sorted(content.keys() - present):
        entry = zipfile.ZipInfo(key, date_time=_EPOCH)
        entry.create_system, entry.external_attr = _UNIX, _MODE
        archive.writestr(entry, content[key].to_bytes())
