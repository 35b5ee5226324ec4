"""``agglomerative``: samples are merged pair by pair (Ward, 1963).

The tree of merges is cut at the sizes of the levels, so they nest by construction. Memory and time grow with the
square of the samples: of more than ``sample`` DRs so many are merged, and the others go to the nearest leaf. A leaf of
very few samples may be missed that way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from unirestorer.core.hierarchy import Hierarchy

from .configs import AgglomerativeConfig
from .points import checked
from .tree import divided, from_labels, looked_at, whole


class Agglomerative:
    """Scikit-learn style clusterer; ``hierarchy_`` and ``notes_`` after ``fit``."""

    hierarchy_: Hierarchy
    notes_: tuple[str, ...] = ()

    def __init__(self, config: AgglomerativeConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> Agglomerative:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` for fewer distinct samples than leaves, nan or inf."""
        sizes = self.config.sizes
        points = checked("agglomerative", dr, self.config.normalize, sizes[-1])
        picked = points.draw(self.config.sample, self.config.seed)
        merges = np.zeros((0, 2), dtype=np.intp)
        if len(picked) > 1:
            model = AgglomerativeClustering(n_clusters=None, distance_threshold=0.0, linkage=self.config.linkage)
            merges = model.fit(points.take(picked).astype(np.float64)).children_
        labels = cut(merges, len(picked), sizes)
        self.hierarchy_ = from_labels(points, whole(points, picked, labels[-1], sizes[-1]), divided(labels))
        self.notes_ = looked_at(picked, points)
        return self


def cut(merges: NDArray[np.integer], count: int, sizes: Sequence[int]) -> list[NDArray[np.intp]]:
    """Labels (count,) per size, which rises: what of ``count`` samples is together when so many clusters are left.

    ``merges`` (count - 1, 2): the clusters merged at each step; that of step i is called count + i.
    """
    above = np.arange(2 * count - 1)
    found: list[NDArray[np.intp]] = []
    done = 0
    for size in reversed(sizes):
        for step in range(done, count - size):
            above[merges[step]] = count + step
        done = max(done, count - size)
        root = np.arange(count)
        while not np.array_equal(root, above[root]):
            root = above[root]
        found.insert(0, np.unique(root, return_inverse=True)[1])
    return found
