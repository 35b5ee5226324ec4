"""Experts over a picture, in tiles as large as memory allows, and in smaller ones where it runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .. import budget, tiles
from ..canvas import Canvas
from ..contracts import SizeRequirement
from ..errors import MemoryLimitError
from ..tiles import Seams, TilePlan
from ..treatment import Treatment
from .blending import Blend
from .result import Tiling

if TYPE_CHECKING:
    from ..mixture import Expert

SMALLEST = 64
"""Side in pixels of tiles that are not made smaller, however little memory there is."""
_SEEN, _SEEN_AT_ALL = 1 / 255, 4 / 255  # what the borders of tiles may cost in the mean and at most unsaid


def run_expert(canvas: Canvas, expert: Expert, treatment: Treatment) -> tuple[Canvas, Tiling]:
    """What ``expert`` makes of ``canvas``, and the tiles it ran on.

    Raises ``MemoryLimitError`` where even the smallest tiles do not fit.
    """

    def run(plan: TilePlan, seams: Seams) -> Canvas:
        def work(rows: slice, columns: slice) -> Tensor:
            return tiles.piece(canvas.read(rows, columns), expert.network, expert.size)

        return tiles.run_plan(canvas, plan, work, seams)

    experts = expert.module.experts if isinstance(expert.module, Blend) else (expert,)
    side = treatment.tile
    if side is None:
        side = budget.side_for(canvas, experts, expert.size, treatment.overlap, treatment.max_memory)
    return in_tiles(canvas, experts, expert.size, side, treatment.overlap, run)


def in_tiles(
    canvas: Canvas,
    experts: Sequence[Expert],
    size: SizeRequirement,
    side: int,
    overlap: int | None,
    run: Callable[[TilePlan, Seams], Canvas],
) -> tuple[Canvas, Tiling]:
    """What ``run`` makes of ``canvas`` with ``experts`` in tiles of ``side`` pixels, which ``size`` suits.

    0: in one piece. Where memory runs out, in tiles half as large, and so on; raises ``MemoryLimitError`` where even
    the smallest do not fit.
    """
    shared, note, before = budget.overlap_of(side, overlap), "", sys.maxsize
    while True:
        plan, seams = tiles.plan(canvas.height, canvas.width, size, side or None, shared), Seams()
        try:
            budget.check(canvas, plan, experts)
            made = run(plan, seams)
        except MemoryLimitError:
            side = plan.longest // 2
            if side < max(SMALLEST, size.minimum) or plan.longest >= before:
                raise
            shared, before = min(budget.overlap_of(side, overlap), side // 3), plan.longest
            note = f"memory ran out on {before} pixels at once, so it was done in tiles of {side}"
        else:
            said = (note, _seen(seams, shared), *(expert.note for expert in experts))
            notes = [part for part in dict.fromkeys(said) if part]
            return made, Tiling(side, shared, plan.count, seams.mean, seams.worst, "; ".join(notes))


def _seen(seams: Seams, shared: int) -> str:
    """What to say of seams that may be seen."""
    if seams.mean <= _SEEN and seams.worst <= _SEEN_AT_ALL:
        return ""
    return (
        f"where tiles meet they are up to {255 * seams.worst:.0f} of 255 apart: the expert looks further than the "
        f"{shared} pixels that they share; look for seams, and give it more memory (--max-memory) or --tile 0"
    )
