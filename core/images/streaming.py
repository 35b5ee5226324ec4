"""Pictures that stay on disk, so that memory does not grow with them: TIFF, PNG and JPEG files of any size.

A file is decoded once, from top to bottom, into samples on disk; experts read and write these in pieces; libvips
encodes the result from them, again from top to bottom.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, PngImagePlugin

from .. import budget
from ..canvas import Canvas, Pixels
from ..errors import ImageError
from . import deep
from .extra import Extra
from .formats import MAX_PIXELS, Saving
from .metadata import Metadata, metadata_of
from .opening import opened, pages
from .picture import Picture
from .pouring import pour
from .reading import Header, check_single, header_of, kind_of
from .spool import Spool, SpoolSheet, room_for

STREAMED = ("TIFF", "PNG", "JPEG")
"""Pillow formats of files that can be streamed."""
LARGE = 200_000_000
"""Bytes, in and out, beyond which a picture stays on disk where no limit is given: 33 megapixels of 8 bits."""
_COPIES = 3  # of a picture that restoring holds: as it was, as it becomes, and one on the way in or out
_ROWS = 64  # decoded at a time
_LONGEST = 2**26  # bytes of a chunk of a PNG file that is no pixels: a longer one is no metadata
_PACKED = 300  # bytes that a byte of a file unpacks to at most, where the picture is beyond what others dare to open


@dataclass(frozen=True, eq=False)
class Streamed:
    """A picture like ``Picture``, whose pixels are on disk.

    source: its samples as the file had them. canvas: its pixels. Everything else as in ``Picture``.
    """

    source: SpoolSheet
    canvas: SpoolSheet
    grey: bool
    alpha: bool
    path: Path
    format: str
    metadata: Metadata
    icc: bytes = b""

    @property
    def exif(self) -> bytes:
        """The Exif block."""
        return self.metadata.exif

    @property
    def xmp(self) -> bytes:
        """The XMP packet."""
        return self.metadata.xmp

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch."""
        return self.metadata.dpi

    @property
    def extra(self) -> Extra:
        """What only some formats hold."""
        return self.metadata.extra

    @property
    def quality(self) -> int | None:
        """What a JPEG was saved with, estimated."""
        return self.metadata.quality

    @property
    def lossless(self) -> bool:
        """False: no WebP is streamed."""
        return False

    @property
    def notes(self) -> tuple[str, ...]:
        """What became another than in the file."""
        return self.metadata.notes

    @property
    def deep(self) -> bool:
        """Whether there are 16 bits a channel."""
        return bool(self.source.spool.dtype == np.uint16)

    def on(self, canvas: Canvas) -> Streamed:
        """This picture with the pixels of ``canvas``, a sheet that came of ``self.canvas.blank()``."""
        return replace(self, canvas=cast(SpoolSheet, canvas))

    def save(self, path: str | Path, saving: Saving | None = None, provenance: str | None = None) -> tuple[str, ...]:
        """As ``images.save``, in pieces; raises ``ImageError``, also for a format other than TIFF, PNG and JPEG."""
        return pour(self, Path(path), saving or Saving(), provenance)

    def whole(self) -> Picture:
        """All of it in memory; raises ``ImageError`` for more than 89 megapixels."""
        height, width = self.canvas.height, self.canvas.width
        if height * width > MAX_PIXELS:
            raise ImageError(f"{self.path}: {height * width / 1e6:.0f} megapixels stay on disk; save it as a file")
        rows, columns = slice(0, height), slice(0, width)
        values = self.canvas.samples(rows, columns)
        values = values[..., :3] if values.shape[2] >= 3 else np.repeat(values[..., :1], 3, axis=2)
        alpha = np.ascontiguousarray(self.source.samples(rows, columns)[..., -1]) if self.alpha else None
        found = {**vars(self.metadata), "icc": self.icc}
        del found["orientation"]
        pixels = cast(Pixels, np.ascontiguousarray(values))
        return Picture(pixels, alpha, self.grey, self.path, self.format, **found)


