"""Turns whatever a damaged file provokes in zipfile, zarr or icechunk into one ``RegistryError`` line."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from unirestorer.core.errors import RegistryError, UniRestorerError

_REMEDY = {
    "read": "restore it from a copy or write it again",
    "written": "check space and permissions, and that no other program changes it",
}


@contextmanager
def registry_errors(place: str, action: str = "read") -> Iterator[None]:
    """Re-raise failures inside the block as ``RegistryError`` naming ``place``; ``action`` is "read" or "written".

    Bytes from a damaged file reach parsers that raise almost any standard exception, hence the long list.
    """
    try:
        yield
    except UniRestorerError:
        raise
    except _failures() as error:
        raise RegistryError(f"{place}: cannot be {action} ({_one_line(error)}); {_REMEDY[action]}") from error


def _failures() -> tuple[type[Exception], ...]:
    """Asked for only when something has failed, so that nothing is imported before."""
    from icechunk import IcechunkError

    standard = (ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError)
    formats = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
    return (*standard, OSError, RuntimeError, TypeError, ValueError, *formats, IcechunkError)


def _one_line(error: Exception) -> str:
    lines = [line.strip(" x|`->") for line in str(error).splitlines()]
    text = next((line for line in lines if line), "no details")
    return f"{type(error).__name__}: {text[:160]}"
