"""One expert over one picture, in tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import tiles
from ..canvas import Canvas
from ..treatment import Treatment
from .result import Tiling

if TYPE_CHECKING:
    from ..mixture import Expert

TILE = 512
"""Side in pixels of a tile where nothing else is asked for."""


def run_expert(canvas: Canvas, expert: Expert, treatment: Treatment) -> tuple[Canvas, Tiling]:
    """What ``expert`` makes of ``canvas``, and the tiles it ran on."""
    side = TILE if treatment.tile is None else treatment.tile
    sheet = tiles.run(canvas, expert.network, expert.size, side or None, treatment.overlap)
    count = tiles.plan(canvas.height, canvas.width, expert.size, side or None, treatment.overlap).count
    return sheet, Tiling(side, treatment.overlap, count)
