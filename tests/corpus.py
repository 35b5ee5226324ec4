"""Image files of the kind that Pillow is tested with, good and bad, made anew: the same bytes every time.

``write(folder)`` gives their paths. ``good()`` are whole files in all the ways of storing a picture that occur; of each
there are cut, changed and spliced ones. Beside them: bombs, headers that lie, other things under the names of images,
odd names, folders, links and pipes.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_SIZE = (24, 17)  # width, height


def photo(bands: int = 3, deep: bool = False) -> np.ndarray[Any, Any]:
    """A gradient with some noise as (H, W, bands) uint8 or uint16."""
    width, height = _SIZE
    noise = np.random.default_rng(5).integers(0, 40, (height, width, bands))
    ramp = np.linspace(20, 200, width)[None, :, None] + np.linspace(0, 15, height)[:, None, None]
    values = np.clip(ramp + noise, 0, 255)
    return (values * 257).astype(np.uint16) if deep else values.astype(np.uint8)


def _pil(mode: str) -> Image.Image:
    if mode in ("I", "F"):
        return Image.fromarray(photo(1)[..., 0]).convert(mode)
    if mode == "PA":
        return Image.fromarray(photo(4)).convert("RGBA").convert("PA")
    if mode == "RGBA":
        return Image.fromarray(photo(4))
    return _lab() if mode == "LAB" else Image.fromarray(photo()).convert(mode)


def _lab() -> Image.Image:
    return Image.frombytes("LAB", _SIZE, photo().tobytes())


def saved(mode: str, kind: str, **options: Any) -> bytes:
    """A picture of a Pillow mode as a file of a Pillow format."""
    file = io.BytesIO()
    _pil(mode).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, data: bytes, *extra: bytes, interlaced: int = 0) -> bytes:
    """A PNG whose rows, filter bytes included, are ``data``; ``extra`` chunks stand before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def deep_png(bands: int, *extra: bytes) -> bytes:
    """A PNG of 16 bits with 1 to 4 channels."""
    values = photo(bands, deep=True)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(*_SIZE, 16, (0, 4, 2, 6)[bands - 1], rows, *extra)


