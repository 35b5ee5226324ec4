"""Measure the finished model on the held-out photos' samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..evaluation import Case, Restore, gains, measure, type_accuracy, write_report
from ..images import Picture
from ..mixture import Estimate, Mixture
from ..photos import HELDOUT
from ..restoring import Restorer
from ..run import Run


def evaluate(run: Run, stamp: str) -> None:
    """Write the evaluation report and figures; no record but the stage's own."""
    mixture = Mixture(run.store, run.catalogue, run.name)
    cases = list(_cases(run))
    outcomes = measure(cases, auto(mixture))
    write_report(run.reports / "evaluation.md", f"{run.name}: held-out photos, samples of the training mix", outcomes)
    damaged = [o for o in outcomes if o.kind != run.recipe.experts.identity]
    mean = float(np.mean([o.after - o.before for o in damaged])) if damaged else 0.0
    figures = {
        "mean gain": mean,
        **{f"gain {group}": gain for group, gain in gains(outcomes).items()},
        "type accuracy": type_accuracy(outcomes),
    }
    summary = f"{len(outcomes)} held-out samples: mean gain {mean:+.2f} dB, type found {figures['type accuracy']:.1%}"
    run.commit("evaluate", stamp, {}, summary, figures)


def auto(mixture: Mixture) -> Restore:
    """Auto mode, as a user gets it."""

    def restore(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Estimate]:
        result = Restorer(mixture).restore(Picture(pixels))
        return result.pixels, result.estimate

    return restore


def _cases(run: Run) -> Iterator[Case]:
    samples = run.samples()
    pixels, truths = run.pixels(samples), run.truths(samples)
    for row in samples.rows(HELDOUT):
        kind, degree = samples.prompts.pairs[samples.prompt[row]]
        clean = truths.crop(int(row), (0, 0), samples.side)
        group = kind if degree == "none" else f"{kind} {degree}"
        yield Case(group, kind, np.ascontiguousarray(pixels[row].transpose(1, 2, 0)), clean)
