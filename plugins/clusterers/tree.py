"""From clusters at every level to a ``Hierarchy``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unirestorer.core.hierarchy import Hierarchy

from .points import Points

Above = NDArray[np.int32]
"""(K,): the cluster of the next coarser level that each of K clusters belongs to."""


def grown(
    centres: Sequence[NDArray[np.float32]], above: Sequence[Above], labels: NDArray[np.integer], normalize: bool
) -> Hierarchy:
    """The tree of ``centres`` (K, D) per level, coarsest first, the first of one cluster.

    ``above``: of every level but the first. ``labels`` (N,) are the samples' clusters of the finest level.
    """
    starts = np.cumsum([0, *(len(level) for level in centres)])
    path = [labels]
    for up in reversed(above):
        path.insert(0, up[path[0]])
    parents = [np.array([-1]), *(up + start for up, start in zip(above, starts, strict=False))]
    return Hierarchy(
        parent=np.concatenate(parents).astype(np.int32),
        level=np.repeat(np.arange(len(centres)), [len(level) for level in centres]).astype(np.int32),
        centroid=np.concatenate(centres).astype(np.float32),
        assign=np.stack([own + start for own, start in zip(path, starts, strict=False)], axis=1).astype(np.int32),
        normalize=normalize,
    ).validate()


def from_labels(points: Points, labels: NDArray[np.int32], above: Sequence[Above]) -> Hierarchy:
    """The tree whose finest clusters are ``labels`` (N,), each of them with samples; centres are their means."""
    count = int(labels.max()) + 1 if not above else len(above[-1])
    centres = [points.means(labels, count)]
    weights = np.bincount(labels, minlength=count)
    for up in reversed(above):
        centres.insert(0, joined(centres[0], weights, up))
        weights = np.bincount(up, weights)
    return grown(centres, above, labels, points.normalize)


def joined(centres: NDArray[np.float32], weights: NDArray[np.number], up: Above) -> NDArray[np.float32]:
    """Means (up.max() + 1, D) of the clusters that ``up`` (K,) puts together, by their ``weights`` (K,)."""
    member = (up == np.arange(up.max() + 1)[:, None]) * weights.astype(np.float64)
    means: NDArray[np.float32] = (member @ centres / member.sum(axis=1, keepdims=True)).astype(np.float32)
    return means


def divided(labels: Sequence[NDArray[np.integer]]) -> list[Above]:
    """``above`` of nested ``labels`` (n,) per level, coarsest first."""
    maps = []
    for coarse, fine in pairwise(labels):
        _, first = np.unique(fine, return_index=True)
        maps.append(coarse[first].astype(np.int32))
    return maps


def whole(points: Points, picked: NDArray[np.intp], labels: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    """Labels (N,) of all points: those ``picked`` keep ``labels`` (n,), the others go to the nearest of their means."""
    if len(picked) == len(points):
        return labels.astype(np.int32)
    own = points.take(picked)
    centres = np.stack([own[labels == label].mean(axis=0) for label in range(count)])
    found = points.nearest(centres)
    found[picked] = labels
    return found


def looked_at(picked: NDArray[np.intp], points: Points) -> tuple[str, ...]:
    """The note that not all points were looked at; none where they were."""
    if len(picked) == len(points):
        return ()
    return (f"{points.name} looked at {len(picked)} of {len(points)} DRs; the others went to the nearest leaf",)
