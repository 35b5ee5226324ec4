"""Records as zarr v3 groups and arrays; the same for every home. zarr is imported on first use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unirestorer.core.contracts import Record
from unirestorer.core.errors import RegistryError

from .encoding import ROOT_TYPE, array_digest, check_weights, seal, unseal
from .names import kind_of, record_path
from .validation import check_record

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from zarr.abc.store import Store as ZarrStore

CHUNK_BYTES = 32 * 2**20
"""Arrays are split along the first axis into chunks of at most this size."""
_COMPRESS_FROM = 1024
_METADATA = "zarr.json"


def has_node(store: ZarrStore, path: str) -> bool:
    """Whether a group or array is stored at ``path``; looks up one key."""
    from zarr.core.sync import sync

    return sync(store.exists(f"{path}/{_METADATA}" if path else _METADATA))


def children(store: ZarrStore, path: str) -> list[str]:
    """Sorted names directly below ``path``."""
    from zarr.core.sync import sync

    async def collect() -> list[str]:
        return [entry async for entry in store.list_dir(path)]

    return sorted({entry.rstrip("/") for entry in sync(collect())} - {_METADATA})


def group_attributes(store: ZarrStore, path: str) -> dict[str, Any]:
    """Raw attributes of the group at ``path``, reserved ones included."""
    import zarr

    group = zarr.open_group(store, path=path, mode="r", zarr_format=3, use_consolidated=False)
    return dict(group.attrs.asdict())


def read_attributes(store: ZarrStore, kind: str, name: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Own attributes of a record and the dtype, shape and sha256 of its arrays; raises ``RegistryError``."""
    path = record_path(kind, name)
    if not has_node(store, path):
        raise RegistryError(f"{path}: no such record; check the name, or run the stage that writes it")
    return unseal(path, kind_of(kind).encoding, group_attributes(store, path))


def read_record(store: ZarrStore, kind: str, name: str) -> Record:
    """The record, hashes and schema verified; raises ``RegistryError``."""
    path = record_path(kind, name)
    attributes, described = read_attributes(store, kind, name)
    arrays = {array: _read_array(store, f"{path}/{array}", entry) for array, entry in described.items()}
    record = Record(arrays, attributes)
    check_record(kind, name, record)
    check_weights(path, record)
    return record


def write_record(store: ZarrStore, kind: str, name: str, record: Record) -> None:
    """Replace the record with ``record``, which is normalised and checked already; stale arrays go."""
    import zarr

    path = record_path(kind, name)
    write_group(store, path, seal(path, kind_of(kind).encoding, record), overwrite=True)
    for array_name, array in sorted(record.arrays.items()):
        _require_parents(store, f"{path}/{array_name}")
        stored = zarr.create_array(
            store,
            name=f"{path}/{array_name}",
            shape=array.shape,
            dtype=array.dtype,
            chunks=_chunks(array),
            compressors=_compressors(array),
            fill_value=0,
            zarr_format=3,
        )
        stored[...] = array


def write_root(store: ZarrStore, attributes: Mapping[str, Any]) -> None:
    """Mark the top of ``store`` as a registry."""
    write_group(store, "", seal("", ROOT_TYPE, Record({}, attributes)), overwrite=False)


def read_root(store: ZarrStore, place: str) -> dict[str, Any]:
    """Attributes of the top; raises ``RegistryError`` if this is not a registry or of a newer version."""
    if not has_node(store, ""):
        raise RegistryError(f"{place}: holds no registry; check the path, or restore it from a copy if damaged")
    sealed = group_attributes(store, "")
    own, _ = unseal(place, ROOT_TYPE, sealed, sealed_as="")
    return own


def write_group(store: ZarrStore, path: str, attributes: Mapping[str, Any], *, overwrite: bool) -> None:
    """One group with its attributes and, where missing, the groups above it."""
    import zarr

    _require_parents(store, path)
    zarr.create_group(store, path=path, attributes=dict(attributes), zarr_format=3, overwrite=overwrite)


def _require_parents(store: ZarrStore, path: str) -> None:
    import zarr

    segments = path.split("/")
    for end in range(1, len(segments)):
        parent = "/".join(segments[:end])
        if not has_node(store, parent):
            zarr.create_group(store, path=parent, zarr_format=3)


def _read_array(store: ZarrStore, path: str, described: Mapping[str, Any]) -> NDArray[Any]:
    """Shape and dtype are compared before anything is allocated."""
    import zarr

    array = zarr.open_array(store, path=path, mode="r", zarr_format=3)
    if list(array.shape) != described["shape"] or array.dtype != np.dtype(described["dtype"]):
        raise RegistryError(
            f"{path}: is {array.dtype} {array.shape}, its record says {described['dtype']} {described['shape']}; "
            "restore the registry from a copy or write the record again"
        )
    values = np.ascontiguousarray(np.asarray(array[...])).reshape(array.shape)
    if array_digest(values) != described["sha256"]:
        raise RegistryError(f"{path}: bytes do not match their sha256; restore from a copy or write it again")
    return values


def _chunks(array: NDArray[Any]) -> tuple[int, ...]:
    if not array.ndim:
        return ()
    row = max(1, array.itemsize * math.prod(array.shape[1:]))
    return (max(1, min(array.shape[0], CHUNK_BYTES // row)), *(max(1, extent) for extent in array.shape[1:]))


def _compressors(array: NDArray[Any]) -> Any:
    """zstd for indices and counts of some size; weights and floats hardly shrink and stay raw."""
    import zarr.codecs

    shrinks = array.dtype.kind in "bi" or (array.dtype.kind == "u" and array.itemsize > 1)
    return [zarr.codecs.ZstdCodec(level=3)] if shrinks and array.nbytes >= _COMPRESS_FROM else None
