"""Exif, XMP, ICC profiles and provenance: carried, merged, shortened, and never trusted."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, IptcImagePlugin

from unirestorer.core.errors import ImageError
from unirestorer.core.images import Picture, held, ifd, load, provenance_of, save, xmp
from unirestorer.core.images import exif as blocks
from unirestorer.core.images.extra import Extra
from unirestorer.core.images.holding import tags_of
from unirestorer.core.images.ifd import Tree, Value, number

from .matrix import GPS, XMP, exif

NOTE = bytes(range(256)) * 3
TURNED = XMP.replace(b'dc:source="a camera"', b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"')
ELEMENT = XMP.replace(
    b' dc:source="a camera"/>',
    b"><t:Orientation xmlns:t='http://ns.adobe.com/tiff/1.0/'>6</t:Orientation></rdf:Description>",
)


def block(order: str = "<", orientation: int = 6) -> bytes:
    """An Exif block with the maker's notes and all kinds of directories, in either byte order."""
    tags: Tree = {
        271: Value(2, b"Maker\0"),
        274: number(3, orientation),
        ifd.EXIF: {
            36867: Value(2, b"2024:01:02 03:04:05\0"),
            37500: Value(7, NOTE),
            40962: number(4, 30),
            40963: number(4, 20),
            33434: number(5, 1, 250),
            ifd.INTEROP: {1: Value(2, b"R98\0")},
        },
        ifd.GPS: {1: Value(2, b"N\0"), 2: number(5, 52, 1, 31, 1, 12, 1)},
    }
    start = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    return start + ifd.packed(tags, 8, ifd.Layout(order))


@pytest.mark.parametrize("order", ["<", ">"])
def test_only_the_orientation_leaves_the_block(order: str) -> None:
    before, after = block(order), blocks.upright(block(order), turned=False)
    assert len(before) == len(after)
    assert after.index(NOTE) == before.index(NOTE)  # offsets inside the maker's notes still hold
    left = blocks.tree_of(after)
    assert set(blocks.tree_of(before)) - set(left) == {ifd.ORIENTATION}
    with Image.open(_jpeg(after)) as image:
        assert image.getexif()[ExifTags.Base.Make] == "Maker"
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo)[2] == (52, 31, 12)


def _jpeg(block: bytes) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "JPEG", exif=b"Exif\0\0" + block)
    return file


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_turned_photo_has_its_sides_exchanged(order: str) -> None:
    with Image.open(_jpeg(blocks.upright(block(order), turned=True))) as image:
        inner = image.getexif().get_ifd(ExifTags.IFD.Exif)
    assert (inner[40962], inner[40963]) == (20, 30)


def test_the_thumbnail_of_the_damaged_photo_is_gone() -> None:
    one = block()
    at = 8 + 2 + struct.unpack("<H", one[8:10])[0] * 12
    small = ifd.packed({513: number(4, 0)}, len(one), ifd.Layout("<"))
    linked = one[:at] + struct.pack("<I", len(one)) + one[at + 4 :] + small
    assert blocks.upright(linked, turned=False)[at - 12 : at - 8] == bytes(4)


