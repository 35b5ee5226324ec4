"""What of a picture a format can hold, and what has to be left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from . import exif, ifd, xmp
from .extra import NOTHING, Extra
from .formats import FORMATS
from .ifd import Tree, Value

_MAKER_NOTE, _EXIF = 37500, 34665
_XMP_LIMIT = 65504
"""Bytes of a packet that a JPEG can hold."""


class Described(Protocol):
    """What came with the pixels of a picture, wherever these are kept; each as in ``Picture``."""

    @property
    def exif(self) -> bytes:
        """The Exif block."""
        ...

    @property
    def icc(self) -> bytes:
        """The ICC profile."""
        ...

    @property
    def xmp(self) -> bytes:
        """The XMP packet."""
        ...

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch."""
        ...

    @property
    def extra(self) -> Extra:
        """What only some formats hold."""
        ...

    @property
    def deep(self) -> bool:
        """Whether there are 16 bits a channel."""
        ...


@dataclass(frozen=True)
class Held:
    """What goes into a file beside its pixels, as in ``Picture``; lost: what does not, a phrase each."""

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    lost: tuple[str, ...] = ()
    extra: Extra = NOTHING


def lost(like: Described, kind: str) -> tuple[str, ...]:
    """What of ``like`` files of the Pillow format ``kind`` cannot hold, a phrase each."""
    holds = FORMATS[kind]
    bits = holds.bits or 8
    found = (
        (like.deep and bits < 16, f"16 bits a channel ({bits} are kept)"),
        (bool(like.exif) and not holds.exif, "camera data and GPS position (Exif)"),
        (bool(like.icc) and not holds.icc, "the ICC profile"),
        (bool(like.xmp) and not holds.xmp, "the XMP packet"),
        (like.dpi is not None and not holds.dpi, "the resolution (DPI)"),
    )
    return (*(phrase for gone, phrase in found if gone), *like.extra.lost(kind))


def held(like: Described, kind: str, provenance: str | None, bands: int) -> Held:
    """What a file of ``kind`` with ``bands`` channels gets of ``like``, with ``provenance`` in the XMP packet."""
    holds, gone = FORMATS[kind], list(lost(like, kind))
    dpi = like.dpi if holds.dpi else None
    block = like.exif if holds.exif else b""
    if kind in ("WEBP", "AVIF"):
        block = exif.with_resolution(block, dpi)
    if kind == "JPEG":
        block = _short_block(block, gone)
    icc = like.icc if holds.icc else b""
    if icc[16:20] == b"GRAY" and (bands > 2 or kind == "WEBP" or (kind == "AVIF" and bands == 2)):
        icc = b""
        gone.append("the ICC profile, which is for one channel")
    packet = _packet(like.xmp, kind, provenance, gone) if holds.xmp else b""
    if provenance is not None and not holds.xmp:
        gone.append("how it was made (provenance)")
    return Held(block, icc, packet, dpi, tuple(gone), like.extra)


def _short_block(block: bytes, gone: list[str]) -> bytes:
    """The block within what a JPEG can hold: without what is unused in it, else without the maker's notes."""
    if len(block) <= exif.LIMIT:
        return block
    tags = exif.tree_of(block)
    inner = tags.get(_EXIF)
    block = exif.block(tags)
    if len(block) > exif.LIMIT and isinstance(inner, dict):
        gone.append("the camera maker's notes, too long for a JPEG")
        block = exif.block({**tags, _EXIF: {tag: value for tag, value in inner.items() if tag != _MAKER_NOTE}})
    if len(block) > exif.LIMIT:
        gone.append("camera data and GPS position (Exif), too long for a JPEG")
        block = b""
    return block


def _packet(packet: bytes, kind: str, provenance: str | None, gone: list[str]) -> bytes:
    limit = _XMP_LIMIT if kind == "JPEG" else None
    full = packet
    if provenance is not None:
        try:
            full = xmp.with_provenance(packet, provenance)
        except ValueError:
            gone.append("how it was made (provenance), which XML cannot hold")
    if limit is None or len(full) <= limit:
        return full
    full = xmp.without_padding(full)
    if len(full) > limit and provenance is not None:
        gone.append("how it was made (provenance), too long for a JPEG")
        full = xmp.without_padding(packet)
    if len(full) > limit:
        gone.append("the XMP packet, too long for a JPEG")
        full = b""
    return full


def tags_of(data: Held) -> Tree:
    """What goes into the directory of a TIFF file."""
    tags = exif.for_tiff(data.exif, data.dpi)
    if data.icc:
        tags[ifd.ICC] = Value(7, data.icc)
    if data.xmp:
        tags[ifd.XMP] = Value(1, data.xmp)
    if data.extra.iptc:
        tags[ifd.IPTC] = Value(7, data.extra.iptc)
    return tags
