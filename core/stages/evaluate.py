"""Measure the finished model on the held-out photos' samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ..evaluating.cases import Case
from ..evaluating.metrics import CEILING, psnr
from ..evaluating.opening import Entry
from ..evaluating.peers import Bench, InputPeer, model_peer
from ..evaluating.report import Report, Row
from ..evaluating.routes import confusion_lines
from ..evaluating.running import evaluate as measure
from ..evaluating.suite import Part, Suite
from ..files import atomic
from ..mixture import Mixture
from ..photos import HELDOUT
from ..rendering import Truths
from ..restoring import Restorer
from ..run import Run
from ..samples import SampleSet

BEFORE, AFTER, PSNR = "input", "auto", "standard.psnr"


def evaluate(run: Run, stamp: str) -> None:
    """Write the evaluation report and figures; no record but the stage's own."""
    samples = run.samples()
    rows = sorted(samples.rows(HELDOUT).tolist(), key=lambda row: _group(samples, row))
    if not rows:  # fewer samples than photos
        run.commit("evaluate", stamp, {}, "no held-out samples", {"mean gain": 0.0, "type accuracy": 0.0})
        return
    bench = Bench(Restorer(Mixture(run.store, run.catalogue, run.name)))
    report = measure(
        _suite(run.name, samples, rows),
        list(_entries(run, samples, rows)),
        [InputPeer(), model_peer(AFTER, bench, {})],
        _Psnr(),
    )
    _write(run.reports / "evaluation.md", report)
    damaged = [gain for row, gain in _gains(report) if row.task != run.recipe.experts.identity]
    figures = {
        "mean gain": fmean(damaged) if damaged else 0.0,
        **{f"gain {part}": fmean(gain for row, gain in _gains(report) if row.part == part) for part in _parts(report)},
        "type accuracy": _accuracy(_found(report)),
    }
    summary = (
        f"{len(rows)} held-out samples: mean gain {figures['mean gain']:+.2f} dB, "
        f"type found {figures['type accuracy']:.1%}"
    )
    run.commit("evaluate", stamp, {}, summary, figures)


class _Psnr:
    """PSNR alone, RGB, 8 bit: there are many samples, and figures of a sweep want no more."""

    def score(self, restored: NDArray[np.uint8], truth: NDArray[np.uint8] | None, task: str | None) -> dict[str, float]:
        return {} if truth is None else {PSNR: min(CEILING, psnr(restored, truth))}


def _group(samples: SampleSet, row: int) -> str:
    """Damage type and degree, as they fit into a table."""
    kind, degree = samples.prompts.pairs[samples.prompt[row]]
    return " ".join((kind if degree == "none" else f"{kind} {degree}").replace("|", "/").split())


def _suite(name: str, samples: SampleSet, rows: Sequence[int]) -> Suite:
    kinds = {_group(samples, row): samples.prompts.pairs[samples.prompt[row]][0] for row in rows}
    parts = tuple(Part(name=group, task=kind, photos=Path(), degrade=kind) for group, kind in kinds.items())
    title = "held-out photos, samples of the training mix"
    return Suite(name=name, title=title, conventions=("standard",), parts=parts)


def _entries(run: Run, samples: SampleSet, rows: Sequence[int]) -> Iterator[Entry]:
    pixels, truths = run.pixels(samples), run.truths(samples)
    for row in rows:
        part = _group(samples, row)
        yield Entry(part, str(row), partial(_case, samples, pixels, truths, row))


def _case(samples: SampleSet, pixels: NDArray[np.uint8], truths: Truths, row: int) -> Case:
    kind, _ = samples.prompts.pairs[samples.prompt[row]]
    damaged = np.ascontiguousarray(pixels[row].transpose(1, 2, 0))
    truth = np.ascontiguousarray(truths.crop(row, (0, 0), samples.side))
    return Case(_group(samples, row), str(row), kind, damaged, truth)


def _parts(report: Report) -> list[str]:
    return [part.name for part in report.suite.parts]


def _gains(report: Report) -> list[tuple[Row, float]]:
    """Rows of the model, and by how many dB each is better than the damaged image."""
    before = {(row.part, row.image): row.scores[PSNR] for row in report.rows if row.peer == BEFORE}
    return [(row, row.scores[PSNR] - before[row.part, row.image]) for row in report.rows if row.peer == AFTER]


def _found(report: Report) -> list[tuple[str, str]]:
    """True and estimated damage type of each image."""
    return [(str(row.task), str(row.found)) for row, _ in _gains(report)]


def _accuracy(found: Sequence[tuple[str, str]]) -> float:
    return fmean(true == guess for true, guess in found)


def _write(path: Path, report: Report) -> None:
    """Gains and types found by damage, and the confusion matrix, as one Markdown file."""
    found = _found(report)
    parts = [
        f"# {report.suite.name}: {report.suite.title}",
        f"PSNR: RGB, 8 bit, whole image, at most {CEILING:g} dB; mean over images.",
        "\n".join(_gain_lines(report)),
        f"Type found: {_accuracy(found):.1%}",
        "\n".join(confusion_lines(found)),
    ]
    with atomic(path) as file:
        file.write(("\n\n".join(parts) + "\n").encode())


def _gain_lines(report: Report) -> Iterator[str]:
    yield "| damage | images | damaged dB | restored dB | gain dB | type found |"
    yield "|---|---|---|---|---|---|"
    for part in _parts(report):
        rows = [(row, gain) for row, gain in _gains(report) if row.part == part]
        after, gain = fmean(row.scores[PSNR] for row, _ in rows), fmean(gain for _, gain in rows)
        found = fmean(row.found == row.task for row, _ in rows)
        yield f"| {part} | {len(rows)} | {after - gain:.2f} | {after:.2f} | {gain:+.2f} | {found:.0%} |"
