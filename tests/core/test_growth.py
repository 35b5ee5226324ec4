"""Tree surgery: nodes keep their numbers, names stay unique, levels stay in order."""

from __future__ import annotations

import numpy as np
import pytest

from unirestorer.core.errors import ConfigError, UnknownNameError
from unirestorer.core.extending.growth import graft, group, prune, split
from unirestorer.core.extending.refit import counterparts
from unirestorer.core.hierarchy import Hierarchy, LabelledTree, node_number

NAMES = ("all", "rain", "snow", "noise", "rain/small", "rain/large", "snow/small", "noise/small")


def tree(parent: list[int], level: list[int]) -> Hierarchy:
    centroid = np.random.default_rng(0).normal(size=(len(parent), 4)).astype(np.float32)
    assign = np.zeros((0, max(level) + 1), dtype=np.int32)
    return Hierarchy(np.array(parent, np.int32), np.array(level, np.int32), centroid, assign).validate()


def labelled() -> LabelledTree:
    types = ("all", "rain", "snow", "noise", "rain", "rain", "snow", "noise")
    return LabelledTree(
        tree([-1, 0, 0, 0, 1, 1, 2, 3], [0, 1, 1, 1, 2, 2, 2, 2]), NAMES, types, ("ALL", "TYPE", "DEGREE")
    )


BRANCH = tree([-1, 0, 0], [0, 1, 1])


def test_a_grafted_branch_has_a_type_and_its_degrees() -> None:
    grown = graft(labelled(), BRANCH, "fog", ["thin", "thin", "thin"])
    assert grown.labelled.names == (*NAMES, "fog", "fog/thin", "fog/thin#2")
    assert grown.labelled.types[-3:] == ("fog", "fog", "fog")
    assert grown.labelled.tree.sizes == (1, 4, 6)
    assert grown.origin.tolist() == [*range(8), -1, -1, -1]
    assert grown.new == [8, 9, 10]
    assert np.array_equal(grown.labelled.tree.centroid[8:], BRANCH.centroid)


@pytest.mark.parametrize("name", ["rain", "all", "noise/small"])
def test_a_branch_of_a_known_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="has this degradation or node already"):
        graft(labelled(), BRANCH, name, ["a", "b", "c"])


def test_a_split_leaf_gets_a_level_of_its_own() -> None:
    grown = split(labelled(), 4, BRANCH)
    assert grown.labelled.names[8:] == ("rain/small/1", "rain/small/2")
    assert grown.labelled.level_names == ("ALL", "TYPE", "DEGREE", "LEVEL3")
    new = grown.labelled.tree
    assert new.path(9) == [0, 1, 4, 9]
    assert new.ancestors[list(new.leaves).index(5)].tolist() == [0, 1, 5, 5]


def test_only_leaves_are_split() -> None:
    with pytest.raises(ConfigError, match="has finer nodes already; split one of its leaves: rain/small, rain/large"):
        split(labelled(), 1, BRANCH)


def test_a_group_comes_between_its_nodes_and_their_parent() -> None:
    grown = group(labelled(), [1, 2], "weather")
    new = grown.labelled.tree
    assert grown.labelled.level_names == ("ALL", "GROUP", "TYPE", "DEGREE")
    assert new.path(5) == [0, 8, 1, 5]
    assert new.path(7) == [0, 3, 7]
    assert new.ancestors[list(new.leaves).index(7)].tolist() == [0, 0, 3, 7]
    assert np.allclose(new.centroid[8], new.centroid[[1, 2]].mean(0))


def test_a_second_group_uses_the_level_of_the_first() -> None:
    wide = graft(labelled(), BRANCH, "fog", ["a", "b", "c"]).labelled
    both = group(group(wide, [1, 2], "weather").labelled, [3, 8], "sensor").labelled
    assert both.level_names == ("ALL", "GROUP", "TYPE", "DEGREE")
    assert both.tree.sizes == (1, 2, 4, 6)


def test_a_degradation_added_below_a_group_level_is_a_type() -> None:
    grown = graft(group(labelled(), [1, 2], "weather").labelled, BRANCH, "fog", ["a", "b", "c"]).labelled
    assert grown.level_names[grown.tree.level[grown.names.index("fog")]] == "TYPE"
    assert grown.level_names == ("ALL", "GROUP", "TYPE", "DEGREE")


