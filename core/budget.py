"""How large a tile may be: what networks take for one, and what is left for them.

What a network takes is found by running it on two small images and watching which tensors live at the same time.
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .canvas import Canvas
from .contracts import SizeRequirement
from .errors import MemoryLimitError
from .tiles import WRITTEN, TilePlan, plan

if TYPE_CHECKING:
    from .mixture import Expert

ALLOWANCE = 480 * 2**20
"""Bytes that a picture takes beside what the process holds, where no limit is given: with that a photo of 12 megapixels
stays under 1 GB in all."""
OVERLAP = 224
"""Pixels that tiles share where nothing is said: the embedded experts look that far (docs/large-photos.md)."""
SIDES = (1024, 896, 768, 672, 512, 448, 384, 320, 256, 192, 128)
"""Sides of tiles that are tried, largest first: beyond it nothing gets faster."""
THRIFTY = 672
"""Side down to which tiles get smaller only to save memory; where even these do not fit, they get half of what is free.
Smaller ones share less than ``OVERLAP``."""
WHOLE = 1200 * 1200
"""Pixels of a picture that goes in one piece where the memory allows it."""
SMALL = 512 * 512
"""Pixels of a picture that goes in one piece without being asked about, where no limit is given."""
_RUNTIME = 1.4  # what runtimes take of what lives at once: OpenVINO 1.35, PyTorch 1.0 on the embedded experts
_GROUPS = ("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
_FLOAT, _MARGIN = 4, 64 * 2**20


def held() -> int:
    """Bytes of memory that the process has."""
    import psutil

    return int(psutil.Process().memory_info().rss)


_KEEPERS: list[Callable[[], None]] = []


def keeps(give_back: Callable[[], None]) -> None:
    """Have ``give_back`` called before memory is counted: what a runtime holds for later is not in use."""
    _KEEPERS.append(give_back)


def trim() -> None:
    """Give memory that is free, but kept for later, back to the system, where that can be asked for (glibc)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def available() -> int:
    """Bytes that the machine, a container around the process and its own limits still give it."""
    import psutil

    return max(0, min(int(psutil.virtual_memory().available), _in_container(), _in_limits()))