def tiff(values: np.ndarray[Any, Any], **options: Any) -> bytes:
    """A TIFF by tifffile."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, **{"metadata": None, "software": False, **options})
    return file.getvalue()


def deep_avif(bits: int) -> bytes:
    """An AVIF of 10 or 12 bits."""
    import pyvips

    values = np.ascontiguousarray(photo(deep=True))
    image = pyvips.Image.new_from_memory(values.data, *_SIZE, 3, "ushort").copy(interpretation="rgb16")
    made: bytes = image.heifsave_buffer(compression="av1", bitdepth=bits)
    return made


def moving(kind: str, **options: Any) -> bytes:
    """Three frames."""
    frames = [Image.fromarray(np.roll(photo(), step, axis=1)) for step in range(3)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=[40, 80, 120], **options)
    return file.getvalue()


@cache
def good() -> dict[str, bytes]:
    """Whole files by name: each is a picture, or refused for what is in it."""
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    text = PngInfo()
    text.add_text("Comment", "words" * 40, zip=True)
    made: dict[str, bytes] = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = {"I;16": "I;16"}.get(mode, mode)
        made[f"png-{mode.replace(';', '')}.png"] = deep_png(1) if image == "I;16" else saved(mode, "PNG")
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F"):
        made[f"tiff-{mode}.tif"] = saved(mode, "TIFF")
    for mode in ("L", "RGB", "CMYK", "YCbCr"):
        made[f"jpeg-{mode}.jpg"] = saved(mode, "JPEG")
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        made[f"bmp-{mode}.bmp"] = saved(mode, "BMP")
    for mode in ("1", "L", "RGB"):
        made[f"ppm-{mode}.ppm"] = saved(mode, "PPM")
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        made[f"tiff-{compression}.tif"] = saved("RGB", "TIFF", compression=compression)
    made |= {
        "tiff-g4.tif": saved("1", "TIFF", compression="group4"),
        "jpeg-exif.jpg": saved("RGB", "JPEG", exif=exif, dpi=(72, 72)),
        "jpeg-progressive.jpg": saved("RGB", "JPEG", progressive=True),
        "png-text.png": saved("RGB", "PNG", pnginfo=text, exif=exif),
        "png-interlaced.png": png(*_SIZE, 8, 0, bytes(700), interlaced=1),
        "webp.webp": saved("RGB", "WEBP", exif=exif),
        "webp-alpha.webp": saved("RGBA", "WEBP", lossless=True),
        "avif.avif": saved("RGB", "AVIF", speed=10),
        "avif-alpha.avif": saved("RGBA", "AVIF", speed=10, exif=exif),
        "avif-10.avif": deep_avif(10),
        "avif-12.avif": deep_avif(12),
        "gif.gif": saved("P", "GIF"),
        "gif-grey.gif": saved("L", "GIF"),
        "palette-alpha.png": saved("P", "PNG", transparency=3),
        "grey-key.png": saved("L", "PNG", transparency=60),
        **{f"deep-{bands}.png": deep_png(bands) for bands in (2, 3, 4)},
        "deep-key.png": deep_png(3, chunk(b"tRNS", struct.pack(">HHH", 9000, 9000, 9000))),
    }
    return made | _good_tiffs() | _good_ppms() | _several()


def _good_tiffs() -> dict[str, bytes]:
    deep, rgb, grey = photo(3, deep=True), {"photometric": "rgb"}, {"photometric": "minisblack"}
    return {
        **{f"deep-{order}.tif": tiff(deep, byteorder=byte, **rgb) for order, byte in (("ii", "<"), ("mm", ">"))},
        "deep-grey.tif": tiff(deep[..., 0], **grey),
        "deep-grey-mm.tif": tiff(deep[..., 0], byteorder=">", **grey),
        "deep-white.tif": tiff(deep[..., 0], photometric="miniswhite"),
        "deep-alpha.tif": tiff(photo(4, deep=True), extrasamples=["unassalpha"], **rgb),
        "deep-la.tif": tiff(photo(2, deep=True), photometric="minisblack", extrasamples=["unassalpha"], planarconfig=1),
        "deep-planes.tif": tiff(np.moveaxis(deep, 2, 0), planarconfig="separate", **rgb),
        "deep-tiled.tif": tiff(deep, tile=(16, 16), **rgb),
        "deep-deflate.tif": tiff(deep, compression="zlib", **rgb),
        "deep-cmyk.tif": tiff(photo(4, deep=True), photometric="separated"),
        "premultiplied.tif": tiff(photo(4), extrasamples=["assocalpha"], **rgb),
        "planes.tif": tiff(np.moveaxis(photo(), 2, 0), planarconfig="separate", **rgb),
        "big.tif": tiff(photo(), bigtiff=True, **rgb),
        "big-deep.tif": tiff(deep, bigtiff=True, byteorder=">", **rgb),
        "float.tif": tiff(photo().astype(np.float32) / 255, **rgb),
        "half.tif": tiff(photo().astype(np.float16) / 255, **rgb),
        "double.tif": tiff(photo(1)[..., 0].astype(np.float64), **grey),
        "uint32.tif": tiff(photo().astype(np.uint32), **rgb),
        "int16.tif": tiff(photo().astype(np.int16), **rgb),
        "int8.tif": tiff(photo(1)[..., 0].astype(np.int8), **grey),
        "complex.tif": tiff(photo(1)[..., 0].astype(np.complex64), **grey),
        "six-channels.tif": tiff(photo(6), planarconfig="contig", **grey),
    }


def _good_ppms() -> dict[str, bytes]:
    width, height = _SIZE
    deep = photo(3, deep=True)
    return {
        "deep.ppm": b"P6\n# words\n%d %d\n65535\n" % _SIZE + deep.astype(">u2").tobytes(),
        "deep.pgm": b"P5 %d %d 65535\n" % _SIZE + deep[..., 0].astype(">u2").tobytes(),
        "ten.pgm": b"P5 %d %d 1023\n" % _SIZE + (deep[..., 0] >> 6).astype(">u2").tobytes(),
        "plain.ppm": b"P3 2 1 255\n0 1 2  253 254 255\n",
        "plain-deep.ppm": b"P3 2 1 65535\n0 1 2  65533 65534 65535\n",
        "float.pfm": b"Pf\n%d %d\n-1.0\n" % _SIZE + np.zeros((height, width), "<f4").tobytes(),
    }


def _several() -> dict[str, bytes]:
    pages = io.BytesIO()
    first, second = Image.fromarray(photo()), Image.fromarray(photo()[:9])
    first.save(pages, "TIFF", save_all=True, append_images=[second])
    phone = io.BytesIO()
    first.save(phone, "MPO", save_all=True, append_images=[second])
    return {
        "moving.gif": moving("GIF", loop=0, disposal=2),
        "moving.png": moving("PNG"),
        "moving.webp": moving("WEBP"),
        "moving.avif": moving("AVIF", speed=10),
        "pages.tif": pages.getvalue(),
        "phone.jpg": phone.getvalue(),
    }


def mutants(name: str, data: bytes, flips: int) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of a file cut at several places, with bits flipped, overwritten, repeated and continued."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    stem, suffix = os.path.splitext(name)
    for part in (3, 8, 30, len(data) // 2, len(data) * 9 // 10, len(data) - 3):
        yield f"{stem}-cut{part}{suffix}", data[:part]
    for number in range(flips):
        changed = bytearray(data)
        reach = min(len(data), 200) if number % 2 else len(data)  # headers are short and matter most
        for place in rng.integers(0, reach, 1 + number % 4):
            changed[place] ^= 1 << int(rng.integers(8))
        yield f"{stem}-flip{number}{suffix}", bytes(changed)
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 60))
    yield f"{stem}-ones{suffix}", data[:start] + b"\xff" * length + data[start + length :]
    yield f"{stem}-twice{suffix}", data[: len(data) // 2] + data
    yield f"{stem}-tail{suffix}", data + bytes(rng.integers(0, 256, 500, dtype=np.uint8))


def bombs() -> dict[str, bytes]:
    """Files that promise, or unpack to, far more than they hold."""
    zeros = zlib.compress(bytes(50_000_000), 9)
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zeros[:9000]) + chunk(b"IEND", b"")
    jpeg = bytearray(saved("RGB", "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65535, 65535)
    webp = bytearray(saved("RGBA", "WEBP", lossless=True))
    at = webp.index(b"VP8L") + 9
    webp[at : at + 4] = struct.pack("<I", 16383 | (16383 << 14))
    bitmap = bytearray(saved("RGB", "BMP"))
    bitmap[18:26] = struct.pack("<ii", 60_000, 60_000)
    screens = struct.pack("<6sHHBBB", b"GIF89a", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;"
    wide = {256: 4_000_000, 257: 4_000_000, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4_000_000, 279: 9}
    return {
        "bomb.png": huge,
        "bomb-ztxt.png": png(1, 1, 8, 0, b"\0\0", chunk(b"zTXt", b"Comment\0\0" + zeros)),
        "bomb-itxt.png": png(1, 1, 8, 0, b"\0\0", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros)),
        "bomb-icc.png": png(1, 1, 8, 0, b"\0\0", chunk(b"iCCP", b"icc\0\0" + zeros)),
        "bomb-deep.png": png(60_000, 60_000, 16, 2, b"\0" * 1000),
        "bomb.jpg": bytes(jpeg),
        "bomb.webp": bytes(webp),
        "bomb.bmp": bytes(bitmap),
        "bomb.gif": screens,
        "bomb.tif": ifd(wide),
        "bomb-deep.tif": ifd({**wide, 258: 16, 277: 1}),
        "bomb-tags.tif": b"II*\0\x08\0\0\0" + b"\xff\xff" + bytes(100),
        "bomb.ppm": b"P6 90000 90000 255\n" + bytes(100),
        "bomb-deep.ppm": b"P6 90000 90000 65535\n" + bytes(100),
        "bomb-xmp.tif": _with_xmp(b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>'),
    }


def ifd(tags: dict[int, int], following: int = 0) -> bytes:
    """A TIFF that is nothing but one directory of whole numbers."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _with_xmp(packet: bytes) -> bytes:
    return tiff(photo(), photometric="rgb", extratags=[(700, 1, len(packet), packet, True)])


