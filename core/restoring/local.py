"""Damage that varies over a picture: an estimate for each part of it, and each part by its own expert.

The probabilities of neighbouring parts are averaged before a node is chosen for each, so that few parts stand alone.
Where two experts meet, they are blended as tiles are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import lcm
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .. import budget, tiles
from ..canvas import Canvas
from ..contracts import SizeRequirement
from ..errors import ShapeError
from ..tiles import Seams, TilePlan
from ..treatment import Treatment
from .guards import UNHARMED, harm
from .meters import measure
from .result import Step, Tiling
from .running import in_tiles
from .trying import Tried, tried

if TYPE_CHECKING:
    from ..mixture import Estimate, Expert
    from .restorer import Router

CELL = 512
"""Side in pixels, about, of the parts that have an estimate of their own: what the estimate of a whole picture sees."""
LEAST = 64
"""Side in pixels below which a part says too little of its damage."""
_KEPT = -1  # stands for every node whose expert is the identity


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells, n x m. estimates: theirs, row by row. nodes: (n, m), what was chosen, -1 where a cell stays as it is."""

    estimates: tuple[Estimate, ...]
    nodes: NDArray[np.int64]

    @property
    def chosen(self) -> list[int]:
        """The nodes, row by row."""
        found: list[int] = self.nodes.ravel().tolist()
        return found

    def at(self, row: float, column: float) -> int:
        """The node of the cell at that share of height and width, each in [0, 1)."""
        rows, columns = self.nodes.shape
        return int(self.nodes[int(row * rows), int(column * columns)])

    def typical(self, node: int) -> Estimate:
        """The estimate of a cell that ``node`` was chosen for, and was before its neighbours were asked, if any."""
        cells = [one for one, chosen in zip(self.estimates, self.chosen, strict=True) if chosen == node]
        return next((estimate for estimate in cells if estimate.node == node), cells[0])


def run_local(router: Router, canvas: Canvas, allowed: NDArray[np.bool_] | None, treatment: Treatment) -> Tried:
    """``canvas`` with each part restored by the expert of its own estimate, among ``allowed`` nodes.

    Where all parts lead to one node, as ``tried``.
    """
    start = perf_counter()
    grid = survey(router, canvas, allowed, treatment)
    routed = perf_counter() - start
    counts = Counter(grid.chosen).most_common()
    if len(counts) == 1:
        return tried(router, canvas, grid.typical(counts[0][0]), allowed, treatment, routed)
    experts = {node: router.expert(node) for node, _ in counts if node != _KEPT}
    names = {node: expert.name for node, expert in experts.items()}
    result, tiling, reason = canvas, None, ""
    try:
        result, tiling = _run(canvas, grid, experts, treatment)
    except ShapeError as error:  # no image at all, or values that are not finite
        if not treatment.guards:
            raise
        reason = str(error)
    meters = measure(canvas, result) if treatment.guards and not reason else {}
    reason = reason or harm(meters)
    step = Step(
        estimate=grid.typical(next(iter(experts))),
        experts=tuple(names.values()),
        seconds={"route": routed, "expert": perf_counter() - start - routed},
        tiling=tiling,
        outcome="undone" if reason else "kept",
        reason=reason,
        meters=meters,
        shares={names.get(node, "unchanged"): count / grid.nodes.size for node, count in counts},
    )
    return Tried(canvas if reason else result, (step,))


def survey(router: Router, canvas: Canvas, allowed: NDArray[np.bool_] | None, treatment: Treatment) -> Grid:
    """An estimate for each cell, and the nodes that they lead to when their neighbours are asked, too."""
    side = min(CELL, max(LEAST, treatment.tile or CELL))
    rows, columns = (_cut(length, side) for length in (canvas.height, canvas.width))
    found = tuple(router.estimate(canvas.read(row, column), allowed) for row in rows for column in columns)
    guarded = treatment.guards and allowed is None
    shares = [_shares(estimate, router, guarded) for estimate in found]
    nodes = sorted({node for part in shares for node in part})
    mass = np.array([[part.get(node, 0.0) for node in nodes] for part in shares])
    chosen = np.array(nodes)[smoothed(mass.reshape(len(rows), len(columns), len(nodes))).argmax(axis=2)]
    return Grid(found, chosen.astype(np.int64))


def smoothed(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m, M): each cell averaged with its neighbours along both axes, itself again beyond the border."""
    for axis in (0, 1):
        wide = np.pad(mass, [(1, 1) if axis == other else (0, 0) for other in range(3)], mode="edge")
        before, after = (wide.take(range(shift, shift + mass.shape[axis]), axis=axis) for shift in (0, 2))
        mass = mass / 2 + (before + after) / 4
    return mass


def _cut(length: int, side: int) -> list[slice]:
    count = max(1, round(length / side))
    return [slice(index * length // count, (index + 1) * length // count) for index in range(count)]


def _shares(estimate: Estimate, router: Router, guarded: bool) -> dict[int, float]:
    """The probability of each node, all identities as one; the chosen node is the likeliest."""
    if guarded and estimate.undamaged >= UNHARMED:
        return {_KEPT: 1.0}
    numbers = {branch.name: branch.node for branch in estimate.tree}
    others = [(numbers[name], share) for name, share in estimate.alternatives if name in numbers]
    most = max((share for _, share in others), default=0.0)
    found: dict[int, float] = {}
    for node, share in [(estimate.node, max(most, 1 - sum(share for _, share in others))), *others]:
        place = _KEPT if router.expert(node).identity else node
        found[place] = found.get(place, 0.0) + share
    return found


def _run(canvas: Canvas, grid: Grid, experts: dict[int, Expert], treatment: Treatment) -> tuple[Canvas, Tiling]:
    """What ``experts`` make of their parts."""
    parts = list(experts.values())
    size = SizeRequirement(lcm(*(part.size.multiple for part in parts)), max(part.size.minimum for part in parts))
    side = treatment.tile or CELL + budget.OVERLAP
    if treatment.tile is None:
        side = min(side, budget.side_for(canvas, parts, size, treatment.overlap, treatment.max_memory) or side)

    def run(plan: TilePlan, seams: Seams) -> Canvas:
        def work(rows: slice, columns: slice) -> Tensor:
            image = canvas.read(rows, columns)
            row, column = ((part.start + part.stop) / 2 for part in (rows, columns))
            node = grid.at(row / canvas.height, column / canvas.width)
            return image[0] if node == _KEPT else tiles.piece(image, experts[node].network, size)

        return tiles.run_plan(canvas, plan, work)  # what experts differ by where they meet is no seam

    return in_tiles(canvas, parts, size, side, treatment.overlap, run)
