"""The registry: experts, hierarchies, routers and how they came about, in an icechunk directory or a zarr zip."""

from __future__ import annotations

from .export import export_zip
from .importing import import_zip
from .opening import open_registry
from .upkeep import Commit, Vacuumed, history, kept_experts, vacuum, verify

__all__ = [
    "Commit",
    "Vacuumed",
    "export_zip",
    "history",
    "import_zip",
    "kept_experts",
    "open_registry",
    "vacuum",
    "verify",
]
