"""Files of several pictures: animations and pages."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ..errors import ImageError
from ..files import atomic
from . import ifd
from .formats import FORMATS, MAX_PIXELS, Saving, format_of
from .holding import Held, held, tags_of
from .opening import decoding, image_in, opened, pages
from .picture import Picture
from .reading import kind_of, picture_of
from .saving import encoding, fitting, losing, save
from .tiff import Tiff
from .writing import as_frame, options

_TOGETHER = 4 * MAX_PIXELS
"""Pixels of all frames of an animation, which are held in memory to be written."""


@dataclass(frozen=True, eq=False)
class Frames:
    """The pictures of a file, one at a time.

    pictures: gives them anew at each iteration where they come from a file. count: how many. path, format: where they
    came from. durations: milliseconds of each frame; none for pages. loop: how often it is shown, 0: for ever.
    """

    pictures: Iterable[Picture]
    count: int
    path: Path
    format: str
    durations: tuple[int, ...] = ()
    loop: int = 0

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)

    def on(self, pictures: Iterable[Picture]) -> Frames:
        """Other ``pictures``, as many, with the timing of these; they are taken when they are saved."""
        return replace(self, pictures=pictures)


@dataclass(frozen=True)
class _Source:
    """The frames ``numbers`` of the file ``path``, each complete: what a frame keeps of the one before is in it."""

    path: Path
    numbers: tuple[int, ...]

    def __iter__(self) -> Iterator[Picture]:
        with self.path.open("rb") as file:
            with decoding(self.path):
                image = image_in(file, self.path)
            for number in self.numbers:
                with decoding(self.path):
                    picture = picture_of(image, self.path, number)
                yield picture


def load_frames(path: str | Path) -> Frames:
    """The pictures in the file ``path``, one where it holds one; raises ``ImageError``, also while they are taken."""
    path = Path(path)
    with opened(path) as image:
        numbers, kind = pages(image), kind_of(image) or ""
        if isinstance(image, Tiff) or len(numbers) == 1:
            return Frames(_Source(path, numbers), len(numbers), path, kind)
        if len(numbers) * image.width * image.height > _TOGETHER:
            millions = len(numbers) * image.width * image.height // 10**6
            raise ImageError(
                f"{path}: {len(numbers)} frames of {millions} megapixels together, wanted at most "
                f"{_TOGETHER // 10**6}; cut it into parts"
            )
        loop = int(image.info.get("loop", 1 if kind == "GIF" else 0))
        durations = tuple(_duration(image, number) for number in numbers)
        return Frames(_Source(path, numbers), len(numbers), path, kind, durations, loop)


def _duration(image: Image.Image, number: int) -> int:
    image.seek(number)
    if image.format != "GIF":
        image.load()  # only then it is known
    return int(image.info.get("duration", 0) + 0.5)


def save_frames(
    path: str | Path, frames: Frames, saving: Saving | None = None, provenance: str | None = None
) -> tuple[str, ...]:
    """Write ``frames`` as one file: pages into a TIFF, animations into PNG, WebP, AVIF, or the pages of a TIFF.

    All else as ``save``; an animation has the metadata of its first frame.
    """
    path, saving = Path(path), saving or Saving()
    kind = format_of(path, saving)
    if frames.count == 1:
        picture = next(iter(frames))
        return save(path, picture.pixels, picture, saving, provenance)
    if not FORMATS[kind].frames:
        raise ImageError(f"{path}: {kind} holds one picture, got {frames.count}; choose .png, .webp, .avif or .tif")
    if kind == "TIFF":
        return _save_pages(path, frames, provenance)
    if not frames.durations:
        raise ImageError(f"{path}: {frames.count} pages, which {kind} cannot hold; choose a name ending in .tif")
    return _save_animation(path, kind, frames, saving, provenance)


def _save_animation(path: Path, kind: str, frames: Frames, saving: Saving, provenance: str | None) -> tuple[str, ...]:
    shown, first = [], None
    for picture in frames:
        first = first or picture
        eight = replace(picture, pixels=picture.eight)
        shown.append(as_frame(fitting(eight.pixels, eight, kind, path)))
    if first is None:
        raise ImageError(f"{path}: no frames; get another copy")
    if any(frame.mode == "RGBA" for frame in shown):
        shown = [frame.convert("RGBA") for frame in shown]
    bands = len(shown[0].getbands())
    data = held(first, kind, provenance, bands)
    quality, lossless = losing(saving, kind, first)
    told = options(kind, bands, data, quality, lossless and kind == "WEBP")
    told |= {"duration": list(frames.durations), "save_all": True, "append_images": shown[1:]}
    if kind != "AVIF":
        told["loop"] = frames.loop
    made = io.BytesIO()
    with encoding(path, kind):
        shown[0].save(made, format=kind, **told)
    if kind == "AVIF":
        _undate(made.getbuffer())
    with atomic(path) as file:
        file.write(made.getbuffer())
    deep = ("16 bits a channel in an animation",) if first.deep and FORMATS[kind].bits == 16 else ()
    exact = ("every bit (AVIF animations lose a little)",) if saving.lossless and kind == "AVIF" else ()
    return data.lost + deep + exact


def _undate(data: memoryview) -> None:
    """Take out when an AVIF animation was made (ISO 14496-12, 8.2.2 to 8.4.2): equal input gives equal bytes."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        size = size if 8 <= size <= len(data) - at else len(data) - at
        if kind in (b"moov", b"trak", b"mdia"):
            _undate(data[at + 8 : at + size])
        elif kind in (b"mvhd", b"tkhd", b"mdhd"):
            count = 16 if data[at + 8] else 8  # of two times, by its version
            data[at + 12 : at + 12 + count] = bytes(count)
        at += size


def _save_pages(path: Path, frames: Frames, provenance: str | None) -> tuple[str, ...]:
    import tifffile

    made, beside = io.BytesIO(), list[Held]()
    with encoding(path, "TIFF"), tifffile.TiffWriter(made, byteorder="<") as writer:
        for picture in frames:
            values = fitting(picture.pixels, picture, "TIFF", path)
            bands = values.shape[2]
            beside.append(held(picture, "TIFF", provenance if not beside else None, bands))
            writer.write(
                values if bands > 1 else values[..., 0],
                photometric="rgb" if bands > 2 else "minisblack",
                planarconfig="contig" if bands > 1 else None,
                extrasamples=["unassalpha"] if bands in (2, 4) else None,
                compression="zlib",
                metadata=None,
                software=False,
                contiguous=False,
            )
    for page, data in enumerate(beside):
        ifd.add(made, tags_of(data), page)
    with atomic(path) as file:
        file.write(made.getbuffer())
    timing = ("the timing of the frames",) if frames.durations else ()
    return tuple(dict.fromkeys(phrase for data in beside for phrase in data.lost)) + timing
