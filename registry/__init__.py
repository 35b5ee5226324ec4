"""The registry: experts, hierarchies, routers and how they came about, in an icechunk directory or a zarr zip."""

from __future__ import annotations

from .opening import open_registry

__all__ = ["open_registry"]
