"""Image files in and out, 8 bits per channel. What Pillow can fail with becomes one ``ImageError`` line.

Kept from source to result: size, orientation (applied once, then reset), transparency, greyness, EXIF, ICC profile.
Refused with a line that says so: 16-bit files, animations, more than about 89 megapixels (Pillow's bomb limit).
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..canvas import Canvas, Pixels, PixelSheet, in_eight_bits
from ..errors import ImageError, ShapeError
from ..files import atomic

READABLE = MappingProxyType(
    {
        ".png": "PNG",
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".webp": "WEBP",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".bmp": "BMP",
        ".ppm": "PPM",
        ".pgm": "PPM",
        ".gif": "GIF",
    }
)
"""Suffix -> Pillow format of what ``load`` reads (the content decides, not the suffix)."""

WRITABLE = MappingProxyType({suffix: kind for suffix, kind in READABLE.items() if kind != "GIF"})
"""Suffix -> Pillow format of what ``save`` writes."""

_FORMATS = tuple(dict.fromkeys(READABLE.values()))
_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    EOFError,
    LookupError,
    TypeError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises on damaged or unsupported files (found in its decoders and its issue tracker)."""

_ALPHA_FORMATS = ("PNG", "WEBP", "TIFF")
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 4},
    "TIFF": {"compression": "tiff_lzw"},
}
# Of a TIFF only what describes the photo is carried over; its other tags say how the old file was laid out.
_TIFF_TAGS = frozenset({270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853})


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    pixels: (H, W, 3) uint8 or uint16 RGB, upright. alpha: (H, W) of the same dtype or None. grey: the file held one
    channel. path, format: where it came from and its Pillow format. exif: orientation reset to upright. icc: the
    profile. xmp: the packet. notes: what became another than in the file, a line each.
    """

    pixels: Pixels
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    grey: bool = False
    path: Path | None = None
    format: str | None = None
    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    notes: tuple[str, ...] = ()

    @property
    def canvas(self) -> PixelSheet:
        """The pixels, to be read in pieces."""
        return PixelSheet(self.pixels)

    def on(self, canvas: Canvas) -> Picture:
        """This picture with the pixels of ``canvas``, a sheet that came of ``self.canvas.blank()``."""
        return replace(self, pixels=cast(PixelSheet, canvas).pixels)

    @property
    def eight(self) -> NDArray[np.uint8]:
        """The pixels in 8 bits a channel."""
        return in_eight_bits(self.pixels)


def load(path: str | Path) -> Picture:
    """The picture in the file ``path``; raises ``ImageError`` with one line saying what to do."""
    path = Path(path)
    _check_file(path)
    with _decoding(path), Image.open(path, formats=_FORMATS) as image:
        return from_pil(image, path)


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of the upright picture in ``path``, from its header; raises ``ImageError`` as ``load`` does."""
    _check_file(path)
    with _decoding(path), Image.open(path, formats=_FORMATS) as image:
        _check_kind(image, path)
        lying = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if lying else (image.height, image.width)


