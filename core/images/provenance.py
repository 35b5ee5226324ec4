"""How a file was made, inside the file."""

from __future__ import annotations

from pathlib import Path

from . import xmp
from .reading import header_of


def provenance_of(path: str | Path) -> str | None:
    """The text that ``save`` was given as ``provenance``; None where there is none.

    Raises ``ImageError`` where ``path`` is no image.
    """
    packet = header_of(path).metadata.xmp
    return xmp.provenance_in(packet) if packet else None