def wants_streaming(path: str | Path, max_memory: int | None = None) -> bool:
    """Whether the picture in ``path`` is better kept on disk than in memory, by its header.

    Raises ``ImageError`` as ``header_of`` does.
    """
    header = header_of(path)
    if header.format not in STREAMED or header.frames != 1:
        return False
    if header.height * header.width > MAX_PIXELS:
        return True
    size = header.height * header.width * 3 * (2 if header.bits > 8 else 1)
    if max_memory is None:
        return 2 * size > LARGE
    return _COPIES * size > (max_memory - budget.held()) // 2


def open_streamed(path: str | Path) -> Streamed:
    """The picture in the file ``path``, decoded onto the disk; raises ``ImageError``."""
    path = Path(path)
    header = header_of(path)
    check_single(header.frames, path)
    _check_packing(header)
    with opened(path) as image, deep.failing():
        kind, page = kind_of(image) or "", pages(image)[0]
        found = metadata_of(_beside(path) if kind == "PNG" else image, path)
        pixels = _opened(path, kind, page)
        _check_kind(pixels, path)
        spool = _spooled(pixels)
    bands = spool.shape[2]
    sheet = SpoolSheet(spool, found.orientation)
    return Streamed(sheet, sheet, bands < 3, bands in (2, 4), path, kind, found, found.icc)


def _beside(path: Path) -> Image.Image:
    """The PNG file ``path`` with one pixel and everything that stands before and behind the pixels."""
    kept = bytearray()
    with path.open("rb") as file:
        kept += file.read(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            size = int.from_bytes(head[:4], "big") + 4
            if head[4:] == b"IHDR":
                kept += _chunk(b"IHDR", struct.pack(">II", 1, 1) + file.read(size - 4)[8:12] + b"\0")
                file.seek(4, os.SEEK_CUR)
            elif head[4:] == b"IDAT" or size > _LONGEST:
                file.seek(size, os.SEEK_CUR)
            else:
                kept += head + file.read(size)
    kept += _chunk(b"IDAT", zlib.compress(bytes(9))) + _chunk(b"IEND", b"")
    image = PngImagePlugin.PngImageFile(io.BytesIO(kept))
    image.load()  # what stands behind the pixels is only known after that
    return image


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _check_packing(header: Header) -> None:
    size = header.height * header.width * 3
    if header.height * header.width > MAX_PIXELS and size > _PACKED * header.path.stat().st_size:
        raise ImageError(
            f"{header.path}: {size / 3e6:.0f} megapixels in {header.path.stat().st_size} bytes, which no photo is; "
            "make sure of it, and cut it into parts"
        )


def _opened(path: Path, kind: str, page: int) -> Any:
    module, told = deep.vips().Image, {"access": "sequential", "fail_on": "error"}
    if kind == "TIFF":
        return module.tiffload(str(path), page=page, unlimited=deep.is_large(path), **told)
    if kind == "PNG":
        return module.pngload(str(path), **told)
    if kind == "JPEG":
        return module.jpegload(str(path), **told)
    raise ImageError(f"{path}: {kind} files of this size cannot be read in pieces; wanted {', '.join(STREAMED)}")


def _check_kind(found: Any, path: Path) -> None:
    if found.format not in ("uchar", "ushort") or found.interpretation not in ("srgb", "b-w", "rgb16", "grey16"):
        raise ImageError(
            f"{path}: {found.interpretation} samples of the kind '{found.format}' cannot be read in pieces; "
            "convert it to RGB or grey of 8 or 16 bits"
        )
    if found.bands > 4:
        raise ImageError(f"{path}: {found.bands} channels; wanted grey or RGB, with or without alpha")
    if found.height * found.width > MAX_PIXELS and "interlaced" in found.get_fields() and found.get("interlaced"):
        raise ImageError(f"{path}: interlaced, so it cannot be read in pieces; save it without interlacing")


def _spooled(found: Any) -> Spool:
    width, height, bands = found.width, found.height, found.bands
    spool = Spool(height, width, bands, np.uint16 if found.format == "ushort" else np.uint8)
    room_for(_COPIES * spool.bytes)  # said before the work, not in the middle of it
    region = deep.vips().Region.new(found)
    for top in range(0, height, _ROWS):
        rows = min(_ROWS, height - top)
        values = np.frombuffer(region.fetch(0, top, width, rows), spool.dtype)
        spool.write(top, values.reshape(rows, width, bands))
    return spool
