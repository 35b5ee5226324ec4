"""What a record's group carries besides its own attributes: type, version and hashes, so that damage never goes unseen.

Reserved attributes begin with ``encoding-``. ``encoding-arrays`` maps each array to dtype, shape and sha256;
``encoding-sha256`` covers the record's path and all other attributes, so a renamed or altered record is noticed too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unirestorer.core.contracts import Record
from unirestorer.core.errors import RegistryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "1"
ROOT_TYPE = "unirestorer-registry"
RESERVED = "encoding-"
_TYPE, _VERSION, _ARRAYS, _SEAL = (RESERVED + part for part in ("type", "version", "arrays", "sha256"))


def canonical_json(value: Any) -> bytes:
    """The one UTF-8 JSON text of ``value``: sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def array_digest(array: NDArray[Any]) -> str:
    """Hex sha256 over ``dtype|shape|`` in ASCII (``<f4|3,4|``) and the little-endian C-order bytes."""
    digest = hashlib.sha256(f"{array.dtype.str}|{','.join(map(str, array.shape))}|".encode())
    digest.update(array.data if array.ndim and array.size else array.tobytes())
    return digest.hexdigest()


def normalise(path: str, record: Record) -> Record:
    """A copy as it will read back: little-endian C-order arrays, plain JSON attributes, attribute ``sha256`` filled in.

    ``sha256`` is completed only where an array ``weights`` exists or the attribute was left out of a kind that has it.
    Raises ``RegistryError`` for arrays that are not bool, integer or float and for attributes that are not strict JSON.
    """
    arrays = {name: _plain_array(path, name, record.arrays[name]) for name in record.arrays}
    attributes = _plain_json(path, record.attributes)
    reserved = [name for name in attributes if name.startswith(RESERVED)]
    if reserved:
        raise RegistryError(f"{path}: attribute '{reserved[0]}' is reserved for the registry; rename it")
    if "weights" in arrays:
        attributes.setdefault("sha256", hashlib.sha256(arrays["weights"].data).hexdigest())
    elif attributes.get("arch") == "identity":
        attributes.setdefault("sha256", None)
    return Record(arrays, attributes)


def check_weights(path: str, record: Record) -> None:
    """Attribute ``sha256`` is that of the bytes of ``weights``, where there are any; raises ``RegistryError``."""
    if "weights" in record.arrays:
        found = hashlib.sha256(np.ascontiguousarray(record.arrays["weights"]).data).hexdigest()
        if record.attributes.get("sha256") != found:
            raise RegistryError(
                f"{path}: attribute 'sha256' is {record.attributes.get('sha256')}, weights have {found}; write it again"
            )


def seal(path: str, encoding: str, record: Record) -> dict[str, Any]:
    """The attributes of ``record`` with the reserved ones added."""
    sealed = dict(record.attributes)
    sealed[_TYPE], sealed[_VERSION] = encoding, VERSION
    sealed[_ARRAYS] = {
        name: {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": array_digest(array)}
        for name, array in sorted(record.arrays.items())
    }
    sealed[_SEAL] = _seal_of(path, sealed)
    return sealed


def unseal(
    path: str, encoding: str, sealed: Mapping[str, Any], *, sealed_as: str | None = None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Own attributes, and dtype, shape and sha256 per array, of a stored record; raises ``RegistryError``.

    ``path`` is named in messages; ``sealed_as`` is the path that was sealed, where it differs.
    """
    version = sealed.get(_VERSION)
    if _VERSION in sealed and version != VERSION:
        raise RegistryError(
            f"{path}: encoding-version is {version!r:.40}, wanted '{VERSION}'; "
            "written by a newer version, update unirestorer"
        )
    if version is None or sealed.get(_TYPE) != encoding:
        raise RegistryError(
            f"{path}: encoding-type is {sealed.get(_TYPE)!r:.40}, wanted '{encoding}'; this is not a UniRestorer record"
        )
    if sealed.get(_SEAL) != _seal_of(path if sealed_as is None else sealed_as, sealed):
        raise RegistryError(f"{path}: attributes do not match their sha256; restore from a copy or write it again")
    own = {name: value for name, value in sealed.items() if not name.startswith(RESERVED)}
    return own, sealed[_ARRAYS]


def _seal_of(path: str, sealed: Mapping[str, Any]) -> str:
    covered = {name: value for name, value in sealed.items() if name != _SEAL}
    return hashlib.sha256(canonical_json({"path": path, "attributes": covered})).hexdigest()


def _plain_array(path: str, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        got = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise RegistryError(f"{path}: array '{name}' is {got}, wanted a numpy array of numbers; convert it")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _plain_json(path: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(dict(attributes), default=_simplify, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RegistryError(f"{path}: attributes are not strict JSON ({error}); use null for nan and inf") from error
    plain: dict[str, Any] = json.loads(text)
    return plain


def _simplify(value: Any) -> Any:
    """numpy scalars and read-only mappings as JSON values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")
