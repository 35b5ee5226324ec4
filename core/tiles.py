"""Large images in tiles with feathered seams; memory grows with the width of the image, not with its area.

Along each axis equal tiles of ``tile`` pixels are spread so that neighbours share at least ``overlap`` pixels. They
are blended over a band of ``overlap // 2`` pixels in the middle of what they share; the quarter of the overlap on
either side is context only, so a network that looks no further than that gives the same result tiled and whole. The
weights of a row and of a column are multiples of 1/1024 and sum to exactly 1: nothing has to be divided afterwards.
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
_STEPS = 1024  # weights are multiples of 1/1024: exact in float32, and so is the sum of two


@dataclass(frozen=True)
class Span:
    """A tile along one axis: it reads ``start:stop`` and adds to ``low:high`` with ``weight`` (high - low,)."""

    start: int
    stop: int
    low: int
    high: int
    weight: Tensor


def spans(length: int, tile: int | None, overlap: int, multiple: int = 1) -> tuple[Span, ...]:
    """The tiles along an axis of ``length`` pixels; one span where it fits in a tile or ``tile`` is None.

    Tiles start at multiples of ``multiple``, because a network with strides gives another result on a shifted image;
    ``tile`` and ``overlap`` are rounded up to it, and the last tile may have to be padded.
    Raises ``ConfigError`` unless 0 <= overlap <= tile / 3 and tile >= 1.
    """
    if tile is not None and (tile < 1 or not 0 <= 3 * overlap <= tile):
        raise ConfigError(f"tile {tile} with overlap {overlap}: wanted tile >= 1 and 0 <= overlap <= tile / 3")
    whole, shared = _units(length, multiple), _units(overlap, multiple)  # from here on in units of ``multiple``
    side = whole if tile is None else max(_units(tile, multiple), 3 * shared)
    if whole <= side:
        return (Span(0, length, 0, length, torch.ones(length)),)
    count = -(-(whole - shared) // (side - shared))
    starts = [index * (whole - side) // (count - 1) * multiple for index in range(count)]
    return _spans(starts, side * multiple, overlap // 2, length)


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


def plan(height: int, width: int, size: SizeRequirement, tile: int | None = 512, overlap: int = 64) -> TilePlan:
    """Tiles for an image of ``height`` x ``width`` pixels; ``tile`` None means in one piece. Raises ``ConfigError``."""
    if tile is not None:
        tile = max(tile, size.minimum)
    return TilePlan(spans(height, tile, overlap, size.multiple), spans(width, tile, overlap, size.multiple))


def run(canvas: Canvas, net: Network, size: SizeRequirement, tile: int | None = 512, overlap: int = 64) -> Sheet:
    """``net`` over ``canvas``, any height and width, onto a new sheet, whose kind of pixels is that of ``canvas``.

    Padded (mirrored, or the edge repeated where too small to mirror) to what ``size`` asks for, and cropped back.
    Raises ``ShapeError`` where ``net`` returns another shape or values that are not finite.
    """
    sheet = canvas.blank()
    with torch.inference_mode():
        for top, strip in strips(plan(canvas.height, canvas.width, size, tile, overlap), canvas.read, net, size):
            sheet.write(top, strip)
    return sheet


def run_tiled(image: Tensor, net: Network, size: SizeRequirement, tile: int | None = 512, overlap: int = 64) -> Tensor:
    """As ``run``, from (1, 3, H, W) float in [0, 1] to the same shape, float32, clamped to [0, 1]."""
    return cast(TensorSheet, run(TensorSheet(image), net, size, tile, overlap)).image


def run_pixels(pixels: P, net: Network, size: SizeRequirement, tile: int | None = 512, overlap: int = 64) -> P:
    """As ``run``, from (H, W, 3) uint8 or uint16 to the same, holding no whole image in float."""
    return cast(P, cast(PixelSheet, run(PixelSheet(pixels), net, size, tile, overlap)).pixels)


def strips(
    tiles: TilePlan, read: Callable[[slice, slice], Tensor], net: Network, size: SizeRequirement
) -> Iterator[tuple[int, Tensor]]:
    """(top, finished rows (3, h, W)) from top to bottom; keeps one row of tiles and one seam in memory."""
    seam = torch.zeros(3, 0, tiles.columns[-1].high)
    for row, below in zip(tiles.rows, (*tiles.rows[1:], None), strict=True):
        strip = torch.zeros(3, row.high - row.low, tiles.columns[-1].high)
        for column in tiles.columns:
            piece = _padded(read(slice(row.start, row.stop), slice(column.start, column.stop)), net, size)[0]
            piece = piece[:, row.low - row.start : row.high - row.start, column.low - column.start :]
            strip[:, :, column.low : column.high] += piece[:, :, : column.high - column.low] * column.weight
        strip *= row.weight[:, None]
        strip[:, : seam.shape[1]] += seam
        finished = (row.high if below is None else below.low) - row.low
        yield row.low, strip[:, :finished]
        seam = strip[:, finished:].clone()


def _padded(image: Tensor, net: Network, size: SizeRequirement) -> Tensor:
    """``net`` on ``image`` (1, 3, h, w) padded right and below to ``size``, cropped back."""
    height, width = image.shape[2:]
    filled = _pad(_pad(image, 2, size), 3, size).contiguous(memory_format=torch.channels_last)
    try:
        output = net(filled)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        raise MemoryLimitError(f"out of memory on a tile of {height} x {width} pixels; use smaller tiles") from None
    if output.shape != filled.shape:
        raise ShapeError(f"the network made {tuple(output.shape)} of {tuple(filled.shape)}, wanted the same shape")
    output = output[:, :, :height, :width].float().cpu()
    if not bool(torch.isfinite(output).all()):
        raise ShapeError(f"the network made values that are not finite of a {height} x {width} tile; use another model")
    return output


def _pad(image: Tensor, axis: int, size: SizeRequirement) -> Tensor:
    length = image.shape[axis]
    missing = -(-max(length, size.minimum) // size.multiple) * size.multiple - length
    if not missing:
        return image
    sides = (0, 0, 0, missing) if axis == 2 else (0, missing, 0, 0)
    return F.pad(image, sides, mode="reflect" if missing < length else "replicate")
