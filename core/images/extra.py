"""What only some formats hold beside the usual blocks."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .opening import Opened

_IPTC = 0x0404
"""The resource of Photoshop (application segment 13) that IPTC records stand in (IPTC-IIM 4.2)."""
_ELSEWHERE = ("XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1")
"""Keywords of blocks in a PNG that are carried as such."""
_MOST = 65533
"""Bytes of a segment of a JPEG."""


@dataclass(frozen=True)
class Extra:
    """iptc: records, for a JPEG or TIFF. comment: for a JPEG. texts: (keyword, text), for a PNG."""

    iptc: bytes = b""
    comment: bytes = b""
    texts: tuple[tuple[str, str], ...] = ()

    def lost(self, kind: str) -> tuple[str, ...]:
        """What of it files of the Pillow format ``kind`` cannot hold, a phrase each."""
        keys = dict.fromkeys(key for key, _ in self.texts)
        found = (
            (bool(self.iptc) and kind not in ("JPEG", "TIFF"), "IPTC records"),
            (kind == "JPEG" and len(self.segment) > _MOST, "IPTC records, too long for a JPEG"),
            (bool(self.comment) and kind != "JPEG", "the comment"),
            (bool(self.texts) and kind != "PNG", f"text ({', '.join(filter(str.isprintable, keys))[:80]})"),
        )
        return tuple(phrase for gone, phrase in found if gone)

    @property
    def segment(self) -> bytes:
        """The IPTC records as the content of an application segment 13."""
        if not self.iptc:
            return b""
        head = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(self.iptc))
        return head + self.iptc + bytes(len(self.iptc) % 2)

    @property
    def marked(self) -> bytes:
        """The segment with its marker, as it stands in a JPEG; empty where there is none or it is too long."""
        found = self.segment
        return b"\xff\xed" + struct.pack(">H", len(found) + 2) + found if 0 < len(found) <= _MOST else b""


NOTHING = Extra()


def extra_of(image: Opened) -> Extra:
    """What of that is in an opened file; the records of a TIFF are in its Exif block."""
    if image.format in ("JPEG", "MPO", "GIF"):
        resources, comment = image.info.get("photoshop"), image.info.get("comment")
        iptc = resources.get(_IPTC) if isinstance(resources, dict) else None
        return Extra(iptc if isinstance(iptc, bytes) else b"", comment if isinstance(comment, bytes) else b"")
    if image.format == "PNG":
        texts = ((str(key), str(value)) for key, value in image.info.items() if isinstance(value, str))
        return Extra(texts=tuple(one for one in texts if one[0] and one[0] not in _ELSEWHERE))
    return NOTHING
