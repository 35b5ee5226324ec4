"""Makes a registry that can be written to of a portable zip: same records, same bytes of weights."""

from __future__ import annotations

from pathlib import Path

from unirestorer.core.errors import RegistryError

from .local import is_repository
from .opening import open_registry
from .schema import KINDS


def import_zip(source: Path, target: Path) -> int:
    """Copy every record of the zip ``source`` into the new registry folder ``target`` in one commit; returns how many.

    Raises ``RegistryError`` when ``target`` holds records already, or for a damaged source.
    """
    with open_registry(source) as old:
        keys = [(kind, name) for kind in KINDS for name in old.names(kind)]
        records = {key: old.read(*key) for key in keys}
    if is_repository(target):
        with open_registry(target) as there:
            if any(there.names(kind) for kind in KINDS):
                raise RegistryError(f"{target}: holds a registry already; name a new folder")
    with open_registry(target, create=True) as new:
        new.write(records, message=f"imported {source.name}", author="import")
    return len(records)
