"""The tree of degradations: level 0 is ALL, then TYPE, then DEGREE (paper section 3.2), any depth, sizes and shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import ShapeError, UnknownNameError

SPREAD = 0.2
"""Squared distance over which a leaf loses a factor e of probability; leaves of two types are about 1 apart."""
LEVEL_NAMES = ("ALL", "TYPE", "DEGREE")
CHUNK = 4096
"""DRs that are looked at together, so that a million of them take little memory beside themselves."""


def level_names(levels: int) -> tuple[str, ...]:
    """ALL, TYPE, DEGREE for three levels; deeper levels are numbered (LEVEL3, ...)."""
    return tuple(LEVEL_NAMES[i] if i < len(LEVEL_NAMES) else f"LEVEL{i}" for i in range(levels))


def normalised(dr: NDArray[np.float32]) -> NDArray[np.float32]:
    """``dr`` (N, D) with rows of unit Euclidean length."""
    length = np.sqrt(np.einsum("ij,ij->i", dr, dr))[:, None]  # several times as fast as np.linalg.norm
    unit: NDArray[np.float32] = (dr / np.maximum(length, 1e-12)).astype(np.float32, copy=False)
    return unit


def nearest(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index (n,) of the nearest of ``centres`` (K, D) for each of ``points`` (n, D), squared Euclidean.

    Of |x - c|^2 only what depends on c is computed, from the middle m of the centres: |c|^2 - |m|^2 - 2 x (c - m).
    """
    exact = centres.astype(np.float64)
    middle = exact.mean(axis=0)
    offset = ((exact - middle) * (exact + middle)).sum(axis=1)
    slope = (2 * (exact - middle)).astype(np.float32)
    found: NDArray[np.intp] = (offset.astype(np.float32) - points @ slope.T).argmin(axis=1)
    return found


