"""``bisecting``: k-means that divides one cluster in two, again and again (Steinbach et al., 2000).

Its splits are the tree: a level is the state after as many splits as give it its size. Of more than ``sample`` DRs so
many are divided, and the others go to the nearest leaf.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import BisectingKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from unirestorer.core.errors import ShapeError
from unirestorer.core.hierarchy import Hierarchy

from .configs import BisectingConfig
from .points import checked
from .tree import divided, from_labels, looked_at, whole


class Bisecting:
    """Scikit-learn style clusterer; ``hierarchy_`` and ``notes_`` after ``fit``."""

    hierarchy_: Hierarchy
    notes_: tuple[str, ...] = ()

    def __init__(self, config: BisectingConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> Bisecting:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` for fewer distinct samples than leaves, nan or inf."""
        sizes = self.config.sizes
        points = checked("bisecting", dr, self.config.normalize, sizes[-1])
        picked = points.draw(self.config.sample, self.config.seed)
        sample = points.take(picked)
        labels = [self._split(sample, size) for size in sizes]  # with equal seeds, the first splits are the same
        for level, size in zip(labels, sizes, strict=True):
            if len(np.unique(level)) < size:
                raise ShapeError(f"bisecting: {size} nodes were asked for, and some have no samples; ask for fewer")
        self.hierarchy_ = from_labels(points, whole(points, picked, labels[-1], sizes[-1]), divided(labels))
        self.notes_ = looked_at(picked, points)
        return self

    def _split(self, sample: NDArray[np.float32], count: int) -> NDArray[np.integer]:
        if count == 1:
            return np.zeros(len(sample), dtype=np.int32)
        config = self.config
        model = BisectingKMeans(
            count, n_init=config.restarts, random_state=config.seed, bisecting_strategy=config.strategy
        )
        with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found: NDArray[np.integer] = model.fit(sample).labels_
        return found
