from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unirestorer.core.errors import ShapeError
from unirestorer.core.hierarchy import CHUNK, Hierarchy, level_names, nearest, normalised

TREE = Hierarchy(
    parent=np.array([-1, 0, 0, 1, 1, 2], dtype=np.int32),
    level=np.array([0, 1, 1, 2, 2, 2], dtype=np.int32),
    centroid=np.array([[0, 0], [-1, 0], [1, 0], [-1, -1], [-1, 1], [1, 0]], dtype=np.float32),
    assign=np.array([[0, 1, 3], [0, 1, 4], [0, 2, 5]], dtype=np.int32),
    normalize=False,
)


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


def test_the_nearest_centre_is_found_far_from_the_origin_too() -> None:
    draw = np.random.default_rng(0)
    centres = (1000 + draw.normal(size=(19, 32))).astype(np.float32)
    points = (centres[draw.integers(19, size=500)] + 0.3 * draw.normal(size=(500, 32))).astype(np.float32)
    exact = ((points[:, None].astype(np.float64) - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(nearest(points, centres), exact)


def test_unit_length_holds_for_zeros_and_large_values() -> None:
    dr = np.array([[0, 0], [3e18, 4e18], [-1e-6, 0]], dtype=np.float32)
    assert np.allclose(normalised(dr), np.array([[0, 0], [0.6, 0.8], [-1, 0]]))


def test_many_drs_are_assigned_as_few_are() -> None:
    dr = np.random.default_rng(1).normal(size=(CHUNK + 50, 2)).astype(np.float32)
    paths = TREE.assign_dr(dr)
    assert np.array_equal(paths[CHUNK - 3 :], TREE.assign_dr(dr[CHUNK - 3 :]))
    assert TREE.assign_dr(dr[:0]).shape == (0, 3)
