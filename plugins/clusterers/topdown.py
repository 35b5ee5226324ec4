"""``kmeans-topdown``: k-means at every level, top down (ICLR version of the paper); levels nest by construction.

Level l + 1 divides every node of level l by k-means inside the node. How many children a node gets is decided greedily:
each of the K(l+1) nodes goes where the mean within-cluster sum of squares per child is still largest, so a tight
cluster (clean images) may stay whole. This is decided on at most ``SAMPLE`` samples of each node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from unirestorer.core.hierarchy import Hierarchy

from .configs import KMeansConfig
from .kmeans import SAMPLE, Clusters, best_of, refined
from .points import Points, Rows, checked, distinct
from .tree import Above, grown


class TopDownKMeans:
    """Scikit-learn style clusterer; ``hierarchy_`` after ``fit``."""

    hierarchy_: Hierarchy

    def __init__(self, config: KMeansConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> TopDownKMeans:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` for fewer distinct samples than leaves, nan or inf."""
        points = checked("kmeans-topdown", dr, self.config.normalize, self.config.sizes[-1])
        labels = np.zeros(len(points), dtype=np.int32)
        centres, above = [points.means(labels, 1)], list[Above]()
        for size in self.config.sizes[1:]:
            groups = [np.flatnonzero(labels == node) for node in range(len(centres[-1]))]
            labels = np.empty(len(points), dtype=np.int32)
            below: list[NDArray[np.float32]] = []
            for rows, (start, sample) in zip(groups, self._divided(points, groups, size), strict=True):
                found = refined(points, start, sample, rows)
                labels[rows] = found.labels + sum(map(len, below))
                below.append(found.centres)
            above.append(np.repeat(np.arange(len(below)), list(map(len, below))).astype(np.int32))
            centres.append(np.concatenate(below))
        points.counts(labels, self.config.sizes[-1])
        self.hierarchy_ = grown(centres, above, labels, points.normalize)
        return self

    def _divided(self, points: Points, groups: Sequence[Rows], size: int) -> list[tuple[Clusters, NDArray[np.float32]]]:
        """Of each group its children, ``size`` in all, as they are in a sample of it, and that sample."""
        samples = [points.take(points.draw(SAMPLE, self.config.seed, rows)) for rows in groups]

        def split(group: int, count: int) -> Clusters:
            return best_of(samples[group], count, self.config.restarts, self.config.seed)

        if len(groups) == 1:  # nothing to decide
            return [(split(0, min(size, distinct(samples[0], size))), samples[0])]
        *_, last = divisions(samples, split, size)
        return list(zip(last, samples, strict=True))


def divisions(
    samples: Sequence[NDArray[np.float32]], split: Callable[[int, int], Clusters], most: int
) -> Iterator[list[Clusters]]:
    """The groups ``samples``, each (n, D), in ever more parts, up to ``most`` in all or as distinct samples allow.

    ``split(group, count)`` divides a group. The first division leaves every group whole.
    """
    limit = [distinct(own, most) for own in samples]
    found = [split(group, 1) for group in range(len(samples))]
    spread = [parts.within(own) for parts, own in zip(found, samples, strict=True)]
    yield list(found)
    while len(samples) <= sum(counts := [len(parts.centres) for parts in found]) < most:
        gain = [s if c < m else -1.0 for s, c, m in zip(spread, counts, limit, strict=True)]
        best = int(np.argmax(gain))
        if counts[best] >= limit[best]:
            return
        found[best] = split(best, counts[best] + 1)
        spread[best] = found[best].within(samples[best]) / (counts[best] + 1)
        yield list(found)
