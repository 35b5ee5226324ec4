"""Why a node was chosen, in true words; and the fall back to coarser experts for what a model knows nothing like.

Novelty is 1 at the edge of what is known (``memory``), which is said. Well beyond it, the routers are asked about
something that they never learnt, so the finest experts are not used; beyond ``FAR`` only the coarsest one is. Levels
that are given up get probability 0, as those do that an instruction forbids. The choice of the routers stands

- where it is near the edge, or coarse enough already;
- where it, or its leaf, is the identity: an undamaged photo of a new kind is not to be harmed;
- where an instruction leaves nothing coarser above that leaf, as one does that names the level or the expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .hierarchy import LabelledTree

EDGE, WARY, FAR = 1.0, 1.5, 2.0
"""Novelty beyond which something is unknown, the finest experts are given up, and only the coarsest one is left.

Measured with two models of seven damages, on damages unknown to them: near the edge the finest expert and the one above
it are about equally good, on published photos the finest was better by 0.2 to 1.3 dB (9 photos of 87, novelty below
1.4); farther away the coarsest is as good or better. Photos that look undamaged would lose more than 1 dB by it."""
SURE = 0.5
"""Probability below which the leaf counts as uncertain."""
UNLIKE = "unlike anything the model was trained on"


class Branch(NamedTuple):
    """A node of a tree with the probability of all leaves below it; ``depth`` steps below the root."""

    node: int
    name: str
    level: str
    depth: int
    probability: float


def branches(labelled: LabelledTree, leaf: NDArray[np.floating]) -> tuple[Branch, ...]:
    """Every node, parents before their children, with the sum of the probabilities ``leaf`` (K,) below it."""
    tree, mass = labelled.tree, np.zeros(len(labelled.tree))
    for end, chance in zip(tree.leaves, leaf, strict=True):
        mass[tree.path(int(end))] += chance
    found, waiting = [], [(0, 0)]
    while waiting:
        node, depth = waiting.pop()
        level = labelled.level_names[int(tree.level[node])]
        found.append(Branch(node, labelled.names[node], level, depth, float(mass[node])))
        waiting += [(int(child), depth + 1) for child in tree.children(node)[::-1]]
    return tuple(found)


@dataclass(frozen=True)
class Choice:
    """What the routers choose of a tree: probabilities leaf (K,) and level (L,), and where nodes are usable (K, L).

    row, column: the leaf and the level of the choice.
    """

    labelled: LabelledTree
    leaf: NDArray[np.floating]
    level: NDArray[np.floating]
    usable: NDArray[np.bool_]
    row: int
    column: int

    @property
    def node(self) -> int:
        """The chosen node."""
        return int(self.labelled.tree.ancestors[self.row, self.column])

    def level_of(self, node: int) -> str:
        """Name of the level that ``node`` lies on."""
        return self.labelled.level_names[int(self.labelled.tree.level[node])]

    def within(self, finest: int) -> Choice | None:
        """The choice among nodes no finer than the level ``finest``, of the same leaf; ``None`` where there is none."""
        tree = self.labelled.tree
        usable = self.usable & (tree.level[tree.ancestors] <= finest)
        if not usable[self.row].any():
            return None
        level = np.where(usable[self.row], self.level, 0.0)
        level = level / level.sum() if level.sum() > 0 else usable[self.row] / usable[self.row].sum()
        return Choice(self.labelled, self.leaf, level, usable, self.row, int(level.argmax()))

    def said(self) -> str:
        """Why this level, for example ``DEGREE level: 0.93 sure of the leaf and 0.88 of the level``.

        Of levels that are usable for this leaf, as the alternatives are.
        """
        tree, names = self.labelled.tree, self.labelled.names
        order = np.argsort(-self.leaf, kind="stable")
        leaves = [f"{names[tree.leaves[row]]} {self.leaf[row]:.2f}" for row in order[:2] if self.leaf[row] > 0]
        shares = np.where(self.usable[self.row], self.level, 0.0)
        sure = float(shares[tree.ancestors[self.row] == self.node].sum() / max(shares.sum(), np.finfo(float).tiny))
        head = f"{self.level_of(self.node)} level"
        if len(self.labelled.level_names) == 1:
            return f"{head}: the only one"
        if self.leaf[self.row] < SURE:
            return f"{head}: {sure:.2f} sure of it; the leaf is uncertain ({', '.join(leaves)})"
        if self.node == tree.leaves[self.row]:
            return f"{head}: {self.leaf[self.row]:.2f} sure of the leaf and {sure:.2f} of the level"
        return (
            f"{head}: {sure:.2f} sure of it, and {self.leaf[self.row]:.2f} of the leaf {names[tree.leaves[self.row]]}"
        )


@dataclass(frozen=True)
class Decision:
    """The choice that is kept, and why, in one line."""

    choice: Choice
    reason: str


def decide(routed: Choice, novelty: float | None, *, unharmed: bool, told: int | None, fallback: bool) -> Decision:
    """What to do with the choice of the routers, given the ``novelty`` of the image.

    unharmed: its leaf or node is the identity. told: number of nodes that an instruction leaves, ``None`` without one.
    fallback: whether to fall back at all.
    """
    if told == 1:
        left = f"the instruction leaves only {routed.labelled.names[routed.node]}"
        return Decision(routed, left if novelty is None or novelty <= EDGE else f"{left}; {_unlike(novelty)}")
    among = "" if told is None else f"; the instruction leaves {told} nodes"
    if novelty is None or novelty <= EDGE:
        return Decision(routed, routed.said() + among)
    tree, finest = routed.labelled.tree, finest_level(novelty, len(routed.labelled.level_names))
    coarser = routed.within(finest)
    if novelty <= WARY:
        kept = "but not by far"
    elif tree.level[routed.node] <= finest:
        kept = "for which this is coarse enough"
    elif unharmed:
        kept = "but the routers take it for undamaged, so their choice stands"
    elif coarser is None:
        kept = "but the instruction leaves nothing coarser"
    elif not fallback:
        kept = "but falling back is switched off"
    else:
        alone = f"the routers alone take {routed.labelled.names[routed.node]} ({routed.said()})"
        return Decision(coarser, f"fell back to {coarser.level_of(coarser.node)}: {_unlike(novelty)}; {alone}{among}")
    return Decision(routed, f"{routed.said()}{among}; {_unlike(novelty)}, {kept}")


def finest_level(novelty: float | None, levels: int) -> int:
    """The finest of ``levels`` levels that is used for an image of that novelty, 0 being the coarsest."""
    if novelty is None or novelty <= WARY:
        return levels - 1
    return 0 if novelty > FAR else max(0, levels - 2)


def _unlike(novelty: float) -> str:
    return f"{UNLIKE} (novelty {novelty:.2f})"


SHOWN = 0.01
"""Probability below which a branch is not drawn, unless it leads to the chosen node."""
_LINES = ("├─ ", "└─ ", "│  ", "   ")
_ASCII = ("|- ", "`- ", "|  ", "   ")


def tree_lines(tree: Sequence[Branch], chosen: Sequence[str], *, plain: bool = False) -> list[str]:
    """The tree as text, a line a node; ``chosen``: names on the path to the chosen node, which ends in an arrow.

    Branches of less than ``SHOWN`` are gathered as ``...``. ``plain``: with ASCII characters alone.
    """
    rows = _drawn(tree, set(chosen), _ASCII if plain else _LINES)
    width = max((len(text) for text, _, _ in rows), default=0)
    arrow = "<- chosen" if plain else "← chosen"
    return [
        f"{text.ljust(width)}  {probability:.2f}" + (f"  {arrow}" if chosen and name == chosen[-1] else "")
        for text, probability, name in rows
    ]


def _drawn(tree: Sequence[Branch], path: set[str], marks: Sequence[str]) -> list[tuple[str, float, str]]:
    """Text, probability and name of every line; a name is empty where it stands for several nodes."""
    rows: list[tuple[str, float, str]] = []

    def draw(place: int, lead: str) -> None:
        children = below(tree, place)
        shown = [at for at in children if tree[at].probability >= SHOWN or tree[at].name in path]
        rest = [tree[at].probability for at in children if at not in shown]
        count = len(shown) + bool(rest)
        for number, at in enumerate(shown):
            last = number == count - 1
            rows.append((lead + marks[1 if last else 0] + tree[at].name, tree[at].probability, tree[at].name))
            draw(at, lead + marks[3 if last else 2])
        if rest:
            rows.append((f"{lead}{marks[1]}... ({len(rest)} more)", sum(rest), ""))

    if tree:
        rows.append((tree[0].name, tree[0].probability, tree[0].name))
        draw(0, "")
    return rows


def below(tree: Sequence[Branch], place: int) -> list[int]:
    """Places in ``tree`` of the children of the node at ``place``."""
    found = []
    for at in range(place + 1, len(tree)):
        if tree[at].depth <= tree[place].depth:
            break
        if tree[at].depth == tree[place].depth + 1:
            found.append(at)
    return found
