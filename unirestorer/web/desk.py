"""Where the photos of visitors lie: one folder of its own, a sub-folder for each photo, names that nobody can guess."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from unirestorer.core.errors import ImageError
from unirestorer.core.images import size_of

KEPT = 3600.0
"""Seconds after which a photo, and all that was made of it, is removed."""
MOST = 32
"""Photos at most at a time; the oldest go first."""
_ODD = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')


@dataclass(frozen=True)
class Limits:
    """What is taken in: bytes of an uploaded file, and pixels of the picture in it, at most."""

    upload: int = 50 * 10**6
    pixels: int = 50 * 10**6

    def __str__(self) -> str:
        return f"up to {self.upload / 1e6:g} MB and {self.pixels / 1e6:g} megapixels"


@dataclass(eq=False)
class Photo:
    """A visitor's photo.

    key: what its addresses begin with. source: the file as it came, in a folder of its own. files: what may be fetched,
    by the last part of its address. size: (height, width) of the upright picture. shown: address of what a browser
    shows of it, empty before that is made. born: when it came, in seconds of a clock that only goes forward.
    """

    key: str
    source: Path
    files: dict[str, Path] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    shown: str = ""
    born: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        """All files of this photo lie below it."""
        return self.source.parents[1]

    def offer(self, path: Path) -> str:
        """Let ``path``, a file in ``folder``, be fetched; its address, which no other file ever has."""
        item = f"{len(self.files)}-{path.name}"
        self.files[item] = path
        return address(self.key, item)


class Desk:
    """The photos in ``folder``. Raises ``ImageError``, one line, for what it does not take or no longer has."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._photos: dict[str, Photo] = {}

    async def receive(self, name: str, body: AsyncIterator[bytes]) -> Photo:
        """Take in the file ``name``, its bytes in pieces; it stays only if it is a picture of not too many pixels."""
        photo = self._new(name)
        try:
            with photo.source.open("wb") as file:
                async for piece in body:
                    file.write(piece)
            await asyncio.to_thread(self._measure, photo)
        except BaseException:
            self._remove(photo)
            raise
        return photo

    def copy(self, path: Path) -> Photo:
        """Take in a file of our own."""
        photo = self._new(path.name)
        shutil.copyfile(path, photo.source)
        self._measure(photo)
        return photo

    def plain(self, error: BaseException) -> str:
        """The line of ``error`` with the names of files alone, not where they lie."""
        return re.sub(re.escape(str(self.folder)) + r"/[^/\s]+/[^/\s]+/", "", str(error))

    def photo(self, key: str) -> Photo:
        """The photo that got ``key``."""
        if key not in self._photos:
            raise ImageError("this photo is no longer here: photos are removed after an hour; drop it again")
        return self._photos[key]

    def file(self, key: str, item: str) -> Path | None:
        """The file of that address, None where there is none."""
        photo = self._photos.get(key)
        return photo.files.get(item) if photo else None

    def _new(self, name: str) -> Photo:
        self.sweep()
        key = secrets.token_urlsafe(16)
        photo = Photo(key, self.folder / key / "source" / safe_name(name))
        photo.source.parent.mkdir(parents=True)
        self._photos[key] = photo
        return photo

    def _measure(self, photo: Photo) -> None:
        try:
            photo.size = size_of(photo.source)
        except ImageError as error:
            raise ImageError(self.plain(error)) from error
        pixels = photo.size[0] * photo.size[1]
        if pixels > self.limits.pixels:
            raise ImageError(
                f"{photo.source.name}: {pixels / 1e6:.1f} megapixels, wanted at most {self.limits.pixels / 1e6:g}; "
                "make it smaller, or use `unirestorer restore`, which takes any size"
            )

    def sweep(self) -> None:
        """Remove what has been here for too long, and the oldest where there is too much."""
        oldest_first = sorted(self._photos.values(), key=lambda photo: photo.born)
        too_old = [photo for photo in oldest_first if time.monotonic() - photo.born > KEPT]
        for photo in dict.fromkeys([*too_old, *oldest_first[: max(0, len(oldest_first) - MOST + 1)]]):
            self._remove(photo)

    def _remove(self, photo: Photo) -> None:
        self._photos.pop(photo.key, None)
        shutil.rmtree(photo.folder, ignore_errors=True)


def address(key: str, item: str) -> str:
    """Where ``item`` of the photo ``key`` is fetched from."""
    return f"photos/{key}/{item}"


def safe_name(name: str) -> str:
    """``name`` as the name of one file in one folder: no folders, no control characters, at most 100 characters."""
    last = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).name
    stem, dot, suffix = _ODD.sub("_", last).strip(" .").rpartition(".")
    return f"{(stem if dot else suffix)[:80].strip(' .') or 'photo'}{dot}{suffix[:15] if dot else ''}"
