"""What comes with the pixels: read from an opened file, with the orientation taken out of it."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import deep, exif, xmp
from .extra import NOTHING, Extra, extra_of
from .opening import Opened
from .tiff import Tiff

_LUMINANCE = (16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40,
              58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103,
              104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99)  # fmt: skip
"""Quantisation at quality 50 (ITU-T T.81, table K.1), whose sum says how coarse a JPEG is."""


@dataclass(frozen=True)
class Metadata:
    """orientation: 1 to 8, how the pixels lie. Everything else as in ``Picture``."""

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    orientation: int = 1
    quality: int | None = None
    lossless: bool = False
    notes: tuple[str, ...] = ()
    extra: Extra = NOTHING


def metadata_of(image: Opened, path: Path | None = None) -> Metadata:
    """What comes with ``image``, which was opened from ``path`` (None: it is only in memory)."""
    notes: list[str] = []
    packet = _packet(image, notes)
    block, turn = _block(image, path, xmp.orientation(packet) if packet else 0, notes)
    notes += _left_behind(image)
    dpi = _pair(image.info.get("dpi")) or exif.dpi_of(exif.tree_of(block))
    return Metadata(
        exif=block,
        icc=_bytes(image.info.get("icc_profile")),
        xmp=xmp.upright(packet) if packet else b"",
        dpi=dpi[::-1] if dpi and turn >= 5 else dpi,
        orientation=turn,
        quality=_quality(image),
        lossless=image.format == "WEBP" and path is not None and _is_lossless_webp(path),
        notes=tuple(notes),
        extra=extra_of(image),
    )


def _left_behind(image: Opened) -> list[str]:
    """What else is in the file, and is not carried over."""
    found = {
        "further pictures (a depth map, a gain map, ...)": image.format == "MPO",
        f"gamma {image.info.get('gamma', 0):.4g}": image.format == "PNG" and _has_gamma(image),
    }
    return [f"not carried over: {name}" for name, there in found.items() if there]


def _has_gamma(image: Opened) -> bool:
    """Whether a PNG tells another gamma than that of sRGB, and nothing that comes before it."""
    told = image.info.get("gamma", 0) if not {"srgb", "icc_profile"} & image.info.keys() else 0
    return bool(told) and abs(told * 2.2 - 1) > 0.05


def _packet(image: Opened, notes: list[str]) -> bytes:
    raw = _bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    if not raw.strip(b"\0 \r\n\t"):
        return b""
    try:
        packet = xmp.checked(raw)
    except ValueError:
        notes.append("the XMP packet is damaged and was left out")
        return b""
    if xmp.is_extended(packet):
        notes.append("of the XMP packet only its main part was read")
    return packet


def _block(image: Opened, path: Path | None, told: int, notes: list[str]) -> tuple[bytes, int]:
    """The Exif block without orientation, and how the picture lies; ``told``: what the XMP packet says of that."""
    try:
        raw, turn = _raw_block(image)
        turn = turn or (1 if image.format == "AVIF" else told or 1)  # in AVIF the container decides
        if isinstance(image, Tiff):
            return image.exif(turned=turn != 1), turn
        if image.format == "AVIF" and path is not None and raw:
            raw = exif.block_of(deep.exif_of_avif(path))
        return (exif.upright(raw, turned=turn >= 5) if raw else b""), turn
    except (ValueError, struct.error, LookupError):
        notes.append("the Exif block is damaged and was left out")
        return b"", told or 1


def _raw_block(image: Opened) -> tuple[bytes, int]:
    if isinstance(image, Tiff):
        return b"", image.orientation if image.orientation <= 8 else 1
    raw = exif.block_of(_bytes(image.info.get("exif")))
    if not raw and (text := image.info.get("Raw profile type exif")):  # as ImageMagick writes it into a PNG
        raw = exif.block_of(bytes.fromhex("".join(str(text).split("\n")[3:])))
    if not raw and not image.info.get("exif") and image.format != "PNG":  # which Pillow would decode for it
        held = image.getexif()
        raw = exif.block_of(held.tobytes()) if len(held) else b""
    return raw, exif.orientation(raw) if raw else 0


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value) if isinstance(value, bytes | bytearray) else b""


def _pair(value: Any) -> tuple[float, float] | None:
    try:
        across, down = float(value[0]), float(value[1])
    except (TypeError, ValueError, LookupError, ZeroDivisionError, OverflowError):
        return None
    good = all(math.isfinite(number) and 0 < number < 100_000 for number in (across, down))
    return (across, down) if good else None


def _quality(image: Opened) -> int | None:
    """Of a JPEG: the quality of the usual tables whose luminance is as coarse, 1 to 100."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return None
    coarse: float = 100 * sum(tables.get(0) or next(iter(tables.values()))) / sum(_LUMINANCE)
    quality = (200 - coarse) / 2 if coarse <= 100 else 5000 / coarse
    return max(1, min(100, round(quality)))


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            if head[:4] in (b"VP8L", b"VP8 "):
                return head[:4] == b"VP8L"
            size = int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, io.SEEK_CUR)
    return False
