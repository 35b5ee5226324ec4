"""What every commit says about how it came about."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unirestorer.core.contracts import Record

_LIBRARIES = ("unirestorer", "icechunk", "zarr", "numpy", "safetensors", "torch")


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that matter for a registry's content."""
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def commit_metadata(author: str, records: Iterable[Record]) -> dict[str, Any]:
    """``author``, ``versions`` and, where a record carries it as attribute ``recipe_hash``, that hash."""
    metadata: dict[str, Any] = {"author": author, "versions": library_versions()}
    hashes = sorted({str(record.attributes["recipe_hash"]) for record in records if "recipe_hash" in record.attributes})
    if hashes:
        metadata["recipe_hash"] = hashes[0] if len(hashes) == 1 else hashes
    return metadata
