"""The passes over one picture: estimate the damage, run the experts that this leads to, look at what they made."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..canvas import Canvas, middle
from ..treatment import Treatment
from .blending import blended
from .result import Step
from .running import run_expert

if TYPE_CHECKING:
    from .restorer import Router

CENTRE = 512
"""Side in pixels of the region that the estimate looks at; never resized."""


@dataclass(frozen=True, eq=False)
class Passed:
    """A canvas after all passes (the one before them, itself, where nothing was changed), the steps, and notes."""

    canvas: Canvas
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def passed(router: Router, canvas: Canvas, allowed: NDArray[np.bool_] | None, treatment: Treatment) -> Passed:
    """``canvas`` restored as ``treatment`` says, by experts of the ``allowed`` nodes."""
    start = perf_counter()
    estimate = router.estimate(middle(canvas, CENTRE), allowed)
    routed = perf_counter()
    experts = [(router.expert(node), weight) for node, weight in estimate.experts or ((estimate.node, 1.0),)]
    expert, tiling = blended(experts), None
    result = canvas
    if not expert.identity:
        result, tiling = run_expert(canvas, expert, treatment)
    seconds = {"route": routed - start, "expert": perf_counter() - routed}
    names = tuple(part.name for part, _ in experts)
    return Passed(result, (Step(estimate, names, seconds, tiling, "unchanged" if expert.identity else "kept"),))
