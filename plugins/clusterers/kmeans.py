"""``kmeans``: k-means at every level, top down, so that levels nest by construction (paper section 3.2).

Level l + 1 splits every node of level l by k-means inside the node. How many children a node gets is decided greedily:
each of the K(l+1) nodes goes where the mean within-cluster sum of squares per child is still largest, so a tight
cluster (clean images) may stay whole. DRs are scaled to unit length first unless told otherwise; the paper states
neither normalisation nor seeds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from unirestorer.core.errors import ShapeError
from unirestorer.core.hierarchy import Hierarchy, normalised

from .configs import KMeansConfig


class TopDownKMeans:
    """Scikit-learn style clusterer; ``hierarchy_`` after ``fit``."""

    hierarchy_: Hierarchy

    def __init__(self, config: KMeansConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> TopDownKMeans:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` for fewer distinct samples than leaves, nan or inf."""
        needed = self.config.sizes[-1]
        if dr.ndim != 2 or len(np.unique(dr, axis=0)) < needed:
            raise ShapeError(
                f"kmeans: got DRs of shape {dr.shape}, wanted at least {needed} distinct rows for {needed} leaves"
            )
        if not np.isfinite(dr).all():
            rows = np.flatnonzero(~np.isfinite(dr).all(axis=1))
            raise ShapeError(f"kmeans: got nan or inf in {len(rows)} DRs, first in row {rows[0]}; wanted finite values")
        points = normalised(dr) if self.config.normalize else dr.astype(np.float32)
        parent, level, centroid = [-1], [0], [points.mean(axis=0)]
        assign = np.zeros((len(points), len(self.config.sizes)), dtype=np.int32)
        for depth, size in enumerate(self.config.sizes[1:], start=1):
            nodes = [n for n in range(len(parent)) if level[n] == depth - 1]
            members = [np.flatnonzero(assign[:, depth - 1] == node) for node in nodes]
            for node, rows, count in zip(nodes, members, self._children(points, members, size), strict=True):
                labels, centres = self._split(points[rows], count)
                assign[rows, depth] = labels + len(parent)
                parent += [node] * count
                level += [depth] * count
                centroid += list(centres)
        self.hierarchy_ = Hierarchy(
            parent=np.array(parent, dtype=np.int32),
            level=np.array(level, dtype=np.int32),
            centroid=np.array(centroid, dtype=np.float32),
            assign=assign,
            normalize=self.config.normalize,
        ).validate()
        return self

    def _children(self, points: NDArray[np.float32], members: list[NDArray[np.intp]], size: int) -> list[int]:
        counts = [1] * len(members)
        limit = [len(np.unique(points[rows], axis=0)) for rows in members]
        spread = [self._spread(points[rows], 1) for rows in members]
        while sum(counts) < size:
            gain = [s if c < m else -1.0 for s, c, m in zip(spread, counts, limit, strict=True)]
            best = int(np.argmax(gain))
            counts[best] += 1
            spread[best] = self._spread(points[members[best]], counts[best])
        return counts

    def _spread(self, points: NDArray[np.float32], count: int) -> float:
        labels, centres = self._split(points, count)
        return float(((points - centres[labels]) ** 2).sum()) / count

    def _split(self, points: NDArray[np.float32], count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if count == 1:
            return np.zeros(len(points), dtype=np.int32), points.mean(axis=0, keepdims=True)
        with threadpool_limits(1, user_api="openmp"):  # several threads add their sums in the order they finish
            model = KMeans(count, n_init=self.config.restarts, random_state=self.config.seed).fit(points)
        return model.labels_.astype(np.int32), model.cluster_centers_.astype(np.float32)
