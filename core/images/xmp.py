"""XMP packets: read without trusting them, and edited where something has to change, all other bytes as they were.

Source of the names: ISO 16684-1 (XMP, part 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

NAMESPACE = "urn:unirestorer:1.0/"
"""Where our own property ``Provenance`` stands."""

_OURS = f"{NAMESPACE} Provenance"
_ORIENTATION = "http://ns.adobe.com/tiff/1.0/ Orientation"
_RDF_URI = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RDF = f"{_RDF_URI} RDF"
_EXTENDED = "http://ns.adobe.com/xmp/note/ HasExtendedXMP"
_LIMIT = 1 << 24  # bytes of a packet
_TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^>"'])*>""")
_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_EMPTY = (
    f'{_BEGIN}\n<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF_URI}"></rdf:RDF></x:xmpmeta>\n'
    '<?xpacket end="w"?>'
).encode()


@dataclass
class _Found:
    """Where in a packet what we care for stands: (start, end) in bytes, and what it says."""

    orientation: str = ""
    turning: list[tuple[int, int]] = field(default_factory=list)
    provenance: str | None = None
    ours: list[tuple[int, int]] = field(default_factory=list)
    end: int | None = None
    extended: bool = False


def checked(packet: bytes) -> bytes:
    """The packet as UTF-8 without what pads it behind; raises ``ValueError`` for what is no sound XML."""
    if packet[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in packet[:4]:
        for encoding in ("utf-16", "utf-16-be", "utf-16-le"):
            try:
                packet = packet.decode(encoding).lstrip("\ufeff").encode()
                break
            except UnicodeError:
                continue
    packet = packet.rstrip(b"\0 \r\n\t")
    _read(packet)
    return packet


def orientation(packet: bytes) -> int:
    """The orientation that a sound packet tells, 1 to 8; 0 where it tells none."""
    word = _read(packet).orientation.strip()
    return int(word) if word in set("12345678") else 0


def upright(packet: bytes) -> bytes:
    """A sound packet with the orientation 1 where it tells one."""
    for start, end in reversed(_read(packet).turning):
        packet = packet[:start] + b"1" + packet[end:]
    return packet


def provenance_in(packet: bytes) -> str | None:
    """Our own property in a sound packet; None where there is none."""
    return _read(packet).provenance


def is_extended(packet: bytes) -> bool:
    """Whether a sound packet says that a part of it stands elsewhere in the file."""
    return _read(packet).extended


def with_provenance(packet: bytes, text: str) -> bytes:
    """A sound packet (or none) with ``text`` as our own property; raises ``ValueError`` for what XML cannot hold."""
    packet = packet or _EMPTY
    found, value = _read(packet), escape(text).encode()
    if found.ours:
        start, end = found.ours[0]
        if packet[start - 1 : start] in (b'"', b"'"):
            value = value.replace(b'"', b"&quot;").replace(b"'", b"&apos;")
        packet = packet[:start] + value + packet[end:]
    else:
        at = found.end
        if at is None:
            packet = _EMPTY
            at = _EMPTY.index(b"</rdf:RDF>")
        opening = f'<rdf:Description xmlns:rdf="{_RDF_URI}" rdf:about="" xmlns:unirestorer="{NAMESPACE}">'
        name = b"unirestorer:Provenance"
        inside = b"<" + name + b">" + value + b"</" + name + b">"
        packet = packet[:at] + opening.encode() + inside + b"</rdf:Description>" + packet[at:]
    if _read(packet).provenance != text:
        raise ValueError("the provenance holds characters that XML cannot")
    return packet


def without_padding(packet: bytes) -> bytes:
    """A packet without the blank space that is kept free before its end."""
    return re.sub(rb"\s{2,}(?=<\?xpacket end)", b"\n", packet)


def _read(packet: bytes) -> _Found:
    if len(packet) > _LIMIT:
        raise ValueError(f"XMP packet of {len(packet)} bytes")
    found, words = _Found(), list[str]()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    target: list[tuple[str, int]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        found.extended |= _EXTENDED in attributes or name == _EXTENDED
        if _ORIENTATION in attributes:
            found.orientation = attributes[_ORIENTATION]
            _attribute(packet, at, b"Orientation", found.turning)
        if _OURS in attributes:
            found.provenance = attributes[_OURS]
            _attribute(packet, at, b"Provenance", found.ours)
        if name in (_OURS, _ORIENTATION):
            tag = _TAG.match(packet, at)
            if tag and not tag[0].endswith(b"/>"):
                target.append((name, tag.end()))
                words.clear()

    def end(name: str) -> None:
        at = parser.CurrentByteIndex
        if name == _RDF and packet[at : at + 2] == b"</":
            found.end = at
        if target and target[-1][0] == name:
            _, begin = target.pop()
            if name == _OURS:
                found.provenance = "".join(words)
                found.ours.append((begin, at))
            else:
                found.orientation = "".join(words)
                found.turning.append((begin, at))

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, words.append
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError(f"XMP: {error}") from error
    return found


def _attribute(packet: bytes, at: int, name: bytes, into: list[tuple[int, int]]) -> None:
    tag = _TAG.match(packet, at)
    value = re.search(rb"[\w.-]+:" + name + rb"""\s*=\s*(?:"([^"]*)"|'([^']*)')""", tag[0]) if tag else None
    if value:
        group = 1 if value[1] is not None else 2
        into.append((at + value.start(group), at + value.end(group)))


def _refuse(*_: object) -> None:
    raise ValueError("XMP: a document type, which no packet has")
