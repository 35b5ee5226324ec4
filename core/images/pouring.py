"""Pictures from disk into files, from top to bottom."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from ..canvas import in_eight_bits
from ..errors import ImageError
from ..files import atomic
from . import deep, ifd
from . import saving as in_memory
from .exif import RESOLUTION
from .formats import FORMATS, MAX_PIXELS, Saving, format_of
from .holding import Held, held, tags_of
from .picture import Picture, luma, pil_of
from .writing import options

if TYPE_CHECKING:
    from .streaming import Streamed

_ROWS = 64  # encoded at a time
_CLASSIC = 2**31
"""Bytes of samples from which on a TIFF is a BigTIFF: packed they might take more than the 4 GB of a classic one."""
_HEAD = {"PNG": 33, "JPEG": 2}
"""Bytes that come first in a file, whatever is beside the pixels."""


def pour(picture: Streamed, path: Path, saving: Saving, provenance: str | None) -> tuple[str, ...]:
    """Write ``picture`` to ``path``, as ``images.save``; raises ``ImageError``."""
    kind = format_of(path, saving)
    if kind not in ("TIFF", "PNG", "JPEG"):
        if picture.canvas.height * picture.canvas.width > MAX_PIXELS:
            raise ImageError(f"{path}: {kind} files are not written in pieces; choose --format tif, png or jpg")
        whole = picture.whole()
        return in_memory.save(path, whole.pixels, whole, saving, provenance)
    if picture.alpha and not FORMATS[kind].alpha and not _is_opaque(picture):
        raise ImageError(f"{path}: {kind} cannot hold the transparency of the source; choose a name ending in .png")
    bits = 16 if picture.deep and (FORMATS[kind].bits or 8) > 8 else 8
    rows = _Rows(picture, bits, with_alpha=picture.alpha and FORMATS[kind].alpha)
    data = held(picture, kind, provenance, rows.bands)
    with atomic(path) as file, in_memory.encoding(path, kind), deep.failing(), _told(rows):
        image = rows.image()
        if kind == "TIFF":
            _tiff(image, file, data)
        else:
            quality, _ = in_memory.losing(saving, kind, cast(Picture, picture))
            _encode(image, file, kind, data, quality)
    return data.lost


def _is_opaque(picture: Streamed) -> bool:
    sheet, top = picture.source, np.iinfo(picture.source.spool.dtype).max
    columns = slice(0, sheet.width)
    parts = (sheet.samples(slice(at, min(at + _ROWS, sheet.height)), columns) for at in range(0, sheet.height, _ROWS))
    return all(bool((rows[..., -1] == top).all()) for rows in parts)


class _Rows:
    """The upright samples of ``picture`` as an uncompressed TIFF file, which is made while libvips reads it."""

    def __init__(self, picture: Streamed, bits: int, with_alpha: bool) -> None:
        self._picture, self._deep, self._alpha = picture, bits > 8, with_alpha
        self.height, self.width = picture.canvas.height, picture.canvas.width
        self.bands = (1 if picture.grey else 3) + with_alpha
        self._row = self.width * self.bands * (2 if self._deep else 1)
        self._head = self._header()
        self._size = len(self._head) + self.height * self._row
        self._at, self._strip = 0, (-1, b"")
        self.error: Exception | None = None

    def image(self) -> Any:
        """What libvips reads of it, from top to bottom."""
        self._source = deep.vips().SourceCustom()
        self._source.on_read(self._read)
        self._source.on_seek(self._seek)
        return deep.vips().Image.tiffload_source(self._source, access="sequential")

    def _header(self) -> bytes:
        layout, count = ifd.Layout("<", big=True), -(-self.height // _ROWS)
        sizes = [min(_ROWS, self.height - index * _ROWS) * self._row for index in range(count)]

        def directory(start: int) -> bytes:
            tags: ifd.Tree = {
                256: ifd.number(4, self.width),
                257: ifd.number(4, self.height),
                258: ifd.number(3, *[16 if self._deep else 8] * self.bands),
                259: ifd.number(3, 1),  # not compressed
                262: ifd.number(3, 1 if self._picture.grey else 2),
                273: ifd.number(16, *(start + index * _ROWS * self._row for index in range(count))),
                277: ifd.number(3, self.bands),
                278: ifd.number(4, _ROWS),
                279: ifd.number(16, *sizes),
                338: ifd.number(3, *[2] * self._alpha),  # transparency that colours are not multiplied by
            }
            return ifd.packed({tag: value for tag, value in tags.items() if tag != 338 or self._alpha}, 16, layout)

        start = 16 + len(directory(0))
        return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + directory(start)

    def _seek(self, offset: int, whence: int) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def _read(self, size: int) -> bytes:
        """What libvips calls; nothing tells it to end, because ``error`` happened."""
        try:
            part = self._head[self._at : self._at + size] or self._samples(self._at - len(self._head), size)
        except Exception as error:  # noqa: BLE001 - it must not pass through libvips; ``_told`` raises it
            self.error = error
            return b""
        self._at += len(part)
        return part

    def _samples(self, at: int, size: int) -> bytes:
        index, within = divmod(at, _ROWS * self._row)
        if index * _ROWS >= self.height:
            return b""
        if self._strip[0] != index:
            top = index * _ROWS
            self._strip = index, self._taken(slice(top, min(top + _ROWS, self.height)))
        return self._strip[1][within : within + size]

    def _taken(self, rows: slice) -> bytes:
        columns = slice(0, self.width)
        found = self._picture.canvas.samples(rows, columns)
        if self._picture.grey:
            found = (luma(found) if found.shape[2] >= 3 else found[..., 0])[..., None]
        found = found[..., :3]
        if self._alpha:
            found = np.concatenate([found, self._picture.source.samples(rows, columns)[..., -1:]], axis=2)
        return (found.astype("<u2") if self._deep else in_eight_bits(found)).tobytes()


def _tiff(image: Any, file: BinaryIO, data: Held) -> None:
    size = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
    told = {"compression": "lzw", "predictor": "horizontal", "keep": "none", "bigtiff": size > _CLASSIC}
    image.tiffsave(file.name, **told)
    with open(file.name, "r+b") as made:
        ifd.add(made, tags_of(data), without=RESOLUTION)


class _Splicer:
    """Puts what Pillow writes beside the pixels of a picture of one pixel into what libvips encodes."""

    def __init__(self, file: BinaryIO, kind: str, beside: bytes) -> None:
        self._file, self._kind, self._beside = file, kind, beside
        self._waiting, self._begun = bytearray(), False
        self.error: Exception | None = None

    def write(self, part: Any) -> int:
        """What libvips calls with every part; -1 tells it to end, because ``error`` happened."""
        try:
            if self._begun:
                self._file.write(part)
            else:
                self._waiting.extend(part)
                self._begin()
        except Exception as error:  # noqa: BLE001 - it must not pass through libvips; ``_told`` raises it
            self.error = error
            return -1
        return len(part)

    def _begin(self) -> None:
        at, head = _pixels_at(self._waiting, self._kind), _HEAD[self._kind]
        if at >= 0:
            self._begun = True
            self._file.write(bytes(self._waiting[:head]))
            self._file.write(self._beside[head : _pixels_at(self._beside, self._kind)])
            self._file.write(bytes(self._waiting[at:]))


def _encode(image: Any, file: BinaryIO, kind: str, data: Held, quality: int) -> None:
    dot = io.BytesIO()
    pil_of(np.zeros((1, 1, image.bands), np.uint8)).save(dot, kind, **options(kind, image.bands, data, quality))
    splicer, target = _Splicer(file, kind, dot.getvalue()), deep.vips().TargetCustom()
    target.on_write(splicer.write)
    with _told(splicer):
        if kind == "PNG":
            image.pngsave_target(target, compression=6, keep="none")
        else:
            image.jpegsave_target(target, Q=quality, subsample_mode="off", keep="none")


@contextmanager
def _told(helper: _Rows | _Splicer) -> Iterator[None]:
    """Raises what went wrong in ``helper`` while libvips was at work, instead of what libvips makes of it."""
    try:
        yield
    except deep.vips().Error:
        if helper.error is None:
            raise
    if helper.error is not None:
        raise helper.error


def _pixels_at(data: bytes | bytearray, kind: str) -> int:
    """Where the pixels begin, and what is beside them ends; -1 where that is not there yet."""
    at = _HEAD[kind]
    while len(data) >= at + 8:
        if kind == "PNG":
            if data[at + 4 : at + 8] == b"IDAT":
                return at
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        else:  # application segments and comments
            if not 0xE0 <= data[at + 1] <= 0xEF and data[at + 1] != 0xFE:
                return at
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return -1
