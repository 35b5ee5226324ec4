"""Names of records and arrays: what may be a path inside a registry."""

from __future__ import annotations

import re
from collections.abc import Iterable

from unirestorer.core.errors import RegistryError, UnknownNameError

from .schema import KINDS, Kind

_RECORD_SEGMENT = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_ARRAY_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_METADATA = "zarr.json"


def kind_of(kind: str) -> Kind:
    """The description of ``kind``; raises ``UnknownNameError``."""
    if kind not in KINDS:
        raise UnknownNameError("record kind", kind, KINDS)
    return KINDS[kind]


def record_path(kind: str, name: str) -> str:
    """``kind/name``, checked; raises ``RegistryError`` or ``UnknownNameError``."""
    wanted = kind_of(kind)
    segments = name.split("/")
    good = all(_RECORD_SEGMENT.fullmatch(segment) and segment != _METADATA for segment in segments)
    if not good or len(segments) != wanted.segments:
        raise RegistryError(
            f"{kind}: bad record name {name!r}, wanted {wanted.segments} part(s) of a-z 0-9 _ . - "
            f"beginning with a letter or digit, like '{wanted.example}'; rename it"
        )
    return f"{kind}/{name}"


def check_array_names(path: str, names: Iterable[str]) -> None:
    """Every name is a clean relative path and none lies inside another; raises ``RegistryError``."""
    known = set(names)
    for name in sorted(known):
        segments = name.split("/")
        if not all(_ARRAY_SEGMENT.fullmatch(segment) and segment != _METADATA for segment in segments):
            raise RegistryError(f"{path}: bad array name {name!r}, wanted A-Z a-z 0-9 _ . - joined by '/'; rename it")
        above = {"/".join(segments[:end]) for end in range(1, len(segments))} & known
        if above:
            raise RegistryError(f"{path}: array {name!r} lies inside array {above.pop()!r}; rename one of them")
