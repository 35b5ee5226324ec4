"""How good a number of clusters is: mean silhouette (Rousseeuw, 1987), gap statistic (Tibshirani et al., 2001).

The gap of K clusters is how much smaller the logarithm of their sum of squares is than for points that are spread
evenly over the same box along the principal axes. To divide the root, the smallest K is taken whose gap is at least
that of K + 1 less its standard error. To divide several nodes, of which one more child divides only one, it is the
smallest whose gap is at least the largest one less its standard error. So nothing may be divided, which a silhouette
cannot say.

What divides nodes is judged inside these, since a division into types is always clearer than one into degrees, too: a
silhouette is among the samples of the same node, and even points fill the box of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances, silhouette_samples

from .configs import AutoConfig

Labelling = tuple[int, NDArray[np.integer]]
"""A number of clusters and the cluster (n,) of each point."""
Family = Callable[[NDArray[np.float32]], Iterator[Labelling]]
"""From points (n, D) to their labellings, from few clusters to many; the first has as many as there are already."""


class Choice(NamedTuple):
    """The number of clusters that is best, their labels (n,), and why; ``divided``: whether it is more than before."""

    nodes: int
    labels: NDArray[np.integer]
    why: str
    divided: bool

    def note(self, level: int) -> str:
        """For example ``level 1: 7 nodes, silhouette 0.612, next best 8 with 0.580 (2 to 12 tried)``."""
        return f"level {level}: {f'{self.nodes} nodes' if self.divided else 'left out'}, {self.why}"


def choose(
    config: AutoConfig, points: NDArray[np.float32], family: Family, groups: Sequence[NDArray[np.intp]]
) -> Choice:
    """The best labelling of ``points`` (n, D); ``groups`` are the rows of the parts that it divides."""
    found = dict(family(points))
    if len(found) == 1:
        ((count, labels),) = found.items()
        return Choice(count, labels, "no node can be divided further", divided=False)
    silhouette = config.criterion == "silhouette"  # which the undivided have none of
    best, why = _silhouette(points, found, groups) if silhouette else _gap(config, points, family, groups)
    tried = f"{sorted(found)[silhouette]} to {max(found)} tried"
    return Choice(best, found[best], f"{why} ({tried})", divided=best > min(found))


def _silhouette(
    points: NDArray[np.float32], found: Mapping[int, NDArray[np.integer]], groups: Sequence[NDArray[np.intp]]
) -> tuple[int, str]:
    """Mean silhouette of the points among those of their group; 0 where that is not divided."""
    sums = dict.fromkeys(sorted(found)[1:], 0.0)
    for rows in groups:
        apart = pairwise_distances(points[rows].astype(np.float64))
        np.fill_diagonal(apart, 0.0)  # rounding
        for count in sums:
            own = found[count][rows]
            if 1 < len(np.unique(own)) < len(own):
                sums[count] += float(silhouette_samples(apart, own, metric="precomputed").sum())
    best, *others = sorted(sums, key=lambda count: -sums[count])
    rival = f", next best {others[0]} with {sums[others[0]] / len(points):.3f}" if others else ""
    return best, f"silhouette {sums[best] / len(points):.3f}{rival}"


def _gap(
    config: AutoConfig, points: NDArray[np.float32], family: Family, groups: Sequence[NDArray[np.intp]]
) -> tuple[int, str]:
    real = _spreads(points, family)
    even = [
        _spreads(_evenly(points, groups, np.random.default_rng((config.seed, number))), family)
        for number in range(config.references)
    ]
    counts = [count for count in real if all(count in spreads for spreads in even)]
    table = np.array([[spreads[count] for count in counts] for spreads in even])
    gaps = table.mean(axis=0) - [real[count] for count in counts]
    errors = table.std(axis=0) * np.sqrt(1 + 1 / config.references)
    if counts[0] == 1:
        rises = gaps[1:] - errors[1:] > gaps[:-1]
        first = len(gaps) - 1 if rises.all() else int(np.argmin(rises))
        rival = min(first + 1, len(gaps) - 1)
    else:
        rival = int(gaps.argmax())
        first = int(np.argmax(gaps >= gaps[rival] - errors[rival]))
    why = f"; {counts[rival]} have {gaps[rival]:.3f} with standard error {errors[rival]:.3f}" if rival != first else ""
    return counts[first], f"gap {gaps[first]:.3f}{why}"


def _spreads(points: NDArray[np.float32], family: Family) -> dict[int, float]:
    """Logarithm of the sum of squares within the clusters, by their number."""
    return {count: _within(points, labels) for count, labels in family(points)}


def _within(points: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    squares = 0.0
    for label in np.unique(labels):
        own = points[labels == label].astype(np.float64)
        squares += float(((own - own.mean(axis=0)) ** 2).sum())
    return float(np.log(max(squares, 1e-30)))


def _evenly(
    points: NDArray[np.float32], groups: Sequence[NDArray[np.intp]], draw: np.random.Generator
) -> NDArray[np.float32]:
    """Points spread evenly over the box of each group along its principal axes."""
    even = np.empty_like(points)
    for rows in groups:
        own = points[rows].astype(np.float64)
        middle = own.mean(axis=0)
        axes = np.linalg.svd(own - middle, full_matrices=False)[2]
        along = (own - middle) @ axes.T
        even[rows] = draw.uniform(along.min(axis=0), along.max(axis=0), along.shape) @ axes + middle
    return even
