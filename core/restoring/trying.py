"""One pass: the experts that an estimate leads to, coarser ones where these do harm, else the picture as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..canvas import Canvas
from ..errors import ShapeError
from ..treatment import Treatment
from .blending import blended
from .guards import UNHARMED, harm
from .meters import measure
from .result import Step, Tiling
from .running import run_expert

if TYPE_CHECKING:
    from ..mixture import Estimate
    from .restorer import Router


@dataclass(frozen=True, eq=False)
class Tried:
    """The canvas after a pass, the one before it where nothing is kept, and every try."""

    canvas: Canvas
    steps: tuple[Step, ...]


def tried(
    router: Router,
    canvas: Canvas,
    estimate: Estimate,
    allowed: NDArray[np.bool_] | None,
    treatment: Treatment,
    routed: float = 0.0,
) -> Tried:
    """What the experts of ``estimate`` make of ``canvas``; ``routed``: seconds that the estimate took."""
    harmless = treatment.guards and allowed is None and estimate.undamaged >= UNHARMED
    if harmless and not router.expert(estimate.node).identity:
        reason = f"{why_unchanged(estimate)}, though the routers chose {estimate.path[-1]}"
        return Tried(canvas, (resting(estimate, reason, routed),))
    steps: list[Step] = []
    for choice in (estimate, *_coarser(estimate, allowed)):
        result, step = _attempt(router, canvas, choice, treatment, routed)
        steps.append(step)
        if step.outcome != "undone":
            return Tried(result, tuple(steps))
        routed = 0.0
    return Tried(canvas, tuple(steps))


def resting(estimate: Estimate, reason: str, routed: float) -> Step:
    """A step that changes nothing."""
    seconds = {"route": routed, "expert": 0.0}
    return Step(estimate, (estimate.path[-1],), seconds, outcome="unchanged", reason=reason)


def why_unchanged(estimate: Estimate) -> str:
    """For example ``looks undamaged (clean 0.61)``."""
    share = estimate.types.get(estimate.task, 0.0)
    undamaged = estimate.undamaged >= share > 0
    return f"{'looks undamaged' if undamaged else 'no expert would help'} ({estimate.task} {share:.2f})"


def _coarser(estimate: Estimate, allowed: NDArray[np.bool_] | None) -> Iterator[Estimate]:
    """The same estimate with the ``allowed`` nodes above its node, one after the other."""
    nodes = {branch.name: branch for branch in estimate.tree}
    for depth in range(len(estimate.path) - 1, 0, -1):
        above = nodes.get(estimate.path[depth - 1])
        if above is not None and (allowed is None or allowed[above.node]):
            yield replace(
                estimate,
                node=above.node,
                path=estimate.path[:depth],
                level=above.level,
                experts=((above.node, 1.0),),
                reason=f"fell back to {above.name}",
            )


def _attempt(
    router: Router, canvas: Canvas, estimate: Estimate, treatment: Treatment, routed: float
) -> tuple[Canvas, Step]:
    start = perf_counter()
    experts = [(router.expert(node), weight) for node, weight in estimate.experts or ((estimate.node, 1.0),)]
    expert = blended(experts)
    if expert.identity:
        return canvas, resting(estimate, why_unchanged(estimate), routed)
    step = Step(estimate, tuple(part.name for part, _ in experts), {})
    result = canvas
    try:
        result, tiling = run_expert(canvas, expert, treatment)
        step = replace(step, tiling=tiling)
        if treatment.guards:
            meters = {**measure(canvas, result), **_seams(tiling)}
            step = replace(step, meters=meters, reason=harm(meters))
    except ShapeError as error:  # no image at all, or values that are not finite
        if not treatment.guards:
            raise
        step = replace(step, reason=str(error))
    seconds = {"route": routed, "expert": perf_counter() - start}
    return result, replace(step, seconds=seconds, outcome="undone" if step.reason else "kept")


def _seams(tiling: Tiling) -> dict[str, float]:
    """What the borders of the tiles cost, in grey levels of 255; nothing in one piece."""
    return {"seams": 255 * tiling.seam} if tiling.count > 1 else {}
