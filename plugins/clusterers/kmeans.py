"""``kmeans``: k-means, bottom up (arXiv v1 of the paper, eq. 4): first the finest level, over all samples.

A coarser level is the k-means of the centres of the level below, each weighted by its number of samples, up to one
root; so levels nest. The paper states neither normalisation nor restarts nor seeds. Where there are more than
``SAMPLE`` samples, restarts are compared on so many of them, and Lloyd's algorithm goes on over all from the best.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from unirestorer.core.hierarchy import Hierarchy, nearest

from .configs import KMeansConfig
from .points import Points, Rows, checked, sums
from .tree import Above, grown, joined

SAMPLE = 10000
"""Samples that restarts are compared on."""
BRIEF = 30
"""Iterations after which restarts are compared: bad ones are often slow, and the best one goes on."""
LONGEST = 50
"""Passes over all samples at most."""
STILL = 1e-4
"""Lloyd's algorithm ends when the squared movement of all centres is below this share of the mean variance."""


class Clusters(NamedTuple):
    """Centres (K, D) and the cluster (n,) of each point."""

    centres: NDArray[np.float32]
    labels: NDArray[np.int32]

    def within(self, points: NDArray[np.float32]) -> float:
        """Sum of the squared distances of ``points`` (n, D) to their centres."""
        return float(((points - self.centres[self.labels]) ** 2).sum())


def best_of(
    points: NDArray[np.float32], count: int, restarts: int, seed: int, weights: NDArray[np.integer] | None = None
) -> Clusters:
    """The best of ``restarts`` k-means of ``points`` (n, D) into ``count`` clusters, one thread each."""
    if count == 1:
        centre = np.average(points, axis=0, weights=weights)[None]
        return Clusters(centre.astype(np.float32), np.zeros(len(points), dtype=np.int32))

    def brief(seed: int) -> KMeans:
        model = KMeans(count, n_init=1, max_iter=BRIEF, random_state=int(seed))
        return model.fit(points, sample_weight=weights)

    # Threads of OpenMP would add their sums in the order in which they finish. Its limit is that of the calling thread.
    one_thread = partial(threadpool_limits, 1, user_api="openmp")
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters: callers see to that
        with ThreadPoolExecutor(torch.get_num_threads(), initializer=one_thread) as pool:
            tried = list(pool.map(brief, np.random.SeedSequence(seed).generate_state(restarts)))
        start = min(tried, key=lambda model: model.inertia_).cluster_centers_
        model = KMeans(count, init=start, n_init=1).fit(points, sample_weight=weights)
    return Clusters(model.cluster_centers_.astype(np.float32), model.labels_.astype(np.int32))


def refined(points: Points, start: Clusters, sample: NDArray[np.float32], rows: Rows | None = None) -> Clusters:
    """The clusters ``start`` of a ``sample`` of the points ``rows`` (None: all), gone on with over all of these."""
    if len(sample) == (len(points) if rows is None else len(rows)):
        return start
    centres = lloyd(points, start.centres, STILL * float(sample.var(axis=0).mean()), rows)
    return Clusters(centres, points.nearest(centres, rows))


def lloyd(points: Points, centres: NDArray[np.float32], still: float, rows: Rows | None = None) -> NDArray[np.float32]:
    """Where ``centres`` (K, D) come to over the points ``rows`` (None: all), until they move by less than ``still``.

    A cluster that loses all its points begins anew at the point that is farthest from its centre.
    """
    for _ in range(LONGEST):
        before, count = centres, len(centres)

        def step(
            part: NDArray[np.float32], _: slice, centres: NDArray[np.float32] = centres
        ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
            labels = nearest(part, centres)
            return sums(part, labels, len(centres)), np.bincount(labels, minlength=len(centres))

        total, sizes = np.zeros(centres.shape), np.zeros(count, dtype=np.intp)
        for added, number in points.chunks(step, rows):
            total += added
            sizes += number
        centres = (total / np.maximum(sizes, 1)[:, None]).astype(np.float32)
        if not sizes.all():
            centres[sizes == 0] = _farthest(points, before, int((sizes == 0).sum()), rows)
        if ((centres - before) ** 2).sum() <= still:
            break
    return centres


def _farthest(points: Points, centres: NDArray[np.float32], count: int, rows: Rows | None) -> NDArray[np.float32]:
    def gaps(part: NDArray[np.float32], _: slice) -> NDArray[np.float32]:
        squares: NDArray[np.float32] = ((part - centres[nearest(part, centres)]) ** 2).sum(axis=1)
        return squares

    far = np.argsort(-np.concatenate(list(points.chunks(gaps, rows))), kind="stable")[:count]
    return points.take(far if rows is None else rows[far])


def gathered(
    finest: NDArray[np.float32], counts: NDArray[np.integer], sizes: Sequence[int], restarts: int, seed: int
) -> tuple[list[NDArray[np.float32]], list[Above]]:
    """Centres of every level and ``above`` of every level but the first: ``sizes`` from the root to ``finest`` (K, D).

    ``counts`` (K,): samples of the finest clusters.
    """
    centres, above, weights = [finest], list[Above](), counts
    for size in reversed(sizes[:-1]):
        below = centres[0]
        up = np.arange(size, dtype=np.int32)
        if size < len(below):
            up = np.unique(best_of(below, size, restarts, seed, weights).labels, return_inverse=True)[1].astype(
                np.int32
            )
        centres.insert(0, joined(below, weights, up))
        above.insert(0, up)
        weights = np.bincount(up, weights).astype(np.int64)
    return centres, above


class BottomUpKMeans:
    """Scikit-learn style clusterer; ``hierarchy_`` after ``fit``."""

    hierarchy_: Hierarchy

    def __init__(self, config: KMeansConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> BottomUpKMeans:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` for fewer distinct samples than leaves, nan or inf."""
        leaves = self.config.sizes[-1]
        points = checked("kmeans", dr, self.config.normalize, leaves)
        sample = points.take(points.draw(SAMPLE, self.config.seed))
        start = best_of(sample, leaves, self.config.restarts, self.config.seed)
        self.hierarchy_ = bottom_up(points, refined(points, start, sample), self.config)
        return self


def bottom_up(points: Points, found: Clusters, config: KMeansConfig) -> Hierarchy:
    """The tree over the finest clusters ``found``; raises ``ShapeError`` where one of them has no samples."""
    counts = points.counts(found.labels, len(found.centres))
    centres, above = gathered(found.centres, counts, config.sizes, config.restarts, config.seed)
    return grown(centres, above, found.labels, points.normalize)
