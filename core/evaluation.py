"""Measure a model: damaged image in, restored image out, against the truth; per kind of damage, with confusions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import atomic
from .metrics import psnr
from .mixture import Estimate

CEILING = 60.0  # dB; stands for "equal", so that means stay finite
Restore = Callable[[NDArray[np.uint8]], tuple[NDArray[np.uint8], Estimate]]
"""Auto mode on uint8 RGB (H, W, 3)."""


@dataclass(frozen=True)
class Case:
    """An image to measure on: what it is listed under, its true type (None when unknown), damaged and clean pixels."""

    group: str
    kind: str | None
    damaged: NDArray[np.uint8]
    clean: NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """PSNR (dB, RGB, 8 bit, at most 60) before and after, the estimated type, and the node that was used."""

    group: str
    kind: str | None
    before: float
    after: float
    estimate: str
    node: str


def measure(cases: Iterable[Case], restore: Restore) -> list[Measured]:
    """Restore every case in auto mode."""
    outcomes = []
    for case in cases:
        restored, estimate = restore(case.damaged)
        before, after = (min(CEILING, psnr(image, case.clean)) for image in (case.damaged, restored))
        outcomes.append(Measured(case.group, case.kind, before, after, estimate.task, estimate.path[-1]))
    return outcomes


def gain_table(outcomes: Sequence[Measured]) -> str:
    """Markdown: per group, the number of images, mean PSNR before and after, and gain."""
    lines = ["| damage | images | damaged dB | restored dB | gain dB | type found |", "|---|---|---|---|---|---|"]
    for group in dict.fromkeys(o.group for o in outcomes):
        rows = [o for o in outcomes if o.group == group]
        before, after = np.mean([o.before for o in rows]), np.mean([o.after for o in rows])
        known = [o.estimate == o.kind for o in rows if o.kind is not None]
        found = f"{np.mean(known):.0%}" if known else "-"
        lines.append(f"| {group} | {len(rows)} | {before:.2f} | {after:.2f} | {after - before:+.2f} | {found} |")
    return "\n".join(lines)


def gains(outcomes: Sequence[Measured]) -> dict[str, float]:
    """Mean PSNR gain in dB per group."""
    groups = dict.fromkeys(o.group for o in outcomes)
    return {g: float(np.mean([o.after - o.before for o in outcomes if o.group == g])) for g in groups}


def type_accuracy(outcomes: Sequence[Measured]) -> float:
    """Share of cases of known type whose type was found."""
    return float(np.mean([o.estimate == o.kind for o in outcomes if o.kind is not None]))


def confusion_table(outcomes: Sequence[Measured]) -> str:
    """Markdown: true type in rows, estimated type in columns, counts."""
    kinds = sorted({o.kind for o in outcomes if o.kind} | {o.estimate for o in outcomes if o.kind})
    lines = ["| true \\ found | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for true in kinds:
        counts = [sum(1 for o in outcomes if o.kind == true and o.estimate == found) for found in kinds]
        lines.append(f"| {true} | " + " | ".join(str(c) if c else "." for c in counts) + " |")
    return "\n".join(lines)


def write_report(path: Path, title: str, outcomes: Sequence[Measured]) -> None:
    """Gains and, where types are known, accuracy and the confusion matrix, as one Markdown file."""
    parts = [f"# {title}", "PSNR: RGB, 8 bit, full range, no border; mean over images.", gain_table(outcomes)]
    if any(o.kind for o in outcomes):
        parts += [f"Type found: {type_accuracy(outcomes):.1%}", confusion_table(outcomes)]
    with atomic(path) as file:
        file.write(("\n\n".join(parts) + "\n").encode())
