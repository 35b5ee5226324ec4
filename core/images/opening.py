"""Image files as Pillow opens them, and everything it can fail with as one ``ImageError`` line."""

from __future__ import annotations

import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import (  # importing a plugin makes its format known; no other format is ever tried
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from ..errors import ImageError
from .formats import FORMATS, MAX_PIXELS
from .tiff import Tiff

PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    MemoryError,
    OverflowError,
    EOFError,
    RuntimeError,
    AttributeError,
    LookupError,
    TypeError,
    ZeroDivisionError,
    AssertionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on damaged or unsupported files (found in its decoders and its issue tracker)."""
Opened = Image.Image | Tiff
"""A file whose header is read."""


def check_file(path: Path) -> None:
    """Raises ``ImageError`` unless ``path`` is a regular file that holds something."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the name") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be opened: {error}; check its name and permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{path}: a folder, wanted an image file; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: a pipe or device, wanted an image file; copy it into a file first")
    if status.st_size == 0:
        raise ImageError(f"{path}: the file is empty (0 bytes); get another copy")


class _Quiet:
    """Pillow's remarks about damaged metadata are not shown, while at least one thread is inside."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.__exit__(None, None, None)


_QUIET = _Quiet()


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turns whatever fails into one ``ImageError`` line; Pillow's remarks about metadata are not shown."""
    try:
        with _QUIET:
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image this program can read; wanted one of {', '.join(FORMATS)}") from error
    except PermissionError as error:
        raise ImageError(f"{path}: cannot be opened: {error.strerror}; check its permissions") from error
    except FAILURES as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"{path}: cannot be decoded: {reason}; the file is damaged, get another copy") from error


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """The file ``path``, its header read, of whatever size; raises ``ImageError``, also for what fails inside."""
    check_file(path)
    with decoding(path), path.open("rb") as file:
        yield image_in(file, path)


def image_in(file: BinaryIO, path: Path) -> Opened:
    """The image in the opened file ``path``, its header read; raises what Pillow raises."""
    start = file.read(16)
    for kind in FORMATS:
        factory, accepts = Image.OPEN[kind]
        if accepts is None or accepts(start) is True:
            file.seek(0)
            return Tiff(file) if kind == "TIFF" else factory(file, str(path))
    raise UnidentifiedImageError


def check_size(height: int, width: int, path: Path) -> None:
    """Raises ``ImageError`` for a picture that is too large to be held in memory, or has no pixels."""
    if height < 1 or width < 1:
        raise ImageError(f"{path}: cannot be decoded: {width} x {height} pixels; the file is damaged, get another copy")
    if height * width > MAX_PIXELS:
        millions = height * width / 10**6
        raise ImageError(
            f"{path}: {millions:.0f} megapixels, wanted at most {MAX_PIXELS // 10**6} megapixels; "
            "make it smaller or cut it into parts"
        )


def pages(image: Opened) -> tuple[int, ...]:
    """Numbers of the frames of ``image`` that are pictures of their own.

    Not: the further pictures in a JPEG of a phone, whose first is the photo, and in a TIFF previews and masks.
    """
    if isinstance(image, Tiff):
        return image.pages
    if image.format == "MPO":
        return (0,)
    count = getattr(image, "n_frames", 1)
    first = 1 if image.format == "PNG" and getattr(image, "default_image", False) and count > 1 else 0
    return tuple(range(first, count))
