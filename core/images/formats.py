"""The formats of image files, and what each can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..errors import ConfigError, ImageError


@dataclass(frozen=True)
class Format:
    """A format of files by its Pillow name, and what a file of it can hold.

    bits: of a channel at most, None: it cannot be written. alpha: transparency. exif, icc, xmp: those blocks.
    dpi: the resolution, also where it only has a place in the Exif block. frames: several pictures. lossless: bits come
    back as they were given (``always``), on request (``choice``) or not (``never``).
    """

    name: str
    suffixes: tuple[str, ...]
    bits: int | None
    alpha: bool = False
    exif: bool = False
    icc: bool = False
    xmp: bool = False
    dpi: bool = False
    frames: bool = False
    lossless: str = "always"


_ALL = (
    Format("PNG", (".png",), 16, alpha=True, exif=True, icc=True, xmp=True, dpi=True, frames=True),
    Format("JPEG", (".jpg", ".jpeg"), 8, exif=True, icc=True, xmp=True, dpi=True, lossless="never"),
    Format("WEBP", (".webp",), 8, True, exif=True, icc=True, xmp=True, dpi=True, frames=True, lossless="choice"),
    Format("TIFF", (".tif", ".tiff"), 16, alpha=True, exif=True, icc=True, xmp=True, dpi=True, frames=True),
    Format("AVIF", (".avif",), 12, True, exif=True, icc=True, xmp=True, dpi=True, frames=True, lossless="choice"),
    Format("BMP", (".bmp",), 8, dpi=True),
    Format("PPM", (".ppm", ".pgm"), 16),
    Format("GIF", (".gif",), None, alpha=True, frames=True),
)
FORMATS = MappingProxyType({one.name: one for one in _ALL})
"""Pillow name -> what the format can hold."""

READABLE = MappingProxyType({suffix: one.name for one in _ALL for suffix in one.suffixes})
"""Suffix -> Pillow format of what ``load`` reads (the content decides, not the suffix)."""

WRITABLE = MappingProxyType({suffix: kind for suffix, kind in READABLE.items() if FORMATS[kind].bits})
"""Suffix -> Pillow format of what ``save`` writes."""

MAX_PIXELS = 89_478_485
"""Pixels of the largest picture that is held in memory as a whole (Pillow's limit, too); larger ones are streamed."""


@dataclass(frozen=True)
class Saving:
    """How a file is written; raises ``ConfigError`` for what cannot be.

    format: a name or suffix ("png", ".jpg", "TIFF"); None: as the name of the file says. quality: 1 to 100, of formats
    that lose some; None: 95, and never less than what a JPEG was saved with. lossless: WebP and AVIF lose nothing.
    """

    format: str | None = None
    quality: int | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.suffix is None:
            raise ConfigError(f"format is '{self.format}', wanted one of {', '.join(s[1:] for s in WRITABLE)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"quality is {self.quality}, wanted 1 (smallest file) to 100 (best)")

    @property
    def suffix(self) -> str | None:
        """The suffix of files of the chosen format; None where none is chosen."""
        if self.format is None:
            return None
        word = self.format.lower().lstrip(".")
        if f".{word}" in WRITABLE:
            return f".{word}"
        named = FORMATS.get(word.upper())
        return named.suffixes[0] if named and named.bits else None


def format_of(path: Path, saving: Saving | None = None) -> str:
    """The Pillow format that ``save`` uses for ``path``; raises ``ImageError`` for a suffix it does not write."""
    suffix = (saving.suffix if saving else None) or path.suffix.lower()
    kind = WRITABLE.get(suffix)
    if kind is None:
        raise ImageError(f"{path}: cannot write '{path.suffix}' files; wanted one of {', '.join(WRITABLE)}")
    return kind
