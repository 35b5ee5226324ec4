from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unirestorer.core.errors import ShapeError
from unirestorer.core.hierarchy import Hierarchy, level_names
from unirestorer.plugins.clusterers.configs import KMeansConfig
from unirestorer.plugins.clusterers.kmeans import TopDownKMeans

TREE = Hierarchy(
    parent=np.array([-1, 0, 0, 1, 1, 2], dtype=np.int32),
    level=np.array([0, 1, 1, 2, 2, 2], dtype=np.int32),
    centroid=np.array([[0, 0], [-1, 0], [1, 0], [-1, -1], [-1, 1], [1, 0]], dtype=np.float32),
    assign=np.array([[0, 1, 3], [0, 1, 4], [0, 2, 5]], dtype=np.int32),
    normalize=False,
)


def blobs(seed: int = 0, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.eye(6)[:4] * 5
    labels = np.repeat(np.arange(4), each)
    return (centres[labels] + rng.normal(0, 0.3, (4 * each, 6))).astype(np.float32), labels


def test_a_sound_tree_validates() -> None:
    assert TREE.validate() is TREE


@pytest.mark.parametrize(
    "broken",
    [
        {"parent": np.array([0, 0, 0, 1, 1, 2], dtype=np.int32)},
        {"parent": np.array([-1, 0, 0, 4, 1, 2], dtype=np.int32)},
        {"parent": np.array([-1, 0, 0, 1, 1, 9], dtype=np.int32)},
        {"level": np.array([0, 1, 1, 2, 2, 1], dtype=np.int32)},
        {"centroid": np.full((6, 2), np.nan, dtype=np.float32)},
        {"centroid": np.zeros((5, 2), dtype=np.float32)},
        {"assign": np.array([[0, 2, 3]], dtype=np.int32)},
    ],
)
def test_each_broken_invariant_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        replace(TREE, **broken).validate()


def test_ancestors_are_paths_from_the_root() -> None:
    assert TREE.ancestors.tolist() == [[0, 1, 3], [0, 1, 4], [0, 2, 5]]
    assert TREE.sizes == (1, 2, 3)


def test_a_ragged_tree_falls_back_to_the_coarser_node() -> None:
    """Node 2 is a leaf at level 1, and node 5 skips level 1."""
    ragged = replace(
        TREE,
        parent=np.array([-1, 0, 0, 1, 1, 0], dtype=np.int32),
        assign=np.array([[0, 1, 3], [0, 2, 2], [0, 0, 5]], dtype=np.int32),
    ).validate()
    assert ragged.leaves.tolist() == [2, 3, 4, 5]
    assert ragged.ancestors.tolist() == [[0, 2, 2], [0, 1, 3], [0, 1, 4], [0, 0, 5]]
    points = np.array([[-0.9, 0.8], [1.9, 0], [0.9, -0.1]], dtype=np.float32)
    centroid = TREE.centroid.copy()
    centroid[5] = (3, 0)
    assert replace(ragged, centroid=centroid).assign_dr(points).tolist() == [[0, 1, 4], [0, 2, 2], [0, 2, 2]]
    assert ragged.census(np.array([0, 0, 0]), 1).ravel().tolist() == [3, 1, 1, 1, 0, 1]


def test_a_dr_goes_to_the_nearest_child_at_every_level() -> None:
    points = np.array([[-0.9, 0.8], [2, -3]], dtype=np.float32)
    assert TREE.assign_dr(points).tolist() == [[0, 1, 4], [0, 2, 5]]


def test_the_census_counts_labels_in_every_node() -> None:
    assert TREE.census(np.array([0, 1, 1]), 2).tolist() == [[1, 2], [1, 1], [0, 1], [1, 0], [0, 1], [0, 1]]


def test_deeper_levels_are_numbered() -> None:
    assert level_names(4) == ("ALL", "TYPE", "DEGREE", "LEVEL3")


def test_kmeans_finds_separated_blobs() -> None:
    dr, labels = blobs()
    nodes = TopDownKMeans(KMeansConfig(sizes=(1, 4))).fit(dr).hierarchy_.assign[:, 1]
    assert len({(a, b) for a, b in zip(labels, nodes, strict=True)}) == 4


@pytest.mark.parametrize("sizes", [(1,), (1, 4), (1, 4, 9), (1, 2, 4, 8), (1, 3, 3, 7)])
def test_kmeans_reaches_every_size_at_any_depth(sizes: tuple[int, ...]) -> None:
    assert TopDownKMeans(KMeansConfig(sizes=sizes, restarts=2)).fit(blobs()[0]).hierarchy_.sizes == sizes


def test_kmeans_is_repeatable_and_agrees_with_its_own_assignment() -> None:
    dr, _ = blobs()
    one, two = (TopDownKMeans(KMeansConfig(sizes=(1, 4, 6))).fit(dr).hierarchy_ for _ in range(2))
    assert np.array_equal(one.centroid, two.centroid)
    assert np.array_equal(one.assign_dr(dr), one.assign)


def test_kmeans_with_fewer_samples_than_leaves_says_so() -> None:
    with pytest.raises(ShapeError, match="at least 19 distinct"):
        TopDownKMeans(KMeansConfig()).fit(blobs(each=2)[0])


def test_sizes_that_shrink_are_refused() -> None:
    with pytest.raises(ValueError, match="never shrink"):
        KMeansConfig(sizes=(1, 5, 3))