@pytest.mark.parametrize(
    ("nodes", "name", "reason"),
    [
        ([1], "weather", "two or more nodes below one parent"),
        ([1, 1], "weather", "two or more nodes below one parent"),
        ([1, 7], "weather", "two or more nodes below one parent"),
        ([0, 1], "weather", "two or more nodes below one parent"),
        ([1, 2, 3], "weather", "leave at least one out"),
        ([1, 2], "noise", "has a node or type of this name"),
    ],
)
def test_impossible_groups_are_refused(nodes: list[int], name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        group(labelled(), nodes, name)


def test_removing_a_type_removes_all_below_it() -> None:
    left = prune(labelled(), 1)
    assert left.labelled.names == ("all", "snow", "noise", "snow/small", "noise/small")
    assert left.origin.tolist() == [0, 2, 3, 6, 7]
    assert left.labelled.tree.path(3) == [0, 1, 3]


def test_a_parent_without_children_becomes_a_leaf() -> None:
    left = prune(labelled(), 6).labelled
    assert left.names.index("snow") in left.tree.leaves
    assert left.tree.ancestors[list(left.tree.leaves).index(2)].tolist() == [0, 2, 2]


def test_removing_a_group_keeps_what_it_gathered() -> None:
    start = labelled()
    back = prune(group(start, [1, 2], "weather").labelled, 8).labelled
    assert (back.names, back.level_names) == (start.names, start.level_names)
    assert np.array_equal(back.tree.parent, start.tree.parent)
    assert np.array_equal(back.tree.level, start.tree.level)


def test_only_groups_lie_on_a_group_level() -> None:
    """A group below a type puts its level between TYPE and DEGREE; branches and parts pass over it."""
    wide = graft(labelled(), tree([-1, 0, 0, 0], [0, 1, 1, 1]), "fog", ["-", "a", "b", "c"]).labelled
    grouped = group(wide, [9, 10], "thin fog").labelled
    assert grouped.level_names == ("ALL", "TYPE", "GROUP", "DEGREE")
    assert grouped.types[-1] == "fog"  # so that an instruction for fog may use it
    grown = graft(grouped, BRANCH, "dust", ["-", "a", "b"]).labelled
    parts = split(grown, grown.names.index("noise/small"), BRANCH).labelled
    levels = [parts.level_names[level] for level in parts.tree.level]
    assert [name for name, level in zip(parts.names, levels, strict=True) if level == "GROUP"] == ["thin fog"]
    left = prune(grown, grown.names.index("dust/a")).labelled
    assert left.names == (*grouped.names, "dust", "dust/b")


def test_a_group_that_lost_all_it_gathered_goes_too() -> None:
    start = graft(labelled(), BRANCH, "fog", ["a", "b", "c"]).labelled
    grouped = group(start, [1, 2], "weather").labelled
    for name in ("rain", "snow"):
        grouped = prune(grouped, grouped.names.index(name)).labelled
    assert grouped.names == ("all", "noise", "noise/small", "fog", "fog/b", "fog/c")
    assert grouped.level_names == ("ALL", "TYPE", "DEGREE")


def test_the_root_and_the_last_branch_stay() -> None:
    with pytest.raises(ConfigError, match="root cannot be removed"):
        prune(labelled(), 0)
    alone = LabelledTree(tree([-1, 0], [0, 1]), ("all", "rain"), ("all", "rain"), ("ALL", "TYPE"))
    with pytest.raises(ConfigError, match="all there is below the root"):
        prune(alone, 1)


def test_a_node_is_named_or_numbered() -> None:
    assert node_number(labelled(), "snow/small") == node_number(labelled(), "6") == 6
    with pytest.raises(UnknownNameError, match="did you mean 'rain/small'"):
        node_number(labelled(), "rain/smal")


def test_new_leaves_and_levels_stand_for_old_ones() -> None:
    old = labelled()  # leaves 4 5 6 7
    assert counterparts(old, graft(old, BRANCH, "fog", ["a", "b", "c"])).leaf.tolist() == [0, 1, 2, 3, -1, -1]
    divided = counterparts(old, split(old, 4, BRANCH))  # leaves 5 6 7 8 9
    assert divided.leaf.tolist() == [1, 2, 3, 0, 0]
    assert divided.level.tolist() == [0, 1, 2, 2]
    assert counterparts(old, group(old, [1, 2], "weather")).level.tolist() == [0, 0, 1, 2]
    assert counterparts(old, prune(old, 6)).leaf.tolist() == [2, 0, 1, 3]  # leaves snow, rain/small, rain/large, noise
