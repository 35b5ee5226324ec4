"""Directories of tags (IFDs), as they stand in TIFF files and Exif blocks: read, packed, and added to finished files.

Values are copied as bytes, never interpreted: what a camera wrote comes out as it went in, in either byte order, and
in classic TIFF and BigTIFF alike (TIFF 6.0, section 2; Exif 2.32, section 4.6).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Union

EXIF, GPS, INTEROP, XMP, ICC, IPTC, ORIENTATION = 34665, 34853, 40965, 700, 34675, 33723, 274
_POINTERS = frozenset({EXIF, GPS, INTEROP})
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Kind of a value -> bytes of what is swapped between byte orders."""
_PAIRS = frozenset({5, 10})  # fractions: two units a value
_MOST = 1 << 26  # bytes of one value, entries of one directory: more is damage


@dataclass(frozen=True)
class Layout:
    """How a file is laid out: ``order`` "<" or ">", and whether it is a BigTIFF."""

    order: str
    big: bool = False

    @property
    def word(self) -> str:
        """Format of an offset."""
        return self.order + ("Q" if self.big else "I")

    @property
    def width(self) -> int:
        """Bytes of an offset, and of a value that stands in its entry."""
        return 8 if self.big else 4

    @property
    def count(self) -> str:
        """Format of the number of entries."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """Format of the head of an entry: tag, kind, number of values."""
        return self.order + ("HHQ" if self.big else "HHI")


@dataclass(frozen=True)
class Entry:
    """A tag in a file: its ``kind``, number of values, where its ``size`` bytes stand, and the entry as it is."""

    kind: int
    count: int
    at: int
    size: int
    raw: bytes


@dataclass(frozen=True)
class Value:
    """A value of ``kind`` in byte order ``order``."""

    kind: int
    data: bytes
    order: str = "<"

    def ordered(self, order: str) -> bytes:
        """The bytes in another byte order."""
        unit = _UNITS.get(self.kind, 1)
        if order == self.order or unit == 1:
            return self.data
        return b"".join(self.data[at : at + unit][::-1] for at in range(0, len(self.data), unit))

    @property
    def numbers(self) -> tuple[int, ...]:
        """What stands there as whole numbers: of a fraction both parts."""
        letter = {1: "B", 3: "H", 4: "I", 5: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}.get(self.kind)
        if letter is None:
            return ()
        count = len(self.data) // struct.calcsize(letter)
        return struct.unpack_from(f"{self.order}{count}{letter}", self.data)


Tree = dict[int, Union[Value, "Tree"]]
"""Tag -> value, or the directory that the tag points to."""


def number(kind: int, *values: int) -> Value:
    """A value of one or more whole numbers; of a fraction both parts."""
    letter = {3: "H", 4: "I", 5: "I", 16: "Q"}[kind]
    return Value(kind, struct.pack(f"<{len(values)}{letter}", *values))


def head(file: BinaryIO) -> tuple[Layout, int]:
    """The layout of a TIFF file or Exif block and where its first directory stands; raises ``ValueError``."""
    start = read_at(file, 0, 8)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    magic = struct.unpack(order + "H", start[2:4])[0] if order else 0
    if order is None or magic not in (42, 43):
        raise ValueError("no TIFF header")
    layout = Layout(order, magic == 43)
    return layout, struct.unpack(layout.word, read_at(file, 8 if layout.big else 4, layout.width))[0]


def read_at(file: BinaryIO, at: int, size: int) -> bytes:
    """``size`` bytes at ``at``; raises ``ValueError`` where the file ends before."""
    if not 0 <= size <= _MOST or not 0 <= at < 1 << 62:
        raise ValueError(f"{size} bytes at {at}")
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise ValueError("a directory lies beyond the end")
    return data


def directory(file: BinaryIO, at: int, layout: Layout) -> tuple[dict[int, Entry], int]:
    """The entries of the directory at ``at`` and where the next one stands (0: nowhere); raises ``ValueError``."""
    size = struct.calcsize(layout.count)
    count = struct.unpack(layout.count, read_at(file, at, size))[0]
    step = struct.calcsize(layout.entry) + layout.width
    table = read_at(file, at + size, count * step + layout.width)
    entries: dict[int, Entry] = {}
    for index in range(count):
        raw = table[index * step : (index + 1) * step]
        tag, kind, values = struct.unpack_from(layout.entry, raw)
        length = values * _UNITS.get(kind, 1) * (2 if kind in _PAIRS else 1)
        inline = at + size + index * step + step - layout.width
        place = inline if length <= layout.width else struct.unpack(layout.word, raw[-layout.width :])[0]
        entries.setdefault(tag, Entry(kind, values, place, length, raw))
    return entries, struct.unpack(layout.word, table[-layout.width :])[0]


def directories(file: BinaryIO) -> Iterator[tuple[int, dict[int, Entry]]]:
    """(where it stands, entries) of every directory of a TIFF file; a chain that bites its tail ends there.

    Raises ``ValueError`` for a damaged file.
    """
    layout, at = head(file)
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        entries, following = directory(file, at, layout)
        yield at, entries
        at = following


def tree(file: BinaryIO, at: int, layout: Layout, depth: int = 3) -> Tree:
    """The directory at ``at`` and those below it, without what is damaged; raises ``ValueError`` where all of it is."""
    found: Tree = {}
    for tag, entry in directory(file, at, layout)[0].items():
        try:
            value = Value(entry.kind, read_at(file, entry.at, entry.size), layout.order)
            if tag not in _POINTERS:
                found[tag] = value
            elif depth and value.numbers:
                found[tag] = tree(file, value.numbers[0], layout, depth - 1)
        except (ValueError, struct.error):
            continue
    return found


def packed(tags: Mapping[int, Value | Tree | Entry], at: int, layout: Layout, following: int = 0) -> bytes:
    """A directory that stands at ``at``, with all its values and directories behind it.

    An ``Entry`` is copied as it stands. Raises ``ValueError`` where an offset is too large for a classic TIFF.
    """
    start = at + struct.calcsize(layout.count) + len(tags) * (struct.calcsize(layout.entry) + layout.width)
    start += layout.width
    table, body = bytearray(struct.pack(layout.count, len(tags))), bytearray()

    def outside(data: bytes) -> bytes:
        body.extend(data + bytes(len(data) % 2))
        return struct.pack(layout.word, start + len(body) - len(data) - len(data) % 2)

    try:
        for tag, value in sorted(tags.items()):
            if isinstance(value, Entry):
                table += value.raw
            elif isinstance(value, dict):
                kind = 16 if layout.big else 4
                table += struct.pack(layout.entry, tag, kind, 1) + outside(packed(value, start + len(body), layout))
            else:
                data = value.ordered(layout.order)
                step = _UNITS.get(value.kind, 1) * (2 if value.kind in _PAIRS else 1)
                table += struct.pack(layout.entry, tag, value.kind, len(data) // step)
                table += data.ljust(layout.width, b"\0") if len(data) <= layout.width else outside(data)
        return bytes(table + struct.pack(layout.word, following) + body)
    except struct.error as error:
        raise ValueError("beyond the 4 GB of a classic TIFF") from error


def add(file: BinaryIO, tags: Tree, page: int = 0, without: Collection[int] = ()) -> None:
    """Put ``tags`` into directory ``page`` of a finished TIFF file, which is open for reading and writing.

    The directory is written anew at the end of the file; the pixels stay where they are. What it has of those tags is
    replaced, what of it is in ``without`` is left out. Raises ``ValueError`` for a file that is no TIFF, or would grow
    beyond what its kind can hold.
    """
    layout, at = head(file)
    pointer = 8 if layout.big else 4
    entries, following = directory(file, at, layout)
    for _ in range(page):
        pointer, at = _after(at, entries, layout), following
        entries, following = directory(file, at, layout)
    kept = {tag: entry for tag, entry in entries.items() if tag not in without}
    end = file.seek(0, 2)
    end += end % 2
    data = packed({**kept, **tags}, end, layout, following)
    if not layout.big and end + len(data) > 0xFFFFFFFF:
        raise ValueError("beyond the 4 GB of a classic TIFF")
    file.seek(end)
    file.write(data)
    file.seek(pointer)
    file.write(struct.pack(layout.word, end))


def _after(at: int, entries: Mapping[int, Entry], layout: Layout) -> int:
    return at + struct.calcsize(layout.count) + len(entries) * (struct.calcsize(layout.entry) + layout.width)