def from_pil(image: Image.Image, path: Path | None = None) -> Picture:
    """A Pillow image as a ``Picture``: upright, RGB; raises ``ImageError`` as ``load`` does."""
    where = path or Path("image")
    with _decoding(where):
        _check_kind(image, where)
        image.load()
        kind = "JPEG" if image.format == "MPO" else image.format
        upright = ImageOps.exif_transpose(image)
        alpha = None
        if upright.has_transparency_data:
            upright = upright.convert("LA" if upright.mode in ("L", "LA", "1") else "RGBA")
            alpha = np.array(upright.getchannel("A"))
        own_profile = upright.mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")  # a CMYK profile is not
        return Picture(
            pixels=np.array(upright.convert("RGB")),
            alpha=alpha,
            grey=upright.mode in ("1", "L", "LA"),
            path=path,
            format=kind,
            exif=_exif(image, kind),
            icc=upright.info.get("icc_profile") or b"" if own_profile else b"",
        )


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turns whatever Pillow fails with into one ``ImageError`` line; its remarks about metadata are not shown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image this program can read; wanted one of {', '.join(_FORMATS)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ImageError(f"{path}: more than {limit} megapixels; make it smaller or cut it into parts") from error
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot be decoded: {reason}; the file is damaged, get another copy") from error


def to_pil(picture: Picture) -> Image.Image:
    """The picture as a Pillow image of mode L, LA, RGB or RGBA."""
    image = Image.fromarray(picture.pixels)
    if picture.grey:
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def save(path: str | Path, pixels: Pixels, like: Picture) -> None:
    """Write ``pixels`` (H, W, 3) uint8 RGB with the alpha, greyness, EXIF and ICC profile of ``like``.

    The suffix chooses the format. The file appears whole or not at all; missing folders are created.
    Raises ``ImageError`` (unwritable, unknown suffix, transparency that the format cannot hold) or ``ShapeError``.
    """
    path = Path(path)
    kind = format_of(path)
    if pixels.dtype != np.uint8 or pixels.shape != like.pixels.shape:
        raise ShapeError(f"{path}: pixels are {pixels.shape} {pixels.dtype}, wanted {like.pixels.shape} uint8")
    opaque = like.alpha is None or bool((like.alpha == 255).all())
    if kind not in _ALPHA_FORMATS and not opaque:
        raise ImageError(f"{path}: {kind} cannot hold the transparency of the source; choose a name ending in .png")
    alpha = like.alpha if kind in _ALPHA_FORMATS else None
    image = to_pil(Picture(pixels, alpha, like.grey))
    extra = {name: value for name, value in (("exif", like.exif), ("icc_profile", like.icc)) if value}
    with atomic(path) as file:
        try:
            image.save(file, format=kind, **_OPTIONS.get(kind, {}), **extra)
        except OSError:
            raise
        except _FAILURES as error:
            raise ImageError(f"{path}: cannot be written as {kind}: {error}; choose another format") from error


def format_of(path: Path) -> str:
    """The Pillow format that ``save`` uses for ``path``; raises ``ImageError`` for a suffix it does not write."""
    kind = WRITABLE.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path}: cannot write '{path.suffix}' files; wanted one of {', '.join(WRITABLE)}")
    return kind


def find_images(paths: Iterable[str | Path], skip: Path | None = None) -> list[tuple[Path, Path]]:
    """(source, relative target) of every image in files and folders, sorted inside a folder.

    A folder is searched through and mirrored; hidden files, other suffixes and the folder ``skip`` are left out.
    A source whose suffix cannot be written gets ``.png`` appended. Raises ``ImageError`` for the first path that is
    missing or a folder without images.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(_walk(path, skip.resolve() if skip else None))
            if not inside:
                raise ImageError(f"{path}: no images in this folder; wanted files ending in {', '.join(READABLE)}")
            found += [(source, _target(source.relative_to(path))) for source in inside]
        elif path.exists():
            found.append((path, _target(Path(path.name))))
        else:
            raise ImageError(f"{path}: no such file or folder; check the name")
    return found


def _walk(folder: Path, skip: Path | None) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and (Path(parent) / name).resolve() != skip]
        yield from (Path(parent) / name for name in names if name[0] != "." and Path(name).suffix.lower() in READABLE)


def _target(relative: Path) -> Path:
    return relative if relative.suffix.lower() in WRITABLE else relative.with_name(relative.name + ".png")


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise ImageError(f"{path}: a folder, wanted an image file; name a file in it")
        if not path.exists():
            raise ImageError(f"{path}: no such file; check the name")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty (0 bytes); get another copy")
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be opened: {error}; check its name and permissions") from error


def _check_kind(image: Image.Image, path: Path) -> None:
    # MPO is a JPEG with further pictures behind it, as phones write: the first is the photo.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        frames = getattr(image, "n_frames", 1)
        raise ImageError(f"{path}: {frames} frames; only single images are supported yet, extract one frame first")
    if _deep(image):
        raise ImageError(f"{path}: not supported yet: 16-bit images; convert it to 8 bits per channel")


def _deep(image: Image.Image) -> bool:
    """Whether the file holds more than 8 bits per channel, also where Pillow would silently drop them."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return True
    if image.format == "TIFF":
        bits: tuple[int, ...] = getattr(image, "tag_v2", {}).get(258, (1,))
        return max(bits) > 8
    layout = getattr(image, "tile", None) or [(None, None, None, None)]
    arguments = layout[0][3] if isinstance(layout[0][3], tuple) else (layout[0][3],)
    if image.format == "PPM":
        return any(isinstance(value, int) and value > 255 for value in arguments)
    return any(isinstance(value, str) and ";16" in value for value in arguments)


def _exif(image: Image.Image, kind: str | None) -> bytes:
    """EXIF with the orientation reset; empty where there is none or where it is too damaged to be written again."""
    try:
        exif = image.getexif()
        keep = _TIFF_TAGS if kind == "TIFF" else set(exif)
        for tag in set(exif) - (keep - {ExifTags.Base.Orientation}):
            del exif[tag]
        return exif.tobytes() if len(exif) else b""
    except _FAILURES:
        return b""
