"""``gmm``: a mixture of Gaussians; each component is a leaf.

Coarser levels merge components by k-means of their means, as ``kmeans`` does. A sample belongs to the component
that is most probable for it. The mixture is fitted to at most ``sample`` DRs.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from unirestorer.core.hierarchy import Hierarchy

from .configs import MixtureConfig
from .kmeans import gathered
from .points import Points, Rows, checked
from .tree import from_labels


class Mixture:
    """Scikit-learn style clusterer; ``hierarchy_`` and ``notes_`` after ``fit``."""

    hierarchy_: Hierarchy
    notes_: tuple[str, ...] = ()

    def __init__(self, config: MixtureConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> Mixture:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` for fewer distinct samples than leaves, nan or inf.

        Or where a component is the most probable one of no sample.
        """
        config = self.config
        points = checked("gmm", dr, config.normalize, config.sizes[-1])
        picked = points.draw(config.sample, config.seed)
        labels, means = self._components(points, picked) if config.sizes[-1] > 1 else _one(points)
        counts = points.counts(labels, config.sizes[-1])
        _, above = gathered(means, counts, config.sizes, config.restarts, config.seed)
        self.hierarchy_ = from_labels(points, labels, above)
        few = len(picked) < len(points)
        self.notes_ = (f"gmm was fitted to {len(picked)} of {len(points)} DRs",) if few else ()
        return self

    def _components(self, points: Points, picked: Rows) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The most probable component (N,) of each point, and the means (K, D) of all components."""
        config = self.config
        model = GaussianMixture(
            config.sizes[-1],
            covariance_type=config.covariance,
            reg_covar=config.floor,
            n_init=config.restarts,
            random_state=config.seed,
        )
        with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(points.take(picked).astype(np.float64))
        chunks = points.chunks(lambda part, _: model.predict(part.astype(np.float64)).astype(np.int32))
        return np.concatenate(list(chunks)), model.means_.astype(np.float32)


def _one(points: Points) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """One component, of one point at least: scikit-learn wants two."""
    labels = np.zeros(len(points), dtype=np.int32)
    return labels, points.means(labels, 1)
