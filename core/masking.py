"""From an instruction and a tree to a mask over its nodes: which experts may be chosen (paper, instruction mode).

- task: the nodes of that type, and of a group all that is below it.
- degree: the nodes of that degree; where a type has none that is called so, those of the same severity.
- level: the node that stands for each path there, ``Hierarchy.ancestors``: on a path without one, the coarser node.
- expert: that node.
- exclude: not the nodes of that task, or not that node and what is below it.

All that is said must hold. A node above those of a task or degree (the root, a group, a type) may be chosen only where
its level, or itself, is named: ``--task rain --level ALL`` is the root. In the paper's figure a task leaves the root
("1 / 1 0 0 / 111 00 000"), which naming all levels does; on photos of seven damages it was never chosen then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, UnknownNameError
from .hierarchy import LabelledTree, node_number
from .instruction import Instruction
from .words import SEVERITIES, degrees_meant, plain, severity, types_meant

_SHOWN = 12
_FIELDS = {"tasks": "tasks", "degrees": "degrees", "levels": "levels", "experts": "experts", "exclude": ""}
"""Fields of an instruction, and what of that kind a tree has."""

Mask = NDArray[np.bool_]


def tasks_of(labelled: LabelledTree) -> tuple[str, ...]:
    """Damage types of a tree, and groups of them, sorted."""
    return tuple(sorted({kind for kind, level in zip(labelled.types, labelled.tree.level, strict=True) if level}))


def degree_of(name: str) -> str:
    """The degree that a node's name says, empty where it says none: ``heavy`` of ``rain/heavy#2`` and ``rain/heavy/1``.

    Nodes get numbers where several have one majority degree, or where a leaf was divided (``clustering.naming``).
    """
    first = name.partition("/")[2].partition("/")[0]
    return re.sub(r"#\d+$", "", first).rstrip("+")


def mask_of(instruction: Instruction, labelled: LabelledTree, words: Mapping[str, Sequence[str]]) -> Mask | None:
    """Mask (M,) of the nodes that ``instruction`` leaves, at least one; ``None`` where nothing is said: all of them.

    ``words``: what every registered degradation is also called. Raises ``UnknownNameError`` for a name that the tree
    does not have, ``ConfigError`` where all that is said leaves no node.
    """
    if not instruction:
        return None
    nodes = _Nodes(labelled, words)
    allowed = nodes.left(instruction)
    if not allowed.any():
        raise ConfigError(nodes.conflict(instruction))
    return allowed


@dataclass(frozen=True)
class _Nodes:
    """The nodes of a tree by what can be said of them. Masks are (M,)."""

    labelled: LabelledTree
    words: Mapping[str, Sequence[str]]

    def left(self, said: Instruction) -> Mask:
        """The nodes that ``said`` leaves, perhaps none; raises ``UnknownNameError``."""
        ancestors = self.labelled.tree.ancestors
        fitting = self._any(self.of_task, said.tasks) & self._any(self.of_degree, said.degrees)
        rows = fitting[ancestors].any(axis=1)
        levels = [self.level(name) for name in said.levels]
        named = fitting.copy()
        if said.levels or said.experts:
            named |= self._above(fitting, said.tasks)
        if said.levels:
            named &= np.isin(np.arange(len(named)), ancestors[rows][:, levels])
        named &= self._any(self.of_expert, said.experts)
        return named & ~self._any(self.excluded, said.exclude) if said.exclude else named

    def _any(self, find: Callable[[str], Mask], names: Sequence[str]) -> Mask:
        """Nodes of any of ``names``; all where there is no name."""
        if not names:
            return np.ones(len(self.labelled.names), dtype=np.bool_)
        found: Mask = np.any([find(name) for name in names], axis=0)
        return found

    @cached_property
    def _paths(self) -> list[list[int]]:
        return [self.labelled.tree.path(node) for node in range(len(self.labelled.names))]

    @cached_property
    def _leaf_types(self) -> set[str]:
        return {self.labelled.types[leaf] for leaf in self.labelled.tree.leaves}

    def _tasks(self, name: str) -> Mask | None:
        """Nodes of the damages that ``name`` means; ``None`` if it means none."""
        types = self.labelled.types
        meant = set(types_meant(name, tasks_of(self.labelled), self.words))
        if not meant:
            return None
        groups = meant - self._leaf_types
        below = [types[path[-1]] in meant or any(types[node] in groups for node in path) for path in self._paths]
        return np.array([len(path) > 1 and found for path, found in zip(self._paths, below, strict=True)])

    def of_task(self, name: str) -> Mask:
        """Nodes of the damage type or group that ``name`` means."""
        found = self._tasks(name)
        if found is None:
            raise UnknownNameError("task", name, tasks_of(self.labelled), self._alike(name))
        return found

    def _alike(self, name: str) -> list[str]:
        """Words of this tree's damages, for one who mistyped; none for one who means a damage that it does not have."""
        meant = types_meant(name, list(self.words), self.words)
        return [] if meant else [word for task in tasks_of(self.labelled) for word in self.words.get(task, ())]

    def of_degree(self, name: str) -> Mask:
        """Nodes of the degree that ``name`` means, among those of each type."""
        typed = [(kind, degree_of(label)) for kind, label in zip(self.labelled.types, self.labelled.names, strict=True)]
        own: dict[str, list[str]] = {}
        for kind, degree in typed:
            own.setdefault(kind, []).extend([degree] if degree else [])
        meant = {(kind, degree) for kind, degrees in own.items() for degree in degrees_meant(name, degrees)}
        if not meant:
            known = {degree for _, degree in typed if degree}
            raise UnknownNameError("degree", name, known, [word for words in SEVERITIES for word in words])
        return np.array([pair in meant for pair in typed])

    def level(self, name: str) -> int:
        """The level of that name, or of that number."""
        names = self.labelled.level_names
        for number, known in enumerate(names):
            if name.strip() == str(number) or plain(name) == plain(known):
                return number
        raise UnknownNameError("level", name, names)

    def of_expert(self, name: str) -> Mask:
        """The node of that name or number alone."""
        found = np.zeros(len(self.labelled.names), dtype=np.bool_)
        found[node_number(self.labelled, name)] = True
        return found

    def excluded(self, name: str) -> Mask:
        """Nodes of a task, or the node of that name or number and what is below it."""
        own = name in self.labelled.names and name not in self.labelled.types
        task = None if own else self._tasks(name)
        if task is not None:
            return task
        try:
            node = node_number(self.labelled, name)
        except UnknownNameError:
            known = {*self.labelled.names, *tasks_of(self.labelled)}
            raise UnknownNameError("task or node", name, known, self._alike(name)) from None
        return np.array([node in path for path in self._paths])

    def _above(self, fitting: Mask, tasks: Sequence[str]) -> Mask:
        """Nodes above those, except of damages that are not among ``tasks``."""
        above = np.zeros_like(fitting)
        for node in np.flatnonzero(fitting):
            above[self._paths[node]] = True
        open_to_all = np.array([kind not in self._leaf_types for kind in self.labelled.types])
        above &= self._any(self.of_task, tasks) | open_to_all
        return above

    def conflict(self, said: Instruction) -> str:
        """Why ``said`` leaves nothing: the least of it that does so, and what the rest of that would leave."""
        for field in reversed(_FIELDS):
            less = _without(said, field)
            if less and not self.left(less).any():
                said = less
        last = next(field for field in reversed(_FIELDS) if getattr(said, field))
        rest = _without(said, last)
        kind, subject = _FIELDS[last], str(rest) or "the model"
        if not kind:
            return f"{said}: no such expert; everything that {subject} has is excluded"
        there = self._there(last, rest)
        return f"{said}: no such expert; {subject} has {f'the {kind} {_listed(there)}' if there else f'no {kind}'}"

    def _there(self, field: str, rest: Instruction) -> list[str]:
        """Degrees, names of levels or nodes that ``rest`` leaves."""
        tree, names, _, level_names = self.labelled
        left = np.flatnonzero(self.left(rest))
        if field == "degrees":
            degrees = dict.fromkeys(degree for node in left if (degree := degree_of(names[node])))
            return sorted(degrees, key=lambda degree: severity(degree) or 0)
        if field == "levels":
            return [level_names[level] for level in np.unique(tree.level[left])]
        return [names[node] for node in left]


def _without(said: Instruction, field: str) -> Instruction:
    changes: dict[str, Any] = {field: ()}
    return replace(said, **changes)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= _SHOWN else [*names[:_SHOWN], "..."])