def _in_container(root: Path = Path("/sys/fs/cgroup")) -> int:
    for limit, usage in _GROUPS:
        try:
            return int((root / limit).read_text()) - int((root / usage).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return sys.maxsize


def _in_limits() -> int:
    import psutil

    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit - int(psutil.Process().memory_info().vms)


@dataclass(frozen=True)
class Appetite:
    """What a network takes on an image: bytes at any size, and bytes a pixel."""

    fixed: int
    pixel: float

    def of(self, pixels: int) -> int:
        """Bytes for an image of so many pixels, with what it is made of and what comes out."""
        return int(_RUNTIME * (self.fixed + self.pixel * pixels)) + 2 * 3 * _FLOAT * pixels


_KNOWN: weakref.WeakKeyDictionary[nn.Module, Appetite] = weakref.WeakKeyDictionary()


def appetite(module: nn.Module, size: SizeRequirement) -> Appetite:
    """What ``module`` takes, measured on two images of 64 and 128 pixels a side, or what ``size`` asks for."""
    known = _KNOWN.get(module)
    if known is None:
        side = ceil(max(64, size.minimum) / size.multiple) * size.multiple
        small, large = (_alive(module, length) for length in (side, 2 * side))
        pixel = max(0.0, (large - small) / (3 * side * side))
        known = _KNOWN[module] = Appetite(max(0, int(small - pixel * side * side)), pixel)
    return known


def _alive(module: nn.Module, side: int) -> int:
    weights = next(module.parameters(), torch.empty(0))
    image = torch.zeros(1, 3, side, side, device=weights.device).contiguous(memory_format=torch.channels_last)
    watch = _Watch(module)
    with torch.no_grad(), watch:
        module(image)
    return watch.most


class _Watch(TorchFunctionMode):
    """Counts the bytes of tensors that are alive, but for those of the network itself."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.now = self.most = 0
        self._seen: dict[int, Any] = {
            tensor.untyped_storage()._cdata: None for tensor in (*module.parameters(), *module.buffers())
        }

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place not in self._seen:
            self._seen[place] = weakref.ref(storage, lambda _: self._remove(place, size))
            self.now += size
            self.most = max(self.most, self.now)

    def _remove(self, place: int, size: int) -> None:
        del self._seen[place]
        self.now -= size


def needs(canvas: Canvas, tiles: TilePlan, experts: Sequence[Expert]) -> int:
    """Bytes that it takes to run ``experts`` on ``tiles`` of ``canvas``, one after the other, with the result."""
    height, width = (max(span.stop - span.start for span in spans) for spans in (tiles.rows, tiles.columns))
    network = max(appetite(expert.module, expert.size).of(height * width) for expert in experts)
    blend = 3 * _FLOAT * height * width * (len(experts) > 1)
    strip = 3 * _FLOAT * canvas.width * (0 if tiles.count == 1 else height + 2 * OVERLAP)
    written = 3 * (2 * _FLOAT + 4) * canvas.width * min(WRITTEN, canvas.height)
    return network + blend + strip + written + canvas.resident


def check(canvas: Canvas, tiles: TilePlan, experts: Sequence[Expert]) -> None:
    """Raises ``MemoryLimitError`` where the system would not give what it takes to run ``experts`` on ``tiles``.

    Asked beforehand, because OpenVINO does not notice: where memory is refused it returns whatever was in it before.
    """
    if _refuses():
        try:
            np.empty(_MARGIN + 3 * needs(canvas, tiles, experts) // 2, np.uint8)
        except MemoryError as error:
            said = f"tiles of {tiles.longest} pixels do not fit into the memory that is free"
            raise MemoryLimitError(f"{said}; close other programs, or use a machine with more") from error


def _refuses() -> bool:
    """Whether the system refuses memory that it does not have; most promise it and find out later."""
    if _in_limits() < sys.maxsize or os.name == "nt":
        return True
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2"
    except OSError:
        return False


def side_for(
    canvas: Canvas, experts: Sequence[Expert], size: SizeRequirement, overlap: int | None, max_memory: int | None
) -> int:
    """The side of the tiles for ``canvas``, 0 where it goes in one piece.

    ``experts`` run on the same tiles, which ``size`` suits. Raises ``MemoryLimitError`` where not even the smallest
    tiles fit.
    """
    whole = canvas.height * canvas.width
    if max_memory is None and whole <= SMALL:
        return 0
    if max_memory is not None:
        for give_back in _KEEPERS:
            give_back()
    free = available() // 2 if max_memory is None else min(max_memory - held(), available())
    thrifty = min(free, ALLOWANCE) if max_memory is None else free
    sides = [side for side in SIDES if side >= max(size.minimum, 3 * (overlap or 0))] or [max(SIDES[-1], size.minimum)]
    if whole <= WHOLE and needs(canvas, _planned(canvas, size, 0, overlap), experts) <= thrifty:
        return 0
    for side in sides:
        least = needs(canvas, _planned(canvas, size, side, overlap), experts)
        if least <= (thrifty if side > THRIFTY else free):
            return side
    raise MemoryLimitError(_too_little(canvas, sides[-1], least - free, max_memory))


def _planned(canvas: Canvas, size: SizeRequirement, side: int, overlap: int | None) -> TilePlan:
    return plan(canvas.height, canvas.width, size, side or None, overlap_of(side, overlap))


def overlap_of(side: int, overlap: int | None) -> int:
    """What tiles of ``side`` share: ``overlap`` where it is given, else as much as is good for a third of them."""
    return overlap if overlap is not None else min(OVERLAP, side // 3)


def _too_little(canvas: Canvas, side: int, missing: int, max_memory: int | None) -> str:
    what = f"{canvas.width} x {canvas.height} pixels do not fit into memory, not even in tiles of {side}"
    if max_memory is None:
        return f"{what}: {text(missing)} too little is free; close other programs, or use a machine with more"
    return f"{what}: the limit is {text(max_memory)}, wanted {text(max_memory + missing)}; raise --max-memory"


def text(size: int) -> str:
    """For example ``812 MB`` or ``1.3 GB``, rounded up."""
    return f"{ceil(size / 1e6)} MB" if size < 1e9 else f"{ceil(size / 1e8) / 10:.1f} GB"