def oddities() -> dict[str, bytes]:
    """Headers that lie, empty files, and other things under the names of images."""
    small = {256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: 4}
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.png", saved("RGB", "PNG"))
    whole, other = saved("RGB", "PNG"), saved("RGB", "JPEG")
    rng = np.random.default_rng(11)
    broken = bytearray(whole)
    broken[29] ^= 1  # the check sum of the header
    inside = bytearray(whole)
    inside[whole.index(b"IDAT") + 20] ^= 4
    return {
        "empty.png": b"",
        "crc.png": bytes(broken),
        "crc-inside.png": bytes(inside),
        "zero.png": png(0, 0, 8, 2, b"\0"),
        "zero-wide.png": png(0, 5, 8, 2, b"\0" * 5),
        "zero.ppm": b"P6 0 0 255\n",
        "zero.tif": ifd({**small, 256: 0}),
        "zero.bmp": saved("RGB", "BMP")[:18] + bytes(8) + saved("RGB", "BMP")[26:],
        "no-frame.gif": b"GIF89a\x02\0\x02\0\0\0\0;",
        "no-directory.tif": b"II*\0\0\0\0\0",
        "empty-directory.tif": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
        "loop.tif": ifd(small, 8),
        "strip-outside.tif": ifd({**small, 273: 1 << 30}),
        "strip-long.tif": ifd({**small, 279: 0xFFFFFFFF}),
        "exif-loop.tif": ifd({**small, 34665: 8, 34853: 8}),
        "bits-0.tif": ifd({**small, 258: 0}),
        "bits-3.tif": ifd({**small, 258: 3}),
        "bits-12.tif": ifd({**small, 258: 12}),
        "orientation-99.tif": ifd({**small, 274: 99}),
        "words.png": b"just some words\n",
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "drawing.png": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "archive.tif": zipped.getvalue(),
        "icon.bmp": b"\0\0\1\0\1\0" + bytes(40),
        "script.ppm": b"#!/bin/sh\necho\n",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "png-in-jpeg.jpg": whole,
        "jpeg-in-png.png": other,
        "no-suffix": whole,
        "splice-1.png": whole[: len(whole) // 2] + other[len(other) // 2 :],
        "splice-2.jpg": other[: len(other) // 2] + whole[len(whole) // 2 :],
        **{f"random{suffix}": rng.bytes(300) for suffix in (".png", ".jpg", ".tif", ".webp", ".avif")},
        **{
            f"magic-{n}.png": magic + rng.bytes(200)
            for n, magic in enumerate((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"II*\0", b"MM\0+", b"BM", b"P6 ",
                                       b"RIFF\x90\0\0\0WEBPVP8X", b"\0\0\0\x20ftypavif", b"GIF89a"))
        },
    }  # fmt: skip


def _odd_names(folder: Path) -> Iterator[Path]:
    data = saved("RGB", "PNG")
    names = (
        *(" ", "a b.png", "two\nlines.png", "-o.png", "--help.png", "ü-日本-🖼.png", "x" * 240 + ".png", ".hidden.png"),
        *(
            "a.PNG",
            "a.png.png",
            "no dot",
            "a.",
            "..png",
            "%s.png",
            "a'b\"c.png",
            "a;b&c.png",
            "a\tb.png",
            "\x1b[m.png",
        ),
    )
    for name in names:
        (folder / name).write_bytes(data)
        yield folder / name


def _closed(path: Path) -> None:
    path.write_bytes(saved("RGB", "PNG"))
    path.chmod(0)


def _no_files(folder: Path) -> Iterator[Path]:
    makers: dict[str, Callable[[Path], object]] = {
        "folder.png": Path.mkdir,
        "dangling.png": lambda path: path.symlink_to("nothing"),
        "itself.png": lambda path: path.symlink_to(path.name),
        "pipe.png": os.mkfifo,
        "device.png": lambda path: path.symlink_to("/dev/zero"),
        "unreadable.png": _closed,
    }
    for name, make in makers.items():
        make(folder / name)
        yield folder / name
    yield folder / "missing.png"
    yield folder / ("y" * 400 + ".png")
    yield folder / "nul\0.png"


def write(folder: Path, flips: int = 2) -> list[Path]:
    """Write all of it below ``folder``; ``flips``: changed copies of every whole file, beside the cut ones."""
    files = {**good(), **bombs(), **oddities()}
    for name, data in good().items():
        files.update(mutants(name, data, flips))
    paths = []
    for name, data in files.items():
        path = folder / name
        path.write_bytes(data)
        paths.append(path)
    return [*paths, *_odd_names(folder), *_no_files(folder)]
