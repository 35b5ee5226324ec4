"""Large images in tiles with feathered seams; memory grows with the width of the image, not with its area.

Along each axis the fewest tiles of at most ``tile`` pixels that share at least ``overlap`` are spread, all of one size
and no larger than it takes. They are blended over a band in the middle of what they share, 32 pixels or half of it; the
rest on either side is context only, so a network that looks no further than that gives the same result tiled and whole.
The weights of a row and of a column are multiples of 1/1024 and sum to exactly 1: nothing is divided afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .canvas import Canvas, Pixels, PixelSheet, Sheet, TensorSheet
from .contracts import Network, SizeRequirement
from .errors import ConfigError, MemoryLimitError, ShapeError

P = TypeVar("P", bound=Pixels)
Work = Callable[[slice, slice], Tensor]
"""(rows, columns) of a tile -> what becomes of it, (3, h, w) float."""
BAND = 32
"""Pixels over which neighbouring tiles are blended, where they share twice as many: the more context, the better."""
_STEPS = 1024  # weights are multiples of 1/1024: exact in float32, and so is the sum of two
WRITTEN = 128
"""Rows of a strip that are written at a time, because rounding copies what it rounds."""
_RAN_OUT = ("alloc", "out of memory", "not enough memory", "memory object")


@dataclass(frozen=True)
class Span:
    """A tile along one axis: it reads ``start:stop`` and adds to ``low:high`` with ``weight`` (high - low,)."""

    start: int
    stop: int
    low: int
    high: int
    weight: Tensor


def spans(length: int, tile: int | None, overlap: int, multiple: int = 1, minimum: int = 1) -> tuple[Span, ...]:
    """The tiles along an axis of ``length`` pixels; one span where it fits in a tile or ``tile`` is None.

    Tiles start at multiples of ``multiple``, because a network with strides gives another result on a shifted image;
    ``tile`` and ``overlap`` are rounded up to it, and the last tile may have to be padded. No tile of several is
    smaller than ``minimum``. Raises ``ConfigError`` unless 0 <= overlap <= tile / 3 and tile >= 1.
    """
    if tile is not None and (tile < 1 or not 0 <= 3 * overlap <= tile):
        raise ConfigError(f"tile {tile} with overlap {overlap}: wanted tile >= 1 and 0 <= overlap <= tile / 3")
    whole, shared = _units(length, multiple), _units(overlap, multiple)  # from here on in units of ``multiple``
    side = whole if tile is None else max(_units(max(tile, minimum), multiple), 3 * shared)
    if whole <= side:
        return (Span(0, length, 0, length, torch.ones(length)),)
    count = -(-(whole - shared) // (side - shared))
    side = max(-(-(whole + (count - 1) * shared) // count), _units(minimum, multiple))
    starts = [index * (whole - side) // (count - 1) * multiple for index in range(count)]
    return _spans(starts, side * multiple, min(overlap // 2, BAND), length)


def _units(pixels: int, multiple: int) -> int:
    return -(-pixels // multiple)


def _spans(starts: list[int], tile: int, band: int, length: int) -> tuple[Span, ...]:
    """Tiles at ``starts``, blended over ``band`` pixels in the middle of what neighbours share."""
    seams = [(left + tile + right) // 2 - band // 2 for left, right in pairwise(starts)]
    edges = zip(starts, (None, *seams), (*seams, None), strict=True)
    return tuple(_span(start, min(start + tile, length), before, after, band) for start, before, after in edges)


def _span(start: int, stop: int, before: int | None, after: int | None, band: int) -> Span:
    """The tile ``start:stop`` that fades in over ``band`` pixels from ``before`` and out from ``after``."""
    low = start if before is None else before
    high = stop if after is None else after + band
    weight = torch.ones(high - low)
    ramp = _ramp(band)
    if before is not None:
        weight[:band] = ramp
    if after is not None and band:
        weight[-band:] = 1 - ramp
    return Span(start, stop, low, high, weight)


def _ramp(band: int) -> Tensor:
    """(band,) rising weights strictly between 0 and 1, multiples of 1/1024."""
    return ((torch.arange(band) + 0.5) / max(band, 1) * _STEPS).round() / _STEPS


@dataclass(frozen=True)
class TilePlan:
    """The tiles of one image: every row span with every column span."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)

    @property
    def longest(self) -> int:
        """The longer side of the largest tile."""
        return max(span.stop - span.start for span in (*self.rows, *self.columns))


def plan(height: int, width: int, size: SizeRequirement, tile: int | None = 512, overlap: int = 64) -> TilePlan:
    """Tiles for an image of ``height`` x ``width`` pixels; ``tile`` None means in one piece. Raises ``ConfigError``."""
    rows, columns = (spans(length, tile, overlap, size.multiple, size.minimum) for length in (height, width))
    return TilePlan(rows, columns)


@dataclass
class Seams:
    """What blending had to hide, in [0, 1]: how far two tiles are apart, times the weight of the one that counts less.

    About how far the result is from that of a network that sees all of the picture; 0 for one that looks no further
    than the context that tiles share.
    """

    total: float = 0.0
    count: int = 0
    worst: float = 0.0

    def add(self, one: Tensor, other: Tensor, weight: Tensor) -> None:
        """What two tiles make of the same pixels, (3, h, w) each, and the weight of the second, (w,) or (h, 1)."""
        if one.numel():
            apart = (one.clamp(0, 1) - other.clamp(0, 1)).abs_().mul_(torch.minimum(weight, 1 - weight))
            self.total += float(apart.sum())
            self.count += apart.numel()
            self.worst = max(self.worst, float(apart.max()))

    @property
    def mean(self) -> float:
        """Over everything that was blended; 0 where nothing was."""
        return self.total / max(self.count, 1)


