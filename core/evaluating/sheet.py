"""The contact sheet: of each part the image of median gain and the worst, what went in, what came out, how far off.

Which images these are is known when all are measured; then they are read and restored once more. So nothing has to be
kept meanwhile, and a run that was interrupted has the same sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..files import atomic
from .report import Report, Row

if TYPE_CHECKING:
    from .opening import Entry
    from .peers import Peer, Pixels

SIDE = 256
"""Pixels of a crop, at native resolution; smaller images are shown whole."""
GAIN = 4
"""The error is shown this many times as bright as it is."""
ROWS = 8
"""Images on a page."""
AUTO, INPUT, ORACLE = "auto", "input", "oracle"
"""The peer that is shown, and those that are not where there is another."""
Why = Literal["median", "worst", "first"]
_COLUMNS = ("input", "output", "ground truth", f"error, x {GAIN}")
_MARGIN, _GAP, _CAPTION, _HEAD, _TEXT = 14, 8, 46, 44, 14
_INK, _FAINT, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)
_COLOURS = "inferno"
_NAMES = {"median": "the median", "worst": "the worst", "first": "the first"}


@dataclass(frozen=True)
class Pick:
    """An image for the sheet: the row of the peer that is shown, PSNR in dB of the input if measured, and its place.

    after: PSNR in dB of the output, None where nobody knows the truth: of such parts the first image is taken.
    """

    row: Row
    before: float | None
    after: float | None
    why: Why

    @property
    def gain(self) -> float:
        """In dB; PSNR itself where that of the input is not known."""
        return (self.after or 0.0) - (self.before or 0.0)


@dataclass(frozen=True, eq=False)
class Shown:
    """A picked image: crops (h, w, 3) uint8 whose top left corner is at ``corner`` (y, x) of ``size`` (H, W)."""

    pick: Pick
    corner: tuple[int, int]
    size: tuple[int, int]
    damaged: Pixels
    output: Pixels
    truth: Pixels | None


def picks(report: Report) -> tuple[Pick, ...]:
    """Of each part the image with the median gain of auto mode, and the worst: by PSNR of the first convention.

    Without auto mode, of the first peer that is neither the input nor the oracle.
    """
    usable = [name for name in report.peers if name not in (INPUT, ORACLE)]
    peer = AUTO if AUTO in usable else (usable or report.peers)[0]
    key = f"{report.suite.conventions[0]}.psnr"
    before = {(row.part, row.image): row.scores.get(key) for row in report.rows if row.peer == INPUT}
    found: list[Pick] = []
    for part in dict.fromkeys(row.part for row in report.rows):
        rows = [row for row in report.rows if row.part == part and row.peer == peer]
        inside = [Pick(row, before.get((part, row.image)), row.scores.get(key), "first") for row in rows]
        found += _typical_and_worst(inside)
    return tuple(found)


def _typical_and_worst(inside: Sequence[Pick]) -> list[Pick]:
    known = [pick for pick in inside if pick.after is not None]
    if not known:
        return list(inside[:1])
    middle = median(pick.gain for pick in known)
    typical = min(known, key=lambda pick: abs(pick.gain - middle))
    worst = min(known, key=lambda pick: pick.gain)
    chosen = [replace(typical, why="median")]
    return chosen if worst is typical else [*chosen, replace(worst, why="worst")]


def restored_again(chosen: Sequence[Pick], entries: Iterable[Entry], peers: Sequence[Peer]) -> Iterator[Shown]:
    """The picked images with what their peer makes of them, in the order of ``chosen``; one is in memory at a time.

    The middle is cut out of a median image, and of a worst one where its error is largest.
    """
    found = {(entry.part, entry.image): entry for entry in entries}
    named = {peer.name: peer for peer in peers}
    for pick in chosen:
        case = found[pick.row.part, pick.row.image].read()
        output = named[pick.row.peer].restore(case).pixels
        size = case.damaged.shape[0], case.damaged.shape[1]
        corner = max(0, (size[0] - SIDE) // 2), max(0, (size[1] - SIDE) // 2)
        if pick.why == "worst" and case.truth is not None:
            corner = _farthest(output, case.truth)
        truth = None if case.truth is None else _crop(case.truth, corner)
        yield Shown(pick, corner, size, _crop(case.damaged, corner), _crop(output, corner), truth)


def _farthest(output: Pixels, truth: Pixels) -> tuple[int, int]:
    """Corner (y, x) of the crop whose summed absolute error is largest."""
    error = np.abs(output.astype(np.int64) - truth).sum(axis=2)
    sums = np.pad(error.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    high, wide = (min(SIDE, length) for length in error.shape)
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(y), int(x)


def _crop(pixels: Pixels, corner: tuple[int, int]) -> Pixels:
    y, x = corner
    return pixels[y : y + SIDE, x : x + SIDE].copy()


def draw_sheet(images: Iterable[Shown], folder: Path) -> tuple[Path, ...]:
    """Write ``sheet.png``, or ``sheet-1.png`` and so on where it takes several pages, into ``folder``."""
    every = list(images)
    pages = [every[start : start + ROWS] for start in range(0, len(every), ROWS)]
    paths = []
    for number, page in enumerate(pages, 1):
        paths.append(folder / ("sheet.png" if len(pages) == 1 else f"sheet-{number}.png"))
        with atomic(paths[-1]) as file:
            _page(page).save(file, format="PNG")
    return tuple(paths)


def _page(page: Sequence[Shown]) -> Image.Image:
    heights = [_CAPTION + len(shown.damaged) + _GAP for shown in page]
    width = 2 * _MARGIN + len(_COLUMNS) * (SIDE + _GAP) - _GAP
    image = Image.new("RGB", (width, _HEAD + sum(heights) + _MARGIN), _PAPER)
    pen = _Pen(ImageDraw.Draw(image))
    for number, title in enumerate(_COLUMNS[:-1]):
        pen.write(title, _left(number), _MARGIN, SIDE)
    _scale(image, pen)
    top = _HEAD
    for shown, height in zip(page, heights, strict=True):
        _line(image, pen, shown, top)
        top += height
    return image


def _line(image: Image.Image, pen: _Pen, shown: Shown, top: int) -> None:
    """The caption of ``shown``, two lines of text, and below it the four crops."""
    width = len(_COLUMNS) * (SIDE + _GAP) - _GAP
    pen.write(f"{shown.pick.row.part}, {shown.pick.row.image}: {_outcome(shown.pick)}", _left(0), top + 4, width)
    pen.write(_where(shown), _left(0), top + 23, width, _FAINT)
    top += _CAPTION
    crops = [shown.damaged, shown.output]
    if shown.truth is not None:
        crops += [shown.truth, error_map(shown.output, shown.truth)]
    else:
        pen.write("nobody knows the truth", _left(2), top, SIDE, _FAINT)
    for number, crop in enumerate(crops):
        image.paste(Image.fromarray(crop), (_left(number), top))


def error_map(output: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean absolute difference over the channels, times ``GAIN``, in colours: (h, w, 3) uint8."""
    error = np.abs(output.astype(np.float32) - truth).mean(axis=2)
    return _coloured(np.minimum(error * GAIN / 255, 1))


