"""Surgery on trees: pure functions from a labelled tree to a labelled tree and where its nodes come from.

Nodes keep their numbers and new ones are appended, except by ``prune``. Levels are counted from the coarsest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..hierarchy import Hierarchy, LabelledTree, level_names

TYPE_LEVEL = "TYPE"
GROUP_LEVEL = "GROUP"


@dataclass(frozen=True)
class Grown:
    """A labelled tree and, for each of its nodes, the number it had before; -1 for a new one."""

    labelled: LabelledTree
    origin: NDArray[np.int32]

    @property
    def new(self) -> list[int]:
        """Numbers of the new nodes, coarsest first."""
        level = self.labelled.tree.level
        return sorted((int(node) for node in np.flatnonzero(self.origin < 0)), key=lambda node: int(level[node]))


def graft(labelled: LabelledTree, branch: Hierarchy, kind: str, degrees: Sequence[str]) -> Grown:
    """``branch`` under the root as the damage type ``kind``; its nodes are called after ``degrees`` (one per node)."""
    if kind in labelled.names or kind in labelled.types:
        raise ConfigError(f"{kind}: the model has this degradation or node already; name a new one, or remove it first")
    level = labelled.level_names.index(TYPE_LEVEL) if TYPE_LEVEL in labelled.level_names else 1
    return _attach(labelled, branch, 0, level, [kind] * len(branch), [kind, *(f"{kind}/{d}" for d in degrees[1:])])


def split(labelled: LabelledTree, node: int, branch: Hierarchy) -> Grown:
    """The nodes below the root of ``branch`` as children of the leaf ``node``, one level further down."""
    tree = labelled.tree
    if len(tree.children(node)):
        finest = ", ".join(labelled.names[leaf] for leaf in tree.leaves if node in tree.path(int(leaf)))
        raise ConfigError(f"{labelled.names[node]}: has finer nodes already; split one of its leaves: {finest}")
    below = replace(branch, parent=branch.parent[1:] - 1, level=branch.level[1:] - 1, centroid=branch.centroid[1:])
    names = [f"{labelled.names[node]}/{number + 1}" for number in range(len(below))]
    return _attach(labelled, below, node, int(tree.level[node]) + 1, [labelled.types[node]] * len(below), names)


def group(labelled: LabelledTree, nodes: Sequence[int], name: str) -> Grown:
    """A node ``name`` between the siblings ``nodes`` and their parent, on a level of its own between theirs."""
    tree = labelled.tree
    parents = {int(tree.parent[node]) for node in nodes}
    if len(set(nodes)) < 2 or len(parents) != 1 or min(parents) < 0:
        raise ConfigError(f"{name}: a group needs two or more nodes below one parent; got {_listed(labelled, nodes)}")
    if len(set(nodes)) == len(tree.children(min(parents))):
        raise ConfigError(f"{name}: these are all children of '{labelled.names[min(parents)]}'; leave at least one out")
    if name in labelled.names or name in labelled.types:
        raise ConfigError(f"{name}: the tree has a node or type of this name; choose another")
    parent, level = min(parents), int(tree.level[list(nodes)].min())
    names, levels = labelled.level_names, tree.level
    if level - int(tree.level[parent]) == 1:  # no free level between them
        levels = np.where(levels >= level, levels + 1, levels).astype(np.int32)
        names = (*names[:level], _fresh(GROUP_LEVEL, names), *names[level:])
        level += 1
    centre = tree.centroid[list(nodes)].mean(axis=0)
    above = tree.parent.copy()
    above[list(nodes)] = len(tree)
    grown = Hierarchy(
        parent=np.append(above, parent).astype(np.int32),
        level=np.append(levels, level - 1).astype(np.int32),
        centroid=np.vstack([tree.centroid, centre]),
        assign=np.zeros((0, len(names)), dtype=np.int32),
        normalize=tree.normalize,
    ).validate()
    origin = np.append(np.arange(len(tree)), -1).astype(np.int32)
    kind = name if parent == 0 else labelled.types[parent]
    return Grown(LabelledTree(grown, (*labelled.names, name), (*labelled.types, kind), names), origin)


def is_group(labelled: LabelledTree, node: int) -> bool:
    """Whether ``node`` only gathers others: it lies on a level made by ``group``."""
    return labelled.level_names[int(labelled.tree.level[node])].startswith(GROUP_LEVEL)


def prune(labelled: LabelledTree, node: int) -> Grown:
    """The tree without ``node`` and all below it, or of a group without the group alone.

    A parent left without children becomes a leaf, and a level left without nodes goes.
    """
    tree = labelled.tree
    if node == 0:
        raise ConfigError(f"{labelled.names[0]}: the root cannot be removed; name another node")
    parent = tree.parent.copy()
    if is_group(labelled, node):
        parent[tree.children(node)] = parent[node]
    gone = {node} if is_group(labelled, node) else {n for n in range(len(tree)) if node in tree.path(n)}
    for group_node in sorted(range(1, len(tree)), key=lambda n: -int(tree.level[n])):  # groups of nothing go too
        if is_group(labelled, group_node) and not set(np.flatnonzero(parent == group_node)) - gone:
            gone.add(group_node)
    keep = np.array([n for n in range(len(tree)) if n not in gone], dtype=np.int32)
    if len(keep) < 2:
        raise ConfigError(
            f"{labelled.names[node]}: is all there is below the root; extend the model before removing it"
        )
    number = {-1: -1} | {int(old): new for new, old in enumerate(keep)}
    used, level = np.unique(tree.level[keep], return_inverse=True)
    left = Hierarchy(
        parent=np.array([number[int(parent[n])] for n in keep], dtype=np.int32),
        level=level.astype(np.int32),
        centroid=tree.centroid[keep],
        assign=np.zeros((0, len(used)), dtype=np.int32),
        normalize=tree.normalize,
    ).validate()
    names, types = (tuple(old[n] for n in keep) for old in (labelled.names, labelled.types))
    return Grown(LabelledTree(left, names, types, tuple(labelled.level_names[n] for n in used)), keep)


def _attach(
    labelled: LabelledTree, branch: Hierarchy, under: int, level: int, types: Sequence[str], names: Sequence[str]
) -> Grown:
    """Nodes of ``branch`` appended: those without a parent in it become children of ``under``, from ``level`` on.

    They pass over levels that are for groups.
    """
    tree, count = labelled.tree, len(labelled.level_names)
    groups = {number for number, label in enumerate(labelled.level_names) if label.startswith(GROUP_LEVEL)}
    free = [number for number in range(level, count + branch.depth + 1) if number not in groups]
    levels = np.concatenate([tree.level, np.array(free)[branch.level]]).astype(np.int32)
    depth = int(levels.max()) + 1
    labels = (*labelled.level_names, *level_names(depth)[len(labelled.level_names) :])
    for number in range(len(labelled.level_names), depth):  # after an inserted level the numbered names may be taken
        labels = (*labels[:number], _fresh(labels[number], labels[:number]), *labels[number + 1 :])
    grown = Hierarchy(
        parent=np.concatenate([tree.parent, np.where(branch.parent < 0, under, branch.parent + len(tree))]).astype(
            np.int32
        ),
        level=levels,
        centroid=np.concatenate([tree.centroid, branch.centroid]).astype(np.float32),
        assign=np.zeros((0, depth), dtype=np.int32),
        normalize=tree.normalize,
    ).validate()
    unique = list(labelled.names)
    for name in names:
        unique.append(_fresh(name, unique))
    origin = np.concatenate([np.arange(len(tree)), np.full(len(branch), -1)]).astype(np.int32)
    return Grown(LabelledTree(grown, tuple(unique), (*labelled.types, *types), labels), origin)


def _fresh(name: str, taken: Sequence[str]) -> str:
    """``name``, or with #2, #3, ... where it is taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    return candidate


def _listed(labelled: LabelledTree, nodes: Sequence[int]) -> str:
    return ", ".join(f"'{labelled.names[node]}'" for node in nodes)
