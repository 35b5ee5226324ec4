"""Samples on disk, read and written in pieces: in a file without a name, which is gone with the process in any case."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..canvas import as_deep_pixels, as_pixels, as_tensor
from ..errors import ImageError
from .reading import turned

_MIRRORED, _UPSIDE_DOWN, _LYING = (2, 3, 6, 7), (3, 4, 7, 8), 5
_SPARE = 64 * 2**20  # bytes that are left free on the disk


class Spool:
    """``height`` x ``width`` samples of ``bands`` channels of ``dtype``; several threads may use it."""

    def __init__(self, height: int, width: int, bands: int, dtype: Any) -> None:
        """Raises ``ImageError`` where no disk has room for it."""
        self.shape, self.dtype = (height, width, bands), np.dtype(dtype)
        folder = room_for(self.bytes)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed with this object
        self._alone = threading.Lock()
        weakref.finalize(self, self._file.close)

    @property
    def bytes(self) -> int:
        """What it takes on disk."""
        height, width, bands = self.shape
        return height * width * bands * int(self.dtype.itemsize)

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """(h, w, bands): those rows and columns."""
        _, width, bands = self.shape
        found = np.empty((rows.stop - rows.start, columns.stop - columns.start, bands), self.dtype)
        step = found[:1].nbytes if found.shape[1] < width else found.nbytes
        view = memoryview(found.data).cast("B")
        with self._alone:
            for at in range(0, found.nbytes, step):
                row = rows.start + at // step
                self._file.seek((row * width + columns.start) * bands * self.dtype.itemsize)
                self._fill(view[at : at + step])
        return found

    def _fill(self, part: memoryview) -> None:
        while part:
            count = self._file.readinto(part)
            if not count:
                raise ImageError("a temporary file ends too early; restore the picture again")
            part = part[count:]

    def write(self, top: int, values: NDArray[Any]) -> None:
        """(h, width, bands) from row ``top`` on; raises ``ImageError`` where the disk is full."""
        _, width, bands = self.shape
        left = memoryview(np.ascontiguousarray(values, self.dtype).data).cast("B")
        try:
            with self._alone:
                self._file.seek(top * width * bands * self.dtype.itemsize)
                while left:
                    left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise ImageError(f"a temporary file cannot grow: {error.strerror}; set TMPDIR to another disk") from error


def room_for(size: int) -> Path:
    """A folder for temporary files with ``size`` bytes to spare: that of TMPDIR where it is set, else one on a disk.

    Raises ``ImageError``.
    """
    told = next((os.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), None)
    places = [Path(told)] if told else [Path("/var/tmp"), Path(tempfile.gettempdir())]  # /tmp may be memory
    free = {place: shutil.disk_usage(place).free for place in places if place.is_dir() and os.access(place, os.W_OK)}
    for place, left in free.items():
        if left >= size + _SPARE:
            return place
    most = max(free.values(), default=0)
    raise ImageError(
        f"temporary files need {size / 1e9:.1f} GB, {most / 1e9:.1f} GB are free in "
        f"{' and '.join(map(str, places))}; set TMPDIR to a folder with more"
    )


@dataclass(frozen=True, eq=False)
class SpoolSheet:
    """A sheet over a spool, whose picture lies as ``orientation`` 1 to 8 of Exif says; a fourth channel is left out."""

    spool: Spool
    orientation: int = 1

    @property
    def height(self) -> int:
        """Rows of the upright picture."""
        return self.spool.shape[self.orientation >= _LYING]

    @property
    def width(self) -> int:
        """Columns of the upright picture."""
        return self.spool.shape[self.orientation < _LYING]

    @property
    def resident(self) -> int:
        """Nothing: it is on disk."""
        return 0

    def samples(self, rows: slice, columns: slice) -> NDArray[Any]:
        """(h, w, bands) of the upright picture, as they are kept."""
        if self.orientation in _UPSIDE_DOWN:
            rows = slice(self.height - rows.stop, self.height - rows.start)
        if self.orientation in _MIRRORED:
            columns = slice(self.width - columns.stop, self.width - columns.start)
        if self.orientation >= _LYING:
            rows, columns = columns, rows
        return turned(self.spool.read(rows, columns), self.orientation)

    def read(self, rows: slice, columns: slice) -> Tensor:
        """As ``Canvas.read``."""
        values = self.samples(rows, columns)
        values = values[..., :3] if values.shape[2] >= 3 else np.repeat(values[..., :1], 3, axis=2)
        return as_tensor(values)

    def blank(self) -> SpoolSheet:
        """As ``Canvas.blank``; raises ``ImageError`` where no disk has room for it."""
        return SpoolSheet(Spool(self.height, self.width, 3, self.spool.dtype))

    def write(self, top: int, strip: Tensor) -> None:
        """As ``Sheet.write``, of an upright sheet."""
        with torch.inference_mode():
            values = (as_deep_pixels if self.spool.dtype == np.uint16 else as_pixels)(strip[None])
        self.spool.write(top, values)
