"""What pyvips decodes: TIFF, and more than 8 bits a channel, which Pillow would cut to 8 without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from ..errors import ImageError
from .colours import Decoded, samples_of
from .opening import Opened
from .tiff import Tiff

_PLAIN = 1  # Compression of a TIFF
_STRIP = 25_000_000  # bytes of a file from which on libtiff is not held to its limit, which is twice that
_RGB16, _GREY16 = "rgb16", "grey16"


def vips() -> Any:
    """The module ``pyvips``, without its cache: a file that was written anew must not come back as it was."""
    import pyvips

    pyvips.cache_set_max(0)
    return pyvips


def bits_of(image: Opened, path: Path | None) -> int:
    """Bits of a channel in the file that ``image`` was opened from; raises ``ImageError`` for 32 and more."""
    if isinstance(image, Tiff):
        if image.bits > 16 or (image.bits > 8 and not image.unsigned):
            raise _too_deep(path)
        return image.bits
    if image.format == "AVIF":
        return _avif_bits(path) if path else 8
    tags = getattr(image, "tag_v2", None)
    if tags is not None:  # a TIFF that somebody else opened
        return int(max(tags.get(258, (8,))))
    layout = getattr(image, "tile", None) or [(None, None, None, None)]
    arguments = layout[0][3] if isinstance(layout[0][3], tuple) else (layout[0][3],)
    if image.format == "PPM" and any(isinstance(value, int) and value > 255 for value in arguments):
        return 16  # the largest value; in other formats the number is the length of a row
    if any(";16" in str(value) for value in arguments):
        return 16
    if image.mode in ("I", "F"):
        raise _too_deep(path)
    return 8


def _too_deep(path: Path | None) -> ImageError:
    return ImageError(
        f"{path}: floating-point, signed or 32-bit samples, whose black and white are not known; convert it to 16 bits"
    )


def _avif_bits(path: Path) -> int:
    with path.open("rb") as file:
        start = file.read(1 << 16)
    at = start.find(b"av1C")  # AV1 codec configuration: high_bitdepth and twelve_bit in its third byte
    flags = start[at + 6] if 0 <= at < len(start) - 6 else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def exif_of_avif(path: Path) -> bytes:
    """The Exif block of an AVIF as it stands there; Pillow writes it anew where the container tells how it lies.

    Raises ``ValueError``.
    """
    with failing():
        found = vips().Image.heifload(str(path))
        return bytes(found.get("exif-data")) if "exif-data" in found.get_fields() else b""


@contextmanager
def failing() -> Iterator[None]:
    """Turns what pyvips fails with into a ``ValueError`` of one line."""
    try:
        yield
    except vips().Error as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(lines[min(1, len(lines) - 1)] if lines else "libvips failed") from error


def read(image: Opened, path: Path, bits: int, icc: bytes, page: int = 0) -> Decoded:
    """A file of ``bits`` a channel as it lies, whose profile is ``icc``: TIFF, and all of more than 8 bits.

    Raises ``ImageError``, and ``ValueError`` for a damaged file.
    """
    if image.format == "PPM":
        return _ppm(path), icc, ()
    if isinstance(image, Tiff) and image.lab:
        return _lab(image, path, page)
    if isinstance(image, Tiff) and bits not in (1, 2, 4, 8, 16):
        raise ImageError(f"{path}: {bits} bits a channel; wanted 8 or 16, convert it")
    with failing():
        return _by_vips(image, path, bits, icc, page)


def _lab(image: Tiff, path: Path, page: int) -> Decoded:
    """CIELAB of 8 bits, which pyvips does not read: by Pillow, which is quiet where nothing is compressed."""
    if image.compression != _PLAIN:
        raise ImageError(f"{path}: compressed CIELAB of 8 bits; convert it to RGB")
    with path.open("rb") as file:
        found = TiffImagePlugin.TiffImageFile(file, str(path))
        found.seek(page)
        found.load()
        return samples_of(found, b"")


def _by_vips(image: Opened, path: Path, bits: int, icc: bytes, page: int) -> Decoded:
    module, name, notes = vips().Image, str(path), tuple[str, ...]()
    if isinstance(image, Tiff):
        # straight alpha, however it is stored
        found = module.tiffload(name, page=page, fail_on="error", unlimited=is_large(path))
    elif image.format == "PNG":
        image.load()  # finds what is damaged, which libpng would let pass
        found = module.pngload(name, access="sequential", fail_on="error")
    else:
        found = module.heifload(name, fail_on="error")
        notes = (f"{bits} bits were widened to 16",)
    if found.format not in ("uchar", "ushort"):
        raise ImageError(f"{path}: samples of the kind '{found.format}'; wanted 8 or 16 bits a channel, convert it")
    if found.interpretation in ("cmyk", "labs"):
        found, notes = _to_srgb(found)
        icc = b""
    if found.bands > 4:
        raise ImageError(f"{path}: {found.bands} channels; wanted grey or RGB, with or without alpha")
    values = found.numpy()
    values = values[..., None] if values.ndim == 2 else values
    return widened(values >> (16 - bits), bits) if image.format == "AVIF" else values, icc, notes


def is_large(path: Path) -> bool:
    """Whether libtiff has to be told that it may take the 50 MB and more of a strip that is packed as one."""
    return path.stat().st_size > _STRIP


def _to_srgb(found: Any) -> tuple[Any, tuple[str, ...]]:
    deep = found.format == "ushort"
    if found.interpretation == "labs":
        return found.colourspace(_RGB16).cast("ushort"), ("CIELAB became sRGB",)
    if "icc-profile-data" in found.get_fields():
        converted = found.icc_transform("srgb", embedded=True, depth=16 if deep else 8)
        return converted, ("CMYK became sRGB by its own profile",)
    return found.colourspace(_RGB16 if deep else "srgb").cast(found.format), ("CMYK became sRGB by a usual profile",)


def widened(values: NDArray[Any], bits: int) -> NDArray[np.uint16]:
    """Values of ``bits`` bits over the whole range of 16."""
    top = (1 << bits) - 1
    scaled = np.minimum(values, top).astype(np.uint32) * 65535
    wide: NDArray[np.uint16] = ((scaled + top // 2) // top).astype(np.uint16)
    return wide


def narrowed(values: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """The nearest values of ``bits`` bits, in the upper bits of 16: what ``read`` of an AVIF undoes."""
    top = (1 << bits) - 1
    return (((values.astype(np.uint32) * top + 32767) // 65535) << (16 - bits)).astype(np.uint16)


def _ppm(path: Path) -> NDArray[np.uint16]:
    """A PGM or PPM of 9 to 16 bits; raises ``ValueError`` for a damaged one."""
    data = path.read_bytes()
    words, at = list[int](), 2
    while len(words) < 3:
        while at < len(data) and (data[at : at + 1].isspace() or data[at : at + 1] == b"#"):
            at = data.find(b"\n", at) if data[at : at + 1] == b"#" else at
            at = len(data) if at < 0 else at + 1
        end = at
        while end < len(data) and data[end : end + 1].isdigit():
            end += 1
        words.append(int(data[at:end]))
        at = end
    (width, height, top), bands = words, 3 if data[1:2] in b"36" else 1
    count = width * height * bands
    if data[1:2] in b"23":
        values = np.array([int(word) for word in data[at:].split()[:count]], dtype=np.int64)
    else:
        values = np.frombuffer(data, dtype=">u2", count=count, offset=at + 1)
    if len(values) < count or not 255 < top < 65536:
        raise ValueError("the file ends too early")
    scaled = np.clip(values, 0, top).astype(np.uint32) * 65535
    return ((scaled + top // 2) // top).astype(np.uint16).reshape(height, width, bands)


def as_vips(values: NDArray[Any]) -> Any:
    """(H, W, C) uint8 or uint16 as a pyvips image."""
    height, width, bands = values.shape
    deep = values.dtype == np.uint16
    image = vips().Image.new_from_memory(
        np.ascontiguousarray(values).data, width, height, bands, "ushort" if deep else "uchar"
    )
    names = (_GREY16, _RGB16) if deep else ("b-w", "srgb")
    return image.copy(interpretation=names[bands > 2])
