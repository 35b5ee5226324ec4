"""Turns the float32 and float64 tensors of a safetensors file into float16."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from unirestorer.core.contracts import Record
from unirestorer.core.errors import RegistryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS_DTYPE = "weights-dtype"
_WIDE = {"F32": "<f4", "F64": "<f8"}
_LENGTH_BYTES = 8
_ALIGNMENT = 8


def halve(path: str, record: Record) -> Record:
    """``record`` with ``weights`` converted, ``sha256`` renewed and ``weights-dtype`` = ``float16``.

    Integers and narrower floats stay. Raises ``RegistryError`` if ``weights`` is no safetensors file or a value lies
    outside the range of float16 (65504).
    """
    weights = half_safetensors(path, record.arrays["weights"].tobytes())
    attributes = {**record.attributes, "sha256": hashlib.sha256(weights).hexdigest(), WEIGHTS_DTYPE: "float16"}
    return Record({**record.arrays, "weights": np.frombuffer(weights, dtype=np.uint8)}, attributes)


def half_safetensors(path: str, content: bytes) -> bytes:
    """A safetensors file with its wide floats as float16; tensors and metadata sorted, so the bytes are reproducible."""
    from safetensors import SafetensorError, deserialize

    try:
        tensors = dict(deserialize(content))
    except SafetensorError as error:
        raise RegistryError(f"{path}: weights are not a safetensors file ({error}); write the record again") from error
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    metadata = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length]).get("__metadata__", {})
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    blocks: list[bytes] = []
    offset = 0
    for name, (dtype, shape, data) in sorted(
        ((name, _narrow(f"{path}: tensor '{name}'", tensor)) for name, tensor in tensors.items()),
        key=lambda item: (item[1][0] not in _EIGHT_BYTES, item[0]),
    ):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        blocks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + b"".join(blocks)
