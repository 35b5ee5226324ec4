"""TIFF files: what their directories say is read here, their pixels by pyvips.

Pillow's decoder writes to standard error, opens no big-endian BigTIFF, and has no mode for several kinds of samples.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from . import exif, ifd
from .ifd import Entry, Value

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_MOST = 65535  # directories
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLE = 254, 256, 257, 258, 259, 262, 339
_UNSIGNED, _UNDEFINED, _CIELAB = 1, 4, 8


class Tiff:
    """An opened TIFF or BigTIFF; raises ``ValueError`` for a damaged one. ``seek`` chooses the page it tells of.

    width, height: as it lies. info: as Pillow's images have it.
    """

    format = "TIFF"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._layout, _ = ifd.head(file)
        self._directories: list[tuple[int, dict[int, Entry]]] = []
        for directory in ifd.directories(file):
            self._directories.append(directory)
            if len(self._directories) > _MOST:
                raise ValueError(f"more than {_MOST} pages")
        if not self._directories:
            raise ValueError("no directory")
        self.info: dict[str, Any] = {}
        self.seek(0)

    @property
    def pages(self) -> tuple[int, ...]:
        """Numbers of the directories that are pictures of their own: not previews and masks."""
        kinds = [self._numbers(entries, _SUBFILE, (0,))[0] for _, entries in self._directories]
        return tuple(number for number, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)) or (0,)

    def seek(self, page: int) -> None:
        """From here on tell of page ``page``."""
        self._page, (self._at, entries) = page, self._directories[page]
        if _WIDTH not in entries or _HEIGHT not in entries:
            raise ValueError("no width or height")
        self.width, self.height = (self._numbers(entries, tag, (0,))[0] for tag in (_WIDTH, _HEIGHT))
        bits = self._numbers(entries, _BITS, (1,))
        self.bits = max(bits)
        self.unsigned = set(self._numbers(entries, _SAMPLE, (_UNSIGNED,))) <= {_UNSIGNED, _UNDEFINED}
        self.compression = self._numbers(entries, _COMPRESSION, (1,))[0]
        self.lab = bits == (8, 8, 8) and self._numbers(entries, _PHOTOMETRIC, (0,))[0] == _CIELAB
        self.orientation = self._numbers(entries, ifd.ORIENTATION, (0,))[0]
        blocks = {"icc_profile": ifd.ICC, "xmp": ifd.XMP}
        self.info = {name: self._bytes(entries[tag]) for name, tag in blocks.items() if tag in entries}

    def exif(self, turned: bool) -> bytes:
        """What the page tells about the photo, as an Exif block; ``turned``: its picture is turned upright."""
        return exif.of_tiff(self._file, self._at, self._layout, turned)

    def _numbers(self, entries: dict[int, Entry], tag: int, missing: tuple[int, ...]) -> tuple[int, ...]:
        entry = entries.get(tag)
        return (entry and Value(entry.kind, self._bytes(entry), self._layout.order).numbers) or missing

    def _bytes(self, entry: Entry) -> bytes:
        return ifd.read_at(self._file, entry.at, entry.size)
