"""Exif blocks: turned upright without touching anything else, read out of TIFF files, and put into them."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from . import ifd
from .ifd import Tree, Value

_TEXTS = {269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 40091, 40092, 40093, 40094, 40095}
RESOLUTION = frozenset({282, 283, 296})
"""Tags that tell pixels per inch."""
_GEO = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113})
_ABOUT = frozenset({*_TEXTS, *RESOLUTION, *_GEO, 18246, 18249, ifd.IPTC, 50341, ifd.EXIF, ifd.GPS})
"""Tags that describe the photo; all others of a TIFF say how that file is laid out."""
_WIDTH, _HEIGHT = 40962, 40963
LIMIT = 65527
"""Bytes of a block that a JPEG can hold."""


def block_of(data: bytes) -> bytes:
    """The block without the name that JPEG puts before it."""
    return data[6:] if data[:6] == b"Exif\0\0" else data


def orientation(block: bytes) -> int:
    """The orientation that a block tells, 1 (upright) to 8; 0 where it tells none. Raises ``ValueError``."""
    file = io.BytesIO(block)
    layout, at = ifd.head(file)
    entry = ifd.directory(file, at, layout)[0].get(ifd.ORIENTATION)
    if entry is None:
        return 0
    numbers = Value(entry.kind, ifd.read_at(file, entry.at, entry.size), layout.order).numbers
    return numbers[0] if numbers and 1 <= numbers[0] <= 8 else 1


def upright(block: bytes, turned: bool) -> bytes:
    """The block without orientation and thumbnail, all else where it was; empty where nothing else is in it.

    ``turned``: width and height change places. Raises ``ValueError`` for a damaged block.
    """
    data, file = bytearray(block), io.BytesIO(block)
    layout, at = ifd.head(file)
    if layout.big:
        raise ValueError("a BigTIFF header")
    entries = ifd.directory(file, at, layout)[0]
    kept = [entry.raw for tag, entry in entries.items() if tag != ifd.ORIENTATION]
    if not kept:
        return b""
    if turned and (pointer := entries.get(ifd.EXIF)):
        inner = struct.unpack(layout.word, pointer.raw[-4:])[0]
        _swap(data, inner, file, layout)
    table = struct.pack(layout.count, len(kept)) + b"".join(kept) + bytes(4)  # no directory follows: no thumbnail
    data[at : at + len(table)] = table
    return bytes(data)


def _swap(data: bytearray, at: int, file: BinaryIO, layout: ifd.Layout) -> None:
    try:
        entries = ifd.directory(file, at, layout)[0]
        pair = [entries[_WIDTH], entries[_HEIGHT]]
    except (ValueError, KeyError):
        return
    if all(entry.size <= layout.width for entry in pair):
        for here, other in (pair, reversed(pair)):
            data[here.at - 6 : here.at + 4] = other.raw[2:]  # kind, number and value, behind the tag


def tree_of(block: bytes) -> Tree:
    """All that a block holds, without what is damaged; empty where nothing can be read."""
    file = io.BytesIO(block)
    try:
        layout, at = ifd.head(file)
        return ifd.tree(file, at, layout)
    except (ValueError, struct.error):
        return {}


def block(tags: Tree) -> bytes:
    """A block that holds ``tags``."""
    return b"II*\0\x08\0\0\0" + ifd.packed(tags, 8, ifd.Layout("<")) if tags else b""


def of_tiff(file: BinaryIO, at: int, layout: ifd.Layout, turned: bool) -> bytes:
    """What the directory at ``at`` of a TIFF file tells about the photo, as a block; raises ``ValueError``.

    ``turned``: the picture is not as it lies in the file, so places on the ground are left out.
    """
    kept = _ABOUT - _GEO if turned else _ABOUT
    return block({tag: value for tag, value in ifd.tree(file, at, layout).items() if tag in kept})


def dpi_of(tags: Tree) -> tuple[float, float] | None:
    """Pixels per inch, where ``tags`` tell it."""
    across, down, unit = (tags.get(tag) for tag in (282, 283, 296))
    if not isinstance(across, Value) or not isinstance(down, Value):
        return None
    pairs = [value.numbers for value in (across, down)]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        return None
    kind = unit.numbers[:1] if isinstance(unit, Value) else (2,)
    if kind not in ((2,), (3,)):
        return None
    scale = 2.54 if kind == (3,) else 1.0
    return (pairs[0][0] / pairs[0][1] * scale, pairs[1][0] / pairs[1][1] * scale)


def resolution(dpi: tuple[float, float]) -> Tree:
    """The tags that tell ``dpi``."""
    across, down = (ifd.number(5, round(value * 10000), 10000) for value in dpi)
    return {282: across, 283: down, 296: ifd.number(3, 2)}


def with_resolution(data: bytes, dpi: tuple[float, float] | None) -> bytes:
    """The block ``data``, with ``dpi`` where it tells no resolution itself."""
    if dpi is None or dpi_of(tree_of(data)) is not None:
        return data
    return block({**tree_of(data), **resolution(dpi)})


def for_tiff(data: bytes, dpi: tuple[float, float] | None) -> Tree:
    """What of the block ``data`` goes into the directory of a TIFF file."""
    tags = {tag: value for tag, value in tree_of(data).items() if tag in _ABOUT}
    return tags | (resolution(dpi) if dpi is not None else {})
