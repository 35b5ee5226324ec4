"""The passes over one picture: estimate the damage, run the experts that this leads to, look at what they made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..canvas import Canvas, middle
from ..explaining import UNLIKE
from ..treatment import Treatment
from .further import branch, enough, worse
from .guards import UNHARMED
from .local import run_local
from .result import Step
from .strength import towards
from .trying import Tried, resting, tried, why_unchanged

if TYPE_CHECKING:
    from ..mixture import Estimate
    from .restorer import Router

CENTRE = 512
"""Side in pixels of the region that the estimate looks at; never resized."""


@dataclass(frozen=True, eq=False)
class Passed:
    """A canvas after all passes (the one before them, itself, where nothing was changed), the steps, and notes."""

    canvas: Canvas
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def passed(
    router: Router,
    canvas: Canvas,
    allowed: NDArray[np.bool_] | None,
    treatment: Treatment,
    first: Estimate | None = None,
) -> Passed:
    """``canvas`` restored as ``treatment`` says, by experts of the ``allowed`` nodes.

    first: the estimate of ``canvas`` as it is, where it is known already.
    """
    estimate, routed = (first, 0.0) if first is not None else _estimate(router, canvas, allowed)
    notes = (f"{UNLIKE} (novelty {estimate.novelty:.2f}); look at the result",) if estimate.unknown else ()
    if treatment.strength == 0:
        return Passed(canvas, (resting(estimate, "strength 0", routed),), notes)
    if treatment.route_per_tile:
        done = run_local(router, canvas, allowed, treatment)
    else:
        done = tried(router, canvas, estimate, allowed, treatment, routed)
    if done.canvas is not canvas and treatment.steps > 1 and not done.steps[-1].shares:
        done = _further(router, done, allowed, treatment)
    return Passed(
        towards(canvas, done.canvas, treatment.strength), done.steps, (*notes, *_notes(done.steps, treatment.steps > 1))
    )


def _notes(steps: Sequence[Step], more: bool) -> Iterator[str]:
    """What was undone, what the tiles have to say, and why ``more`` steps were not taken."""
    for step in steps:
        if step.outcome == "undone":
            yield f"{' + '.join(step.experts)} undone: {step.reason}"
        if step.shares:
            yield "in parts: " + ", ".join(f"{name} {share:.0%}" for name, share in step.shares.items())
        if step.tiling is not None and step.tiling.note:
            yield step.tiling.note
    if steps[-1].shares and more:
        yield "one step: parts that went to experts of their own are not restored again"


def _further(router: Router, done: Tried, allowed: NDArray[np.bool_] | None, treatment: Treatment) -> Tried:
    """Passes over what the first one made, up to ``treatment.steps`` in all."""
    canvas, steps = done.canvas, list(done.steps)
    treated = {branch(steps[-1].estimate)}
    estimate, routed = _estimate(router, canvas, allowed)
    for _ in range(1, treatment.steps):
        if router.expert(estimate.node).identity or estimate.undamaged >= UNHARMED:
            reason = why_unchanged(estimate)
        else:
            reason = enough(estimate, treated)
        if reason:
            steps.append(resting(estimate, reason, routed))
            break
        more = tried(router, canvas, estimate, allowed, treatment, routed)
        steps += more.steps
        if more.canvas is canvas:
            break
        after, routed = _estimate(router, more.canvas, allowed)
        if reason := worse(estimate, after):
            steps[-1] = replace(steps[-1], outcome="undone", reason=reason)
            break
        treated.add(branch(steps[-1].estimate))
        canvas, estimate = more.canvas, after
    return Tried(canvas, tuple(steps))


def _estimate(router: Router, canvas: Canvas, allowed: NDArray[np.bool_] | None) -> tuple[Estimate, float]:
    start = perf_counter()
    return router.estimate(middle(canvas, CENTRE), allowed), perf_counter() - start