def _coloured(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values in [0, 1] of any shape (...) to colours (..., 3) uint8."""
    from matplotlib import colormaps

    colours: NDArray[np.uint8] = colormaps[_COLOURS](values, bytes=True)[..., :3]
    return np.ascontiguousarray(colours)


def _scale(image: Image.Image, pen: _Pen) -> None:
    """The title of the last column, and a bar of its colours with the differences that they stand for."""
    left, long = _left(len(_COLUMNS) - 1), 110
    pen.write(_COLUMNS[-1], left, _MARGIN, SIDE)
    ramp = _coloured(np.tile(np.linspace(0, 1, long), (12, 1)))
    start = left + SIDE - long - 34
    pen.write("0", start - 14, _MARGIN, SIDE)
    image.paste(Image.fromarray(ramp), (start, _MARGIN + 3))
    pen.write(f"{255 / GAIN:.0f}+", start + long + 6, _MARGIN, SIDE)


def _left(column: int) -> int:
    return _MARGIN + column * (SIDE + _GAP)


def _outcome(pick: Pick) -> str:
    """For example ``auto 21.40 -> 29.53 dB (+8.13, the median), expert rain/heavy``, with a real arrow."""
    node = "" if pick.row.node is None else f", expert {pick.row.node}"
    if pick.after is None:
        return f"{pick.row.peer}{node}"
    if pick.before is None:
        return f"{pick.row.peer} {pick.after:.2f} dB ({_NAMES[pick.why]}){node}"
    psnr = f"{pick.before:.2f} \N{RIGHTWARDS ARROW} {pick.after:.2f} dB"
    return f"{pick.row.peer} {psnr} ({pick.gain:+.2f}, {_NAMES[pick.why]}){node}"


def _where(shown: Shown) -> str:
    """Which part of the image is seen."""
    (height, width), (y, x), crop = shown.size, shown.corner, shown.damaged.shape
    if crop[:2] == shown.size:
        return f"whole image, {width} x {height} pixels"
    at = "where its error is largest" if shown.pick.why == "worst" else "its middle"
    return f"{crop[1]} x {crop[0]} of {width} x {height} pixels, not resized, from ({x}, {y}): {at}"


class _Pen:
    """Writes text that ends in dots where it would be too wide."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        from matplotlib import get_data_path

        self._draw = draw
        self._font = ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), _TEXT)

    def write(self, text: str, x: int, y: int, width: int, colour: tuple[int, int, int] = _INK) -> None:
        """``text`` from (x, y) down, at most ``width`` pixels wide."""
        whole = text
        while text and self._draw.textlength(text, font=self._font) > width:
            whole = whole[:-1]
            text = f"{whole}\N{HORIZONTAL ELLIPSIS}"
        self._draw.text((x, y), text, fill=colour, font=self._font)