def test_the_maker_notes_reach_every_format_that_has_exif(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    like = Picture(pixels, exif=blocks.upright(block(">"), turned=False))
    for suffix in (".jpg", ".png", ".webp", ".avif", ".tif"):
        save(tmp_path / f"a{suffix}", pixels, like)
        with Image.open(tmp_path / f"a{suffix}") as image:
            inner = image.getexif().get_ifd(ExifTags.IFD.Exif)
            assert bytes(inner[37500]) == NOTE, suffix
            assert inner[33434] == pytest.approx(1 / 250)


@pytest.mark.parametrize("packet", [TURNED, ELEMENT], ids=["attribute", "element"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_the_orientation_in_xmp_is_applied_and_reset(
    tmp_path: Path, pixels: NDArray[np.uint8], packet: bytes, suffix: str
) -> None:
    if suffix == ".tif":
        tag = (ifd.XMP, 1, len(packet), packet, True)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=[tag])
    else:
        save(tmp_path / f"a{suffix}", pixels, Picture(pixels, xmp=packet))
    flat = load(tmp_path / f"a{suffix}")
    assert flat.pixels.shape == (30, 20, 3)
    assert xmp.orientation(flat.xmp) == 1
    save(tmp_path / f"b{suffix}", flat.pixels, flat)
    assert load(tmp_path / f"b{suffix}").pixels.shape == (30, 20, 3)


def test_exif_is_believed_before_xmp(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif(3))
    picture = load(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, pixels[::-1, ::-1])


def test_provenance_joins_a_packet_and_is_replaced_there() -> None:
    first = xmp.with_provenance(XMP, '{"a": "<1> & \\"2\\""}')
    assert first.startswith(XMP[: XMP.index(b"</rdf:RDF>")])
    assert first.endswith(XMP[XMP.index(b"</rdf:RDF>") :])
    assert xmp.provenance_in(first) == '{"a": "<1> & \\"2\\""}'
    second = xmp.with_provenance(first, "{}")
    assert second == xmp.with_provenance(XMP, "{}")
    assert xmp.with_provenance(b"", "{}").count(b"Provenance>") == 2


def test_provenance_as_an_attribute_is_found_and_replaced() -> None:
    ours = f'xmlns:u="{xmp.NAMESPACE}" u:Provenance="old"'.encode()
    packet = XMP.replace(b'dc:source="a camera"', ours)
    assert xmp.provenance_in(packet) == "old"
    assert xmp.provenance_in(xmp.with_provenance(packet, '{"a": 1}')) == '{"a": 1}'


def test_a_packet_in_utf_16_is_read(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    save(tmp_path / "a.tif", pixels, Picture(pixels, xmp=XMP.decode().encode("utf-16")))
    assert load(tmp_path / "a.tif").xmp == XMP


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<a><b></a>",
        b"words",
        b"<a>" * 100_000,
    ],
)
def test_a_packet_that_is_no_sound_xml_is_left_out(tmp_path: Path, pixels: NDArray[np.uint8], packet: bytes) -> None:
    save(tmp_path / "a.tif", pixels, Picture(pixels, xmp=packet))
    picture = load(tmp_path / "a.tif")
    assert picture.xmp == b""
    assert picture.notes == ("the XMP packet is damaged and was left out",)
    assert provenance_of(tmp_path / "a.tif") is None


def test_a_jpeg_holds_64_kb_of_each(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    padded = XMP.replace(b"<?xpacket end", b" " * 70_000 + b"<?xpacket end")
    long = XMP.replace(b"a camera", b"c" * 70_000)
    inner: Tree = {37500: Value(7, bytes(70_000)), 36867: Value(2, b"2024:01:02 03:04:05\0")}
    heavy = blocks.block({271: Value(2, b"Maker\0"), ifd.EXIF: inner})
    assert save(tmp_path / "a.jpg", pixels, Picture(pixels, xmp=padded), provenance="{}") == ()
    assert provenance_of(tmp_path / "a.jpg") == "{}"
    said = save(tmp_path / "b.jpg", pixels, Picture(pixels, xmp=XMP), provenance="p" * 70_000)
    assert said == ("how it was made (provenance), too long for a JPEG",)
    assert load(tmp_path / "b.jpg").xmp == XMP
    said = save(tmp_path / "c.jpg", pixels, Picture(pixels, xmp=long, exif=heavy))
    assert said == ("the camera maker's notes, too long for a JPEG", "the XMP packet, too long for a JPEG")
    assert blocks.tree_of(load(tmp_path / "c.jpg").exif)[271] == Value(2, b"Maker\0")
    assert save(tmp_path / "c.png", pixels, Picture(pixels, xmp=long, exif=heavy)) == ()


def test_what_cannot_hold_provenance_says_so(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    assert save(tmp_path / "a.bmp", pixels, Picture(pixels), provenance="{}") == ("how it was made (provenance)",)
    assert provenance_of(tmp_path / "a.bmp") is None
    with pytest.raises(ImageError, match="no such file"):
        provenance_of(tmp_path / "b.bmp")


def test_a_profile_for_one_channel_does_not_go_with_three(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    like = Picture(pixels, grey=True, icc=bytes(profile))
    assert save(tmp_path / "a.png", pixels, like) == ()
    assert save(tmp_path / "a.webp", pixels, like) == ("the ICC profile, which is for one channel",)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_finished_tiff_of_any_kind_gets_what_is_to_be_said(tmp_path: Path, big: bool, order: str) -> None:
    values = np.arange(2 * 40 * 50 * 3, dtype=np.uint16).reshape(2, 40, 50, 3)
    options: dict[str, Any] = {"photometric": "rgb", "bigtiff": big, "byteorder": order, "tile": (16, 16)}
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    like = Picture(values[0], exif=blocks.upright(block(">"), turned=False), icc=b"i" * 99, xmp=XMP, dpi=(300, 300))
    for page in (1, 0):
        with (tmp_path / "a.tif").open("r+b") as file:
            ifd.add(file, tags_of(held(like, "TIFF", "{}", 3)), page)
    with tifffile.TiffFile(tmp_path / "a.tif") as found:
        assert len(found.pages) == 2
        for wanted, one in zip(values, found.pages, strict=True):
            tags: Any = one.aspage().tags
            assert np.array_equal(one.asarray(), wanted)
            assert tags[34853].value["GPSLatitude"] == (52, 1, 31, 1, 12, 1)
            assert tags[34665].value["MakerNote"] == NOTE
            assert bytes(tags[34675].value) == b"i" * 99
            assert tags[282].value == (3000000, 10000)
            assert xmp.provenance_in(bytes(tags[700].value)) == "{}"


def test_a_place_on_the_ground_stays_with_a_tiff(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    scale = (33550, 12, 3, (2.0, 2.0, 0.0), True)
    for orientation, kept in ((1, True), (6, False)):
        tifffile.imwrite(
            tmp_path / "a.tif", pixels, photometric="rgb", extratags=[scale, (274, 3, 1, orientation, True)]
        )
        picture = load(tmp_path / "a.tif")
        save(tmp_path / "b.tif", picture.pixels, picture)
        with tifffile.TiffFile(tmp_path / "b.tif") as found:
            assert (33550 in found.pages[0].aspage().tags) == kept


@pytest.mark.parametrize("place", range(8, 120, 3))
def test_a_damaged_block_never_stops_a_photo(tmp_path: Path, pixels: NDArray[np.uint8], place: int) -> None:
    damaged = bytearray(block())
    damaged[place : place + 2] = b"\xff\xff"
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(damaged))
    picture = load(tmp_path / "a.jpg")
    for suffix in (".jpg", ".tif", ".png", ".webp", ".avif"):
        save(tmp_path / f"b{suffix}", picture.pixels, picture)
        assert load(tmp_path / f"b{suffix}").pixels.shape == picture.pixels.shape


def test_gps_of_a_tiff_reaches_a_jpeg(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif(1), quality=100)
    for first, second in (("a.jpg", "b.tif"), ("b.tif", "c.jpg")):
        picture = load(tmp_path / first)
        save(tmp_path / second, picture.pixels, picture)
    with Image.open(tmp_path / "c.jpg") as image:
        assert dict(image.getexif().get_ifd(ExifTags.IFD.GPSInfo)) == GPS


def test_records_comment_and_text_stay_where_the_format_has_a_place(
    tmp_path: Path, pixels: NDArray[np.uint8], deep_pixels: NDArray[np.uint16]
) -> None:
    iptc = b"\x1c\x02\x19\x00\x03cat"  # a keyword
    Image.fromarray(pixels).save(tmp_path / "a.jpg", comment=b"words", extra=Extra(iptc).marked)
    picture = load(tmp_path / "a.jpg")
    assert picture.extra == Extra(iptc, b"words")
    assert save(tmp_path / "b.jpg", picture.pixels, picture) == ()
    assert save(tmp_path / "b.tif", picture.pixels, picture) == ("the comment",)
    assert save(tmp_path / "b.png", picture.pixels, picture) == ("IPTC records", "the comment")
    with Image.open(tmp_path / "b.jpg") as image:
        assert IptcImagePlugin.getiptcinfo(image) == {(2, 25): b"cat"}
        assert image.info["comment"] == b"words"
    with Image.open(tmp_path / "b.tif") as image:
        assert IptcImagePlugin.getiptcinfo(image) == {(2, 25): b"cat"}
    texts = (("Title", "a\u0142b"), ("parameters", "steps: 3\nseed: 4"))
    for values in (pixels, deep_pixels):
        like = Picture(values, extra=Extra(texts=texts))
        assert save(tmp_path / "c.png", values, like) == ()
        assert load(tmp_path / "c.png").extra == like.extra
        assert save(tmp_path / "c.tif", values, like) == ("text (Title, parameters)",)


def test_records_that_are_too_long_for_a_jpeg_are_said(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    like = Picture(pixels, extra=Extra(bytes(65510)))
    assert save(tmp_path / "a.jpg", pixels, like) == ("IPTC records, too long for a JPEG",)
    assert load(tmp_path / "a.jpg").extra == Extra()


def test_the_block_of_an_avif_stays_where_its_container_disagrees(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    unit, turn = (struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in ((296, 2), (ifd.ORIENTATION, 6)))
    told = blocks.block({270: Value(2, b"d\xc3\xbc, no ASCII\0"), 296: number(3, 2), 37500: Value(7, NOTE)})
    Image.fromarray(pixels).save(tmp_path / "a.avif", exif=told)
    data = (tmp_path / "a.avif").read_bytes()
    assert data.count(told) == told.count(unit) == 1
    (tmp_path / "a.avif").write_bytes(data.replace(told, told.replace(unit, turn)))
    picture = load(tmp_path / "a.avif")
    assert picture.pixels.shape == pixels.shape, "the container decides"
    assert blocks.tree_of(picture.exif) == {tag: value for tag, value in blocks.tree_of(told).items() if tag != 296}, (
        "Pillow would make question marks of it"
    )
