"""Checks a record against the schema of its kind. Every failure is a ``RegistryError`` of one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from unirestorer.core.errors import RegistryError

from .names import check_array_names, kind_of, record_path
from .schema import ArraySpec, AttributeType, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unirestorer.core.contracts import Record

_DTYPES = {"i4": ("int32",), "f4": ("float32",), "u1": ("uint8",)}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "string or null": (str, type(None)),
    "integer": (int,),
    "object": (dict,),
    "list": (list,),
    "any": (object,),
}


def check_record(kind: str, name: str, record: Record) -> None:
    """``record`` has the arrays (dtype, shape) and JSON attributes that its kind asks for; raises ``RegistryError``."""
    path = record_path(kind, name)
    schema = kind_of(kind)
    check_array_names(path, record.arrays)
    _check_presence(path, schema, record)
    pair = schema.pair if schema.pair.keys() & record.attributes.keys() else {}
    there = {name: wanted for name, wanted in schema.optional.items() if name in record.attributes}
    for attribute, wanted in {**schema.attributes, **pair, **there}.items():
        _check_attribute(path, record.attributes, attribute, wanted)
    extents: dict[str, int] = {}
    for array_name in sorted(record.arrays):
        spec = _spec_of(schema, array_name)
        if spec is not None:
            _check_dtype(path, array_name, record.arrays[array_name], spec)
            _check_shape(path, array_name, record, spec, extents)


def _check_attribute(path: str, attributes: Mapping[str, Any], name: str, wanted: AttributeType) -> None:
    if name not in attributes:
        raise RegistryError(f"{path}: attribute '{name}' is missing, wanted {wanted}; add it before writing")
    value = attributes[name]
    if not isinstance(value, _TYPES[wanted]) or (wanted == "integer" and isinstance(value, bool)):
        raise RegistryError(f"{path}: attribute '{name}' is {value!r:.60}, wanted {wanted}; correct it before writing")


def _check_presence(path: str, schema: Kind, record: Record) -> None:
    for spec in schema.arrays:
        excused = spec.presence == "MAY" or (spec.presence != "MUST" and record.attributes.get("arch") == "identity")
        if not excused and spec.name not in record.arrays:
            raise RegistryError(f"{path}: array '{spec.name}' is missing; a {schema.encoding} record needs it")


def _spec_of(schema: Kind, name: str) -> ArraySpec | None:
    """The spec that ``name`` falls under; ``None`` for an extra array."""
    segments = name.split("/")
    for spec in schema.arrays:
        pattern = spec.name.split("/")
        if len(pattern) == len(segments) and all(p[0] == "<" or p == s for p, s in zip(pattern, segments, strict=True)):
            return spec
    return None


def _check_dtype(path: str, name: str, array: NDArray[Any], spec: ArraySpec) -> None:
    if spec.dtype != "any" and array.dtype.name not in _DTYPES[spec.dtype]:
        wanted = _DTYPES[spec.dtype][0]
        raise RegistryError(f"{path}: array '{name}' is {array.dtype.name}, wanted {wanted}; convert it before writing")


def _check_shape(path: str, name: str, record: Record, spec: ArraySpec, extents: dict[str, int]) -> None:
    shape = record.arrays[name].shape
    open_ended = spec.dims[-1] == "..."
    dims = spec.dims[:-1] if open_ended else spec.dims
    if len(shape) < len(dims) or (len(shape) > len(dims) and not open_ended):
        _shape_error(path, name, shape, spec, extents)
    for symbol, extent in zip(dims, shape, strict=False):
        if symbol == "n_s":
            wanted = _items_of(path, name, record)
        else:
            wanted = int(symbol) if symbol.isdigit() else extents.setdefault(symbol, extent)
        if extent != wanted:
            _shape_error(path, name, shape, spec, extents | {symbol: wanted})


def _items_of(path: str, name: str, record: Record) -> int:
    """Number of items made by the synthesizer in the path ``params/<synth>/<field>``."""
    synthesizer = name.split("/")[1]
    listed = [entry.get("name") if isinstance(entry, dict) else None for entry in record.attributes["synthesizers"]]
    if synthesizer not in listed:
        raise RegistryError(f"{path}: array '{name}' names no entry of attribute 'synthesizers' {listed}; add it there")
    return int((record.arrays["synthesizer"] == listed.index(synthesizer)).sum())


def _shape_error(path: str, name: str, shape: tuple[int, ...], spec: ArraySpec, extents: Mapping[str, int]) -> NoReturn:
    known = ", ".join(
        f"{symbol}={extents[symbol]}" for symbol in spec.dims if symbol in extents and not symbol.isdigit()
    )
    wanted = f"({', '.join(spec.dims)})" + (f" with {known}" if known else "")
    raise RegistryError(f"{path}: array '{name}' has shape {tuple(shape)}, wanted {wanted}; correct it before writing")
