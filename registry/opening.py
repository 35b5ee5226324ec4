"""The one way in."""

from __future__ import annotations

from pathlib import Path

from unirestorer.core.errors import RegistryError

from .archive import ZipRegistry
from .base import ZarrRegistry
from .local import LocalRegistry, create_registry, is_repository


def open_registry(path: Path, *, create: bool = False) -> ZarrRegistry:
    """Open the registry at ``path``: a directory (read-write), or a ``.zip`` file (read-only).

    ``create`` makes an empty registry where ``path`` is missing or an empty directory. Raises ``RegistryError`` when
    there is none, when it is something else, damaged, or of a newer version. No records are listed or read.
    """
    path = Path(path)
    if path.suffix.lower() == ".zip" and not path.is_dir():
        return _open_zip(path, create)
    if path.exists() and not path.is_dir():
        raise RegistryError(f"{path}: is a file, wanted a registry directory or a .zip file; check the path")
    if create:
        create_registry(path)
    elif not path.exists():
        raise RegistryError(f"{path}: no such registry; check the path, or train one with 'unirestorer train'")
    elif not is_repository(path):
        raise RegistryError(f"{path}: is a directory but not a registry; check the path, or train one there")
    return LocalRegistry(path)


def _open_zip(path: Path, create: bool) -> ZipRegistry:
    if create:
        raise RegistryError(f"{path}: a zip registry cannot be created empty; open a directory, then export it")
    if not path.exists():
        raise RegistryError(f"{path}: no such registry; check the path")
    return ZipRegistry(path)
