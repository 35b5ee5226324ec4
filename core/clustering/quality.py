"""How well a hierarchy fits the DRs it was made from (silhouette) and their true labels (NMI, purity)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score, pairwise_distances, silhouette_samples

from ..contracts import Labels
from ..hierarchy import Hierarchy, LabelledTree, normalised

SAMPLE = 3000
"""Samples whose silhouettes are computed: time and memory grow with the square of them."""
TYPE_LEVEL = "TYPE"


class Quality(NamedTuple):
    """Figures by name, and of each node the mean silhouette on its level (M,), nan where there is none."""

    figures: dict[str, float]
    silhouette: NDArray[np.float64]


def measure(labelled: LabelledTree, dr: NDArray[np.float32], labels: Labels) -> Quality:
    """How good the tree over ``dr`` (N, D), whose rows it assigns, is; ``labels`` (N,) are the true ones.

    ``nmi_type`` and ``purity_type`` compare nodes of the level TYPE with types, ``nmi_prompt`` and ``purity_degree``
    leaves with prompts (types and degrees). ``silhouette_LEVEL`` is the mean over at most ``SAMPLE`` samples.
    ``agreement`` is the share of samples that ``assign_dr`` leads to the very leaf that the clusterer gave them.
    """
    tree = labelled.tree
    types = np.array(labels.prompts.type_of)[labels.prompt]
    nodes, leaves = tree.assign[:, type_level(labelled)], tree.assign[:, -1]
    figures = {
        "nmi_type": float(normalized_mutual_info_score(types, nodes)),
        "nmi_prompt": float(normalized_mutual_info_score(labels.prompt, leaves)),
        "purity_type": purity(nodes, types),
        "purity_degree": purity(leaves, labels.prompt),
        "agreement": float((tree.assign_dr(dr)[:, -1] == leaves).mean()),
    }
    pick = sampled(len(dr), SAMPLE)
    levels, silhouette = _silhouettes(tree, dr[pick], tree.assign[pick])
    for level, value in levels.items():
        figures[f"silhouette_{labelled.level_names[level].lower()}"] = value
    return Quality(figures, silhouette)


def type_level(labelled: LabelledTree) -> int:
    """Number of the level TYPE; the first below the root where there is none, the root where that is all."""
    names = labelled.level_names
    return names.index(TYPE_LEVEL) if TYPE_LEVEL in names else min(1, len(names) - 1)


def purity(nodes: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """Share of samples (N,) that have the most frequent label of their node."""
    _, row = np.unique(nodes, return_inverse=True)
    table = np.zeros((int(row.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(table, (row, labels), 1)
    return float(table.max(axis=1).sum() / len(nodes))


def sampled(count: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` of ``count`` row numbers, ascending; the same ones every time."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _silhouettes(
    tree: Hierarchy, dr: NDArray[np.float32], assign: NDArray[np.int32]
) -> tuple[dict[int, float], NDArray[np.float64]]:
    """Mean silhouette of each level that has one, and of each node (M,)."""
    points = normalised(dr) if tree.normalize else dr
    apart = pairwise_distances(points.astype(np.float64))
    np.fill_diagonal(apart, 0.0)  # rounding
    levels: dict[int, float] = {}
    nodes = np.full(len(tree), np.nan)
    for level in range(1, tree.depth):
        here = assign[:, level]
        if not 1 < len(np.unique(here)) < len(here):
            continue
        values = silhouette_samples(apart, here, metric="precomputed")
        levels[level] = float(values.mean())
        for node in np.unique(here[tree.level[here] == level]):
            nodes[node] = values[here == node].mean()
    return levels, nodes