@dataclass(frozen=True)
class Hierarchy:
    """A tree over M nodes built from N samples. It may be ragged: leaves at any level, and paths that skip levels.

    parent: (M,) int32, -1 for the root, which is node 0.
    level: (M,) int32, 0 for the root; greater than that of the parent.
    centroid: (M, D) float32, mean DR of the node's samples (of unit-length DRs where ``normalize``), of a node that was
    put above others later the mean of theirs.
    assign: (N, L) int32, the node of each training sample at each level: of its leaf's path, the last node that is no
    deeper than the level. So a path without a node at some level falls back to the coarser one.
    normalize: whether DRs are scaled to unit length before distances are taken.
    """

    parent: NDArray[np.int32]
    level: NDArray[np.int32]
    centroid: NDArray[np.float32]
    assign: NDArray[np.int32]
    normalize: bool = True

    def __len__(self) -> int:
        return len(self.parent)

    @cached_property
    def depth(self) -> int:
        """Number of levels L."""
        return int(self.level.max()) + 1

    @cached_property
    def leaves(self) -> NDArray[np.int32]:
        """Node numbers of the K leaves: the nodes without children."""
        return np.setdiff1d(np.arange(len(self), dtype=np.int32), self.parent[self.parent >= 0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of nodes at each level, for example (1, 8, 17)."""
        return tuple(int((self.level == level).sum()) for level in range(self.depth))

    @cached_property
    def ancestors(self) -> NDArray[np.int32]:
        """(K, L): the node at each level above each leaf, as in ``assign``; the last column is ``leaves``."""
        table = np.zeros((len(self.leaves), self.depth), dtype=np.int32)
        for row, leaf in enumerate(self.leaves):
            for node in self.path(int(leaf)):
                table[row, self.level[node] :] = node
        return table

    def path(self, node: int) -> list[int]:
        """Nodes from the root to ``node``, both included."""
        steps = [node]
        while self.parent[steps[-1]] >= 0:
            steps.append(int(self.parent[steps[-1]]))
        return steps[::-1]

    def children(self, node: int) -> NDArray[np.int32]:
        """Node numbers of the children of ``node``."""
        return np.flatnonzero(self.parent == node).astype(np.int32)

    def assign_dr(self, dr: NDArray[np.float32]) -> NDArray[np.int32]:
        """The path (n, L) of each DR (n, D): from the root always to the nearest child (squared Euclidean)."""
        ends = [self._descend(dr[start : start + CHUNK]) for start in range(0, len(dr), CHUNK)]
        rows = np.searchsorted(self.leaves, np.concatenate([np.zeros(0, dtype=np.int32), *ends]))
        return self.ancestors[rows].reshape(-1, self.depth)

    def _descend(self, dr: NDArray[np.float32]) -> NDArray[np.int32]:
        """The leaf (n,) that each DR (n, D) comes to."""
        points = normalised(dr) if self.normalize else dr
        found = np.zeros(len(points), dtype=np.int32)
        for node in np.argsort(self.level, kind="stable"):
            rows, options = np.flatnonzero(found == node), self.children(int(node))
            if len(rows) and len(options):
                found[rows] = options[nearest(points[rows], self.centroid[options])]
        return found

    def nearness(self, dr: NDArray[np.float32], among: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """(n, K) probability of each leaf for DRs (n, D): softmax of minus the squared distance over ``SPREAD``.

        ``among`` (K,): the leaves that come into question, at least one; the others get 0.
        """
        points = normalised(dr) if self.normalize else dr
        gaps = ((points[:, None].astype(np.float64) - self.centroid[None, self.leaves]) ** 2).sum(axis=2)
        if among is not None:
            gaps[:, ~among] = np.inf
        shares = np.exp((gaps.min(axis=1, keepdims=True) - gaps) / SPREAD)
        result: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return result

    def census(self, labels: NDArray[np.integer], count: int) -> NDArray[np.int32]:
        """(M, count): how many training samples of each label (N,) lie in each node."""
        table = np.zeros((len(self), count), dtype=np.int32)
        for level in range(self.depth):
            here = self.level[self.assign[:, level]] == level  # not one that stands in for a missing finer node
            np.add.at(table, (self.assign[here, level], labels[here]), 1)
        return table

    def validate(self) -> Hierarchy:
        """Check every invariant of the class docstring; raises ``ShapeError`` naming the first broken one."""
        nodes = len(self.parent)
        checks: tuple[tuple[Callable[[], Any], str], ...] = (
            (lambda: nodes > 0 and self.parent[0] == -1, "node 0 is the root"),
            (lambda: (self.parent[1:] >= 0).all() and (self.parent < nodes).all(), "every other node has a parent"),
            (lambda: self.level.shape == (nodes,) and self.level[0] == 0, "level is (M,) and 0 at the root"),
            (lambda: (self.level[1:] > self.level[self.parent[1:]]).all(), "a child is deeper than its parent"),
            (lambda: self.centroid.ndim == 2 and len(self.centroid) == nodes, "centroid is (M, D)"),
            (lambda: np.isfinite(self.centroid).all(), "centroids are finite"),
            (lambda: self.assign.ndim == 2 and self.assign.shape[1] == self.depth, "assign is (N, L)"),
            (lambda: np.isin(self.assign[:, -1], self.leaves).all(), "assign ends at a leaf"),
            (lambda: self._nests(), "assign holds the path to that leaf"),
        )
        for holds, rule in checks:  # in order: the later ones rely on the earlier
            if not holds():
                raise ShapeError(f"hierarchy of {nodes} nodes breaks the rule: {rule}")
        return self

    def _nests(self) -> bool:
        rows = np.searchsorted(self.leaves, self.assign[:, -1])
        return bool((self.ancestors[rows] == self.assign).all())


class LabelledTree(NamedTuple):
    """A tree with the names of its nodes, the majority damage type of each node, and the names of its levels."""

    tree: Hierarchy
    names: tuple[str, ...]
    types: tuple[str, ...]
    level_names: tuple[str, ...]


def node_number(labelled: LabelledTree, name: str) -> int:
    """The node called ``name``, or of that number; raises ``UnknownNameError``."""
    if name in labelled.names:
        return labelled.names.index(name)
    if name.isdecimal() and int(name) < len(labelled.names):
        return int(name)
    raise UnknownNameError("node", name, labelled.names)
