"""``hdbscan``: leaves are dense places (Campello et al., 2013); how many there are is found out, not given.

What lies between dense places (noise) goes to the nearest of them. Coarser levels join leaves by k-means of their
centres, as ``kmeans`` does. Memory and time grow with the square of the samples: of more than ``sample`` DRs so many
are looked at, and the others go to the nearest leaf.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN

from unirestorer.core.errors import ShapeError
from unirestorer.core.hierarchy import Hierarchy, nearest

from .configs import DensityConfig
from .kmeans import gathered
from .points import checked
from .tree import from_labels, looked_at, whole


class Density:
    """Scikit-learn style clusterer; ``hierarchy_`` and ``notes_`` after ``fit``."""

    hierarchy_: Hierarchy
    notes_: tuple[str, ...] = ()

    def __init__(self, config: DensityConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> Density:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` where there is no dense place, for nan or inf."""
        config = self.config
        points = checked("hdbscan", dr, config.normalize)
        picked = points.draw(config.sample, config.seed)
        sample = points.take(picked)
        found = self._dense(sample)
        count, noise = int(found.max(initial=-1)) + 1, found < 0
        if not count:
            raise ShapeError(
                f"hdbscan: no dense place among {len(sample)} DRs; lower fewest (now {config.fewest}) or neighbours"
            )
        centres = np.stack([sample[found == label].mean(axis=0) for label in range(count)])
        found = np.where(noise, nearest(sample, centres), found)
        labels = whole(points, picked, found, count)
        sizes = [*(size for size in config.coarser if size < count), count]
        counts = points.counts(labels, count)
        _, above = gathered(centres, counts, sizes, config.restarts, config.seed)
        self.hierarchy_ = from_labels(points, labels, above)
        note = f"hdbscan found {count} leaves; {noise.mean():.1%} of {len(sample)} DRs were noise"
        self.notes_ = (note, *looked_at(picked, points))
        return self

    def _dense(self, sample: NDArray[np.float32]) -> NDArray[np.integer]:
        """Cluster (n,) of each sample, -1 for noise."""
        config = self.config
        if len(sample) < max(2 * config.fewest, config.neighbours or 0):
            return np.full(len(sample), -1)
        model = HDBSCAN(
            min_cluster_size=config.fewest,
            min_samples=config.neighbours,
            cluster_selection_epsilon=config.epsilon,
            algorithm="brute",
            copy=True,
        )
        labels: NDArray[np.integer] = model.fit(sample.astype(np.float64)).labels_
        return labels
