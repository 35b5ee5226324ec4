"""``manual``: the tree of the labels that come with the data set: ALL, TYPE, DEGREE, wherever the DRs lie.

With ``groups``, types that belong together get a node of their own between the root and them, on the level GROUP; the
others stay below the root. A group of fewer than two types that occur is left out. Of samples of one type, the root is
that type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unirestorer.core import Labels
from unirestorer.core.errors import ShapeError, UnknownNameError
from unirestorer.core.hierarchy import Hierarchy, LabelledTree

from .configs import ManualConfig
from .points import checked

ROOT = "all"


class Node(NamedTuple):
    """A node of the outline: its level, name and type, and the name of its parent, empty for the root."""

    level: str
    name: str
    kind: str
    parent: str


class Manual:
    """Scikit-learn style clusterer that is shown the labels; ``hierarchy_`` and ``labelled_`` after ``fit``."""

    hierarchy_: Hierarchy
    labelled_: LabelledTree

    def __init__(self, config: ManualConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32], labels: Labels) -> Manual:
        """The tree of those ``labels`` of ``dr`` (N, D) float32 that occur.

        Raises ``ShapeError`` for nan or inf, another number of labels, or a group that is called like a type;
        ``UnknownNameError`` for a group of unknown types.
        """
        points = checked("manual", dr, self.config.normalize)
        if len(labels.prompt) != len(dr):
            raise ShapeError(f"manual: got {len(labels.prompt)} labels for {len(dr)} DRs, wanted one each")
        self._check_groups(labels.prompts.types)
        there, leaf = np.unique(labels.prompt, return_inverse=True)
        pairs = [labels.prompts.pairs[prompt] for prompt in there]
        nodes = outline(pairs, self.config.groups)
        levels = tuple(dict.fromkeys(node.level for node in nodes))
        number = {node.name: index for index, node in enumerate(nodes)}
        parent = [number.get(node.parent, -1) for node in nodes]
        level = np.array([levels.index(node.level) for node in nodes], dtype=np.int32)
        paths = np.zeros((len(pairs), len(levels)), dtype=np.int32)
        inside = np.zeros((len(nodes), len(pairs)))
        for row, (kind, degree) in enumerate(pairs):
            path = [number[f"{kind}/{degree}"]]
            while parent[path[0]] >= 0:
                path.insert(0, parent[path[0]])
            for node in path:
                paths[row, level[node] :] = node
            inside[path, row] = np.count_nonzero(leaf == row)
        centres = points.means(leaf.astype(np.int32), len(pairs))
        tree = Hierarchy(
            parent=np.array(parent, dtype=np.int32),
            level=level,
            centroid=(inside @ centres / inside.sum(axis=1, keepdims=True)).astype(np.float32),
            assign=paths[leaf],
            normalize=self.config.normalize,
        )
        self.hierarchy_ = tree.validate()
        names, kinds = tuple(node.name for node in nodes), tuple(node.kind for node in nodes)
        self.labelled_ = LabelledTree(self.hierarchy_, names, kinds, levels)
        return self

    def _check_groups(self, types: Sequence[str]) -> None:
        for name, kinds in self.config.groups.items():
            if name in (ROOT, *types):
                raise ShapeError(f"manual: groups.{name}: the root or a type has this name; choose another")
            for kind in kinds:
                if kind not in types:
                    raise UnknownNameError("type", kind, types)


def outline(pairs: Sequence[tuple[str, str]], groups: Mapping[str, Sequence[str]]) -> list[Node]:
    """The nodes over ``pairs`` of type and degree, the coarsest first."""
    types = list(dict.fromkeys(kind for kind, _ in pairs))
    groups = {name: own for name, kinds in groups.items() if len(own := [kind for kind in kinds if kind in types]) > 1}
    group_of = {kind: name for name, kinds in groups.items() for kind in kinds}
    nodes = [Node("ALL", ROOT, ROOT, "")]
    nodes += [Node("GROUP", name, name, ROOT) for name in groups]
    if len(types) > 1:
        nodes += [Node("TYPE", kind, kind, group_of.get(kind, ROOT)) for kind in types]
    return nodes + [
        Node("DEGREE", f"{kind}/{degree}", kind, kind if len(types) > 1 else ROOT) for kind, degree in pairs
    ]