def run(
    canvas: Canvas,
    net: Network,
    size: SizeRequirement,
    tile: int | None = 512,
    overlap: int = 64,
    seams: Seams | None = None,
) -> Sheet:
    """``net`` over ``canvas``, any height and width, onto a new sheet, whose kind of pixels is that of ``canvas``.

    Padded (mirrored, or the edge repeated where too small to mirror) to what ``size`` asks for, and cropped back.
    ``seams`` is told of every seam. Raises ``ShapeError`` where ``net`` returns another shape or values that are not
    finite, ``MemoryLimitError`` where a tile is too large.
    """
    tiles = plan(canvas.height, canvas.width, size, tile, overlap)
    return run_plan(canvas, tiles, lambda rows, columns: piece(canvas.read(rows, columns), net, size), seams)


def run_plan(canvas: Canvas, tiles: TilePlan, work: Work, seams: Seams | None = None) -> Sheet:
    """What ``work`` makes of every tile, blended, onto a new sheet of the kind of ``canvas``.

    Raises ``MemoryLimitError`` where a tile is too large.
    """
    try:
        sheet = canvas.blank()
        with torch.inference_mode():
            for top, strip in strips(tiles, work, seams):
                for at in range(0, strip.shape[1], WRITTEN):
                    sheet.write(top + at, strip[:, at : at + WRITTEN])
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise MemoryLimitError(f"out of memory on tiles of {tiles.longest} pixels; use smaller ones") from None
    return sheet


def run_tiled(image: Tensor, net: Network, size: SizeRequirement, tile: int | None = 512, overlap: int = 64) -> Tensor:
    """As ``run``, from (1, 3, H, W) float in [0, 1] to the same shape, float32, clamped to [0, 1]."""
    return cast(TensorSheet, run(TensorSheet(image), net, size, tile, overlap)).image


def run_pixels(pixels: P, net: Network, size: SizeRequirement, tile: int | None = 512, overlap: int = 64) -> P:
    """As ``run``, from (H, W, 3) uint8 or uint16 to the same, holding no whole image in float."""
    return cast(P, cast(PixelSheet, run(PixelSheet(pixels), net, size, tile, overlap)).pixels)


def strips(tiles: TilePlan, work: Work, seams: Seams | None = None) -> Iterator[tuple[int, Tensor]]:
    """(top, finished rows (3, h, W)) from top to bottom; keeps one row of tiles and one seam in memory."""
    if tiles.count == 1:
        yield 0, work(slice(0, tiles.rows[0].stop), slice(0, tiles.columns[0].stop))
        return
    seams = Seams() if seams is None else seams
    above = torch.zeros(3, 0, tiles.columns[-1].high)
    for row, below in zip(tiles.rows, (*tiles.rows[1:], None), strict=True):
        strip = _row_of_tiles(row, tiles.columns, work, seams)
        band = above.shape[1]
        weight = row.weight[:band, None]
        seams.add(above, strip[:, :band], weight)
        strip[:, :band] = above.lerp_(strip[:, :band], weight)
        finished = (row.high if below is None else below.low) - row.low
        yield row.low, strip[:, :finished]
        above = strip[:, finished:].clone()


def _row_of_tiles(row: Span, columns: tuple[Span, ...], work: Work, seams: Seams) -> Tensor:
    """(3, high - low, W): a row of tiles, blended with each other."""
    strip = torch.zeros(3, row.high - row.low, columns[-1].high)
    done = 0
    for column in columns:
        made = work(slice(row.start, row.stop), slice(column.start, column.stop))
        made = made[:, row.low - row.start : row.high - row.start, column.low - column.start :]
        made = made[:, :, : column.high - column.low]
        band = max(done - column.low, 0)
        weight = column.weight[:band]
        before = strip[:, :, column.low : column.low + band]
        seams.add(before, made[:, :, :band], weight)
        before.lerp_(made[:, :, :band], weight)
        strip[:, :, column.low + band : column.high] = made[:, :, band:]
        done = column.high
    return strip


def piece(image: Tensor, net: Network, size: SizeRequirement) -> Tensor:
    """``net`` on ``image`` (1, 3, h, w) padded right and below to ``size``, cropped back: (3, h, w) float32."""
    height, width = image.shape[2:]
    filled = _pad(_pad(image, 2, size), 3, size)
    output = net(filled)
    if output.shape != filled.shape:
        raise ShapeError(f"the network made {tuple(output.shape)} of {tuple(filled.shape)}, wanted the same shape")
    output = output[:, :, :height, :width].float().cpu()
    low, high = torch.aminmax(output)  # ten times as quick as to ask of every value whether it is finite
    if not bool(torch.isfinite(high - low)):
        raise ShapeError(f"the network made values that are not finite of a {height} x {width} tile; use another model")
    return output[0]


def ran_out(error: Exception) -> bool:
    """Whether ``error`` is one by which PyTorch, OpenVINO or Python say that there is no more memory."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _RAN_OUT)


def _pad(image: Tensor, axis: int, size: SizeRequirement) -> Tensor:
    length = image.shape[axis]
    missing = -(-max(length, size.minimum) // size.multiple) * size.multiple - length
    if not missing:
        return image
    sides = (0, 0, 0, missing) if axis == 2 else (0, missing, 0, 0)
    return F.pad(image, sides, mode="reflect" if missing < length else "replicate")
