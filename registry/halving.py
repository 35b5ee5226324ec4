"""Turns the float32 and float64 tensors of a safetensors file into float16."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unirestorer.core.contracts import Record
from unirestorer.core.errors import RegistryError
from unirestorer.core.ties import WEIGHTS_DTYPE, WIDE_SHA256

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDE = {"F32": "<f4", "F64": "<f8"}
_LENGTH_BYTES = 8
_ALIGNMENT = 8
_LARGEST = 65504.0


def halve(path: str, record: Record) -> Record:
    """``record`` with ``weights`` converted, ``sha256`` renewed, ``weights-dtype`` = ``float16``, the old sha256 noted.

    Integers and narrower floats stay. Raises ``RegistryError`` if ``weights`` is no safetensors file or a value lies
    outside the range of float16 (65504).
    """
    weights = half_safetensors(path, record.arrays["weights"].tobytes())
    attributes = {WIDE_SHA256: record.attributes["sha256"], **record.attributes}
    attributes |= {"sha256": hashlib.sha256(weights).hexdigest(), WEIGHTS_DTYPE: "float16"}
    return Record({**record.arrays, "weights": np.frombuffer(weights, dtype=np.uint8)}, attributes)


def half_safetensors(path: str, content: bytes) -> bytes:
    """A safetensors file with its wide floats as float16; tensors and metadata sorted: reproducible bytes."""
    from safetensors import SafetensorError, deserialize

    try:
        tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise RegistryError(f"{path}: weights are not a safetensors file ({error}); write the record again") from error
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    metadata = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length]).get("__metadata__") or {}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    blocks: list[bytes] = []
    offset = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (-_item_bytes(item[1]), item[0])):
        dtype, data = _narrow(f"{path}: tensor '{name}'", tensor)
        header[name] = {"dtype": dtype, "shape": tensor["shape"], "data_offsets": [offset, offset + len(data)]}
        blocks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + b"".join(blocks)


def _item_bytes(tensor: Mapping[str, Any]) -> int:
    """Bytes of one element once narrowed; wide types go first so that each block starts aligned."""
    if tensor["dtype"] in _WIDE:
        return 2
    elements = max(1, math.prod(tensor["shape"]))
    return int(len(tensor["data"]) // elements)


def _narrow(place: str, tensor: Mapping[str, Any]) -> tuple[str, bytes]:
    """safetensors dtype and bytes of the tensor, float16 if it was a wide float."""
    if tensor["dtype"] not in _WIDE:
        return tensor["dtype"], bytes(tensor["data"])
    values: NDArray[Any] = np.frombuffer(tensor["data"], dtype=_WIDE[tensor["dtype"]])
    beyond = np.abs(values) > _LARGEST
    if beyond.any():
        raise RegistryError(f"{place} holds {values[beyond][0]:g}, float16 ends at {_LARGEST:g}; export without half")
    return "F16", values.astype("<f2").tobytes()
