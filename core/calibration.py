"""Temperatures of the routers: how far their probabilities can be taken at their word (Guo et al. 2017).

What a probability should mean here: the leaf router gives a leaf the chance that it is the best one, that is, that its
path holds the expert that restores the image best; the level router gives a level the chance that on the path of the
chosen leaf the expert there is the best. What is within ``TOLERANCE`` dB of the best counts as best, so that often
several are (where the root is best, every leaf is); then it is only known that the best one is among them. The
likelihood of such an outcome is the probability of all of them together, and the temperature is the one under which
the outcomes are likeliest. A choice is therefore good enough at least as often as its probability says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .files import atomic

TOLERANCE = 0.1
"""PSNR in dB below the best at which a choice still counts as right."""
BINS = 10
WIDEST = 7.0
"""Temperatures are looked for between exp(-7) and exp(7) times the one that the routers were trained with."""


@dataclass(frozen=True)
class Judged:
    """What a router said of n images, and what was right: logits (n, C) before any temperature, right (n, C) bool.

    In every row of ``right`` at least one is True.
    """

    logits: NDArray[np.float32]
    right: NDArray[np.bool_]

    def _log(self, temperature: float) -> NDArray[np.float64]:
        """(n, C) logarithms of the probabilities."""
        scaled = self.logits.astype(np.float64) / temperature
        return scaled - _together(scaled)[:, None]

    def _log_right(self, temperature: float) -> NDArray[np.float64]:
        """(n,) logarithm of the probability of what was right."""
        return _together(np.where(self.right, self._log(temperature), -np.inf))

    def surprise(self, temperature: float) -> float:
        """Negative log-likelihood of what was right, summed."""
        return -float(self._log_right(temperature).sum())

    def confidence(self, temperature: float) -> NDArray[np.float64]:
        """(n,) probability of the choice, the likeliest."""
        highest: NDArray[np.float64] = np.exp(self._log(temperature).max(1))
        return highest

    def credit(self, temperature: float) -> NDArray[np.float64]:
        """(n,) chance that the choice was the best, given what was right: 1 where it alone was, 0 where others were."""
        rows = np.arange(len(self.logits))
        choice = self.logits.argmax(1)
        alone = np.where(self.right[rows, choice], self._log(temperature)[rows, choice], -np.inf)
        return np.exp(alone - self._log_right(temperature))


def _together(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) logarithm of the sum of what (n, C) are logarithms of."""
    top = logarithms.max(1)
    total: NDArray[np.float64] = top + np.log(np.exp(logarithms - top[:, None]).sum(1))
    return total


def judged(
    leaf: NDArray[np.float32], level: NDArray[np.float32], ancestors: NDArray[np.integer], lost: NDArray[np.float32]
) -> tuple[Judged, Judged]:
    """Leaf (n, K) and level (n, L) logits beside what was right; ancestors (K, L), ``lost`` (n, M) in dB of PSNR."""
    paths = lost[:, ancestors]  # (n, K, L)
    reach = paths.min(2)
    chosen = paths[np.arange(len(leaf)), leaf.argmax(1)]  # (n, L)
    return Judged(leaf, _near_best(reach)), Judged(level, _near_best(chosen))


def _near_best(lost: NDArray[np.float32]) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = lost <= lost.min(1, keepdims=True) + TOLERANCE
    return near


def fit_temperature(said: Judged, start: float = 1.0) -> float:
    """The temperature under which the outcomes are likeliest.

    Its logarithm is drawn towards that of ``start`` as by a single standard normal observation, which matters only
    where there are few rows, or where all choices were right or all wrong.
    """

    def best(steps: NDArray[np.float64]) -> float:
        return float(min(steps, key=lambda step: said.surprise(start * float(np.exp(step))) + 0.5 * float(step) ** 2))

    near = best(np.linspace(-WIDEST, WIDEST, 141))
    return start * float(np.exp(best(near + np.linspace(-0.1, 0.1, 41))))


class Reliability(NamedTuple):
    """Bins of confidence that are not empty: mean confidence, mean credit, number of images.

    error: the expected calibration error, the mean gap between the first two over all images.
    """

    confidence: NDArray[np.float64]
    credit: NDArray[np.float64]
    images: NDArray[np.int64]
    error: float


def reliability(confidence: NDArray[np.float64], credit: NDArray[np.float64], bins: int = BINS) -> Reliability:
    """Of confidence and credit (n,), n >= 1, both in [0, 1], in ``bins`` of equal width."""
    number = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(number, minlength=bins)
    full = count > 0
    said, was = (np.bincount(number, values, bins)[full] / count[full] for values in (confidence, credit))
    error = float((np.abs(said - was) * count[full]).sum() / len(confidence))
    return Reliability(said, was, count[full], error)


def draw(routers: Mapping[str, Mapping[str, Reliability]], path: Path) -> None:
    """Write a PNG: a panel for each router, a line for each of its reliabilities by name; dashed where all is well.

    The area of a disc is the share of the images.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8 * len(routers), 4.6), layout="constrained")
    for panel, (router, lines) in zip(np.atleast_1d(figure.subplots(1, len(routers))), routers.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        for name, found in lines.items():
            label = f"{name}: calibration error {found.error:.3f}"
            (line,) = panel.plot(found.confidence, found.credit, marker=".", linewidth=0.7, label=label)
            area = 400 * found.images / found.images.sum()
            panel.scatter(found.confidence, found.credit, area, color=line.get_color(), alpha=0.6)
        panel.set_title(f"{router} router", fontsize=10)
        panel.set(xlabel="probability of its choice", ylabel="share of choices that were the best, ties divided")
        panel.set(xlim=(0, 1.03), ylim=(0, 1.03))
        panel.legend(fontsize=8, loc="lower right")
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=130)
