"""``minibatch-kmeans``: as ``kmeans``, but the finest level is found on small random batches (Sculley, 2010).

Faster than ``kmeans`` where samples are many, and a little worse. It begins with the best of several k-means++ draws.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from unirestorer.core.hierarchy import Hierarchy, nearest

from .configs import MiniBatchConfig
from .kmeans import SAMPLE, Clusters, bottom_up
from .points import Points, checked


class MiniBatch:
    """Scikit-learn style clusterer; ``hierarchy_`` after ``fit``."""

    hierarchy_: Hierarchy

    def __init__(self, config: MiniBatchConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> MiniBatch:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` for fewer distinct samples than leaves, nan or inf."""
        points = checked("minibatch-kmeans", dr, self.config.normalize, self.config.sizes[-1])
        centres = self._centres(points) if self.config.sizes[-1] > 1 else points.means(np.zeros(len(dr), np.int32), 1)
        self.hierarchy_ = bottom_up(points, Clusters(centres, points.nearest(centres)), self.config)
        return self

    def _centres(self, points: Points) -> NDArray[np.float32]:
        config = self.config
        draw = np.random.default_rng(config.seed)
        model = MiniBatchKMeans(
            config.sizes[-1], init=_start(points, config), n_init=1, batch_size=config.batch, random_state=config.seed
        )
        with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for _ in range(config.passes):
                order = draw.permutation(len(points))
                for start in range(0, len(points), config.batch):
                    model.partial_fit(points.take(order[start : start + config.batch]))
        centres: NDArray[np.float32] = model.cluster_centers_.astype(np.float32)
        return centres


def _start(points: Points, config: MiniBatchConfig) -> NDArray[np.float32]:
    """The best of ``restarts`` k-means++ draws of centres."""
    sample = points.take(points.draw(SAMPLE, config.seed))
    starts = [
        kmeans_plusplus(sample, config.sizes[-1], random_state=config.seed + restart)[0].astype(np.float32)
        for restart in range(config.restarts)
    ]
    within = [float(((sample - centres[nearest(sample, centres)]) ** 2).sum()) for centres in starts]
    best: NDArray[np.float32] = starts[int(np.argmin(within))]
    return best
