"""Samples into bytes of a format. Equal input gives equal bytes."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import deep, ifd
from .exif import RESOLUTION
from .formats import FORMATS
from .holding import Held, tags_of
from .picture import pil_of

XMP_KEY = "XML:com.adobe.xmp"
_OPAQUE_BANDS = (1, 3)


def write(file: BinaryIO, kind: str, values: NDArray[Any], data: Held, quality: int, lossless: bool = False) -> None:
    """``values`` (H, W, C) uint8 or uint16, C = 1 to 4, as a file of the Pillow format ``kind``.

    Raises what Pillow raises.
    """
    if kind == "TIFF":
        file.write(_tiff(values, data))
    elif values.dtype == np.uint16 and kind == "PNG":
        file.write(_deep_png(values, data))
    elif values.dtype == np.uint16 and kind == "PPM":
        height, width, bands = values.shape
        file.write(f"P{5 if bands == 1 else 6}\n{width} {height}\n65535\n".encode() + values.astype(">u2").tobytes())
    elif kind == "AVIF" and (values.dtype == np.uint16 or (lossless and values.shape[2] > 1)):
        file.write(_exact_avif(values, data, quality, lossless))
    else:
        pil_of(values).save(file, format=kind, **options(kind, values.shape[2], data, quality, lossless))


def options(kind: str, bands: int, data: Held, quality: int, lossless: bool = False) -> dict[str, Any]:
    """What Pillow has to be told to write a file of ``kind``."""
    holds = FORMATS[kind]
    told: dict[str, Any] = {
        "exif": (b"Exif\0\0" + data.exif if kind == "JPEG" and data.exif else data.exif) if holds.exif else None,
        "icc_profile": data.icc if holds.icc else None,
        "dpi": data.dpi if kind in ("PNG", "JPEG") else None,
    }
    told = {name: value for name, value in told.items() if value}
    if kind == "BMP":
        told["dpi"] = data.dpi or (0, 0)
    if kind == "PNG":
        told["pnginfo"] = _texts(data)
    elif holds.xmp and data.xmp:
        told["xmp"] = data.xmp
    if kind in ("JPEG", "WEBP", "AVIF"):
        told["quality"] = 100 if lossless and kind == "AVIF" else quality
    if kind == "JPEG":
        told |= {"subsampling": 0, "extra": data.extra.marked, "comment": data.extra.comment}
    if kind == "WEBP":
        told |= {"method": 4, "lossless": lossless, "exact": lossless}
    if kind == "AVIF":
        told |= {"subsampling": "4:0:0" if bands == 1 else "4:4:4", "speed": 8}  # slower is hardly smaller
        if bands not in _OPAQUE_BANDS:
            told["advanced"] = {"alpha:lossless": "1"}
    return told


def _texts(data: Held) -> PngInfo:
    texts = PngInfo()
    if data.xmp:
        texts.add_itxt(XMP_KEY, data.xmp.decode())
    for key, value in data.extra.texts:
        texts.add_text(key, value)
    return texts


def _deep_png(values: NDArray[np.uint16], data: Held) -> bytes:
    """The chunks beside the pixels are those that Pillow writes for one pixel of the kind."""
    small = io.BytesIO()
    dot = pil_of(np.zeros((1, 1, values.shape[2]), dtype=np.uint8))
    dot.save(small, "PNG", **options("PNG", values.shape[2], data, 0))
    made = small.getvalue()
    beside = made[33 : made.rindex(b"IDAT") - 4]  # between the header, which ends at byte 33, and the pixels
    with deep.failing():
        whole: bytes = deep.as_vips(values).pngsave_buffer(compression=6, keep="none")
    return whole[:33] + beside + whole[whole.index(b"IDAT") - 4 :]


def _exact_avif(values: NDArray[Any], data: Held, quality: int, lossless: bool) -> bytes:
    bits = 12 if values.dtype == np.uint16 else 8
    image = deep.as_vips(deep.narrowed(values, bits) if bits == 12 else values)
    for name, block in (("exif-data", data.exif), ("icc-profile-data", data.icc), ("xmp-data", data.xmp)):
        if block:
            image.set_type(deep.vips().GValue.blob_type, name, b"Exif\0\0" + block if name == "exif-data" else block)
    told = {"compression": "av1", "bitdepth": bits, "Q": quality, "lossless": lossless, "subsample_mode": "off"}
    with deep.failing():
        made: bytes = image.heifsave_buffer(**told, effort=1)
    return made


def _tiff(values: NDArray[Any], data: Held) -> bytes:
    with deep.failing():
        made = io.BytesIO(deep.as_vips(values).tiffsave_buffer(compression="lzw", predictor="horizontal", keep="none"))
    ifd.add(made, tags_of(data), without=RESOLUTION)  # pyvips writes one where none is known
    return made.getvalue()


def as_frame(values: NDArray[np.uint8]) -> Image.Image:
    """(H, W, C) as a Pillow image for an animation, which has to be of one mode: RGB or RGBA."""
    return pil_of(values).convert("RGB" if values.shape[2] in _OPAQUE_BANDS else "RGBA")
