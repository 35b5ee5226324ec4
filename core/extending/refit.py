"""Routers for a grown tree: they begin as the old ones and are held to their former decisions on the older damages.

The objective is that of the recipe (paper eq. 9) on all cost rows, old and new, plus two Kullback-Leibler divergences
of the new routers' probabilities: on the old rows, ``keep`` times that from the old routers', where a new leaf without
counterpart has no probability; on the new rows, that from the best choice by the costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..hierarchy import LabelledTree
from ..recipe import RoutersConfig
from ..routing import RouterObjective, Routers, Temperatures
from ..stages.routers import CostBatches, choose
from ..training.loop import Progress, fit
from .growth import Grown

TINY = 1e-8
SOFT, SHARP = 0.05, 0.01
"""Cost over which a choice loses a factor e of probability: half a dB with the recipe's `db` cost for a new damage, a
tenth for finer nodes, which differ by little."""
APART = 0.4
"""Share of the rows that a weight is judged by."""


@dataclass(frozen=True)
class Counterparts:
    """For each new leaf (K',) and level (L',) the old leaf and level it stands for; -1 for none.

    ``like``: (K',) the old leaf whose logit it begins with: the counterpart, else the one of the nearest centroid. A
    leaf that began with a logit of zero would have next to no probability beside trained ones, and so no gradient.
    """

    leaf: NDArray[np.int64]
    level: NDArray[np.int64]
    like: NDArray[np.int64]


def counterparts(old: LabelledTree, grown: Grown) -> Counterparts:
    """A new leaf stands for the old leaf above or below it; a new level for the coarser one before it."""
    new, row = grown.labelled, {int(leaf): index for index, leaf in enumerate(old.tree.leaves)}
    leaves = []
    for leaf in new.tree.leaves:
        above = [int(grown.origin[node]) for node in new.tree.path(int(leaf)) if grown.origin[node] > 0]
        nearest = above[-1] if above else -1
        below = [index for end, index in row.items() if nearest >= 0 and nearest in old.tree.path(end)]
        leaves.append(below[0] if below and (nearest in row or grown.origin[leaf] >= 0) else -1)
    levels: list[int] = []
    for name in new.level_names:
        levels.append(old.level_names.index(name) if name in old.level_names else levels[-1])
    leaf = np.array(leaves, dtype=np.int64)
    centres = old.tree.centroid[old.tree.leaves]
    gaps = ((new.tree.centroid[new.tree.leaves][:, None] - centres[None]) ** 2).sum(2)  # (K', K)
    return Counterparts(leaf, np.array(levels, dtype=np.int64), np.where(leaf >= 0, leaf, gaps.argmin(1)))


def grown_routers(old: Routers, grown: Grown, same: Counterparts) -> Routers:
    """Routers over the grown tree that begin with the old ones' outputs and have their options.

    Temperatures become part of the gates: one that divides the logits would slow down their training as much.
    """
    tree, heat = grown.labelled.tree, old.options.temperatures
    options = replace(old.options, temperatures=Temperatures())
    routers = Routers(len(old.centre), torch.from_numpy(tree.ancestors.astype(np.int64)), options)
    keep = {name: tensor for name, tensor in old.state_dict().items() if "gate" not in name and name != "ancestors"}
    routers.load_state_dict(keep, strict=False)
    for gate, old_gate, of, temperature in (
        (routers.leaf_gate, old.leaf_gate, same.like, heat.leaf),
        (routers.level_gate, old.level_gate, same.level, heat.level),
    ):
        halves = (old_gate.linear.weight.detach() / temperature).chunk(2)  # logits, noise scales
        with torch.no_grad():
            gate.linear.weight.copy_(torch.cat([half[of] for half in halves]))
    return routers


class KeepObjective(nn.Module):
    """The router objective; on kept rows also the divergence from the old routers, on new ones from the best choice.

    The best choice of a new row is a softmax over its costs. Unlike the expected cost this has a gradient where a leaf
    has next to no probability yet.
    """

    def __init__(
        self,
        routers: Routers,
        config: RoutersConfig,
        old: Routers,
        same: Counterparts,
        keep: float,
        soft: float = SOFT,
    ) -> None:
        super().__init__()
        self.soft = soft
        self.routing = RouterObjective(routers, config)
        self.old = old.requires_grad_(False)
        self.keep = keep
        self.register_buffer("leaf_of", _one_hot(same.leaf, old.ancestors.shape[0]), persistent=False)
        self.register_buffer("level_of", _one_hot(same.level, old.ancestors.shape[1]), persistent=False)

    def forward(
        self, dr: Tensor, cost: Tensor, centre: Tensor, noise_leaf: Tensor, noise_level: Tensor, kept: Tensor
    ) -> Tensor:
        """As ``RouterObjective``; ``kept`` (B,) float: 1 where the old decision is to be kept."""
        task: Tensor = self.routing(dr, cost, centre, noise_leaf, noise_level)
        now, before = self.routing.routers(dr), self.old.eval()(dr)  # the loop puts all parts in training mode
        held = _divergence(before.leaf, now.leaf, self.leaf_of) + _divergence(before.level, now.level, self.level_of)  # type: ignore[arg-type]
        leaf, level = best_choice(cost, self.routing.routers.ancestors, self.soft)
        learnt = _divergence(leaf, now.leaf) + _divergence(level, now.level)
        return task + self.keep * _mean(held, kept) + _mean(learnt, 1 - kept)


def best_choice(cost: Tensor, ancestors: Tensor, soft: float) -> tuple[Tensor, Tensor]:
    """Leaf (B, K) and level (B, L) probabilities that prefer the cheapest node; ``cost`` (B, M), ancestors (K, L).

    ``soft``: cost over which they fall by a factor e.
    """
    table = cost[:, ancestors]  # (B, K, L)
    leaf = (-table.amin(2) / soft).softmax(1)
    level = (-(table * leaf[:, :, None]).sum(1) / soft).softmax(1)
    return leaf, level


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1)


def _one_hot(of: NDArray[np.int64], columns: int) -> Tensor:
    table = torch.zeros(len(of), columns)
    table[torch.from_numpy(np.flatnonzero(of >= 0)), torch.from_numpy(of[of >= 0])] = 1
    return table


def _divergence(before: Tensor, now: Tensor, of: Tensor | None = None) -> Tensor:
    """KL(before || now) per row; with ``of`` (n', n), ``now`` (B, n') is summed into the entries of ``before``."""
    target = before
    if of is not None:
        now, target = now @ of, before * of.any(0)
        target = target / target.sum(1, keepdim=True).clamp(min=TINY)
    return (target * ((target + TINY).log() - (now + TINY).log())).sum(1)


class Balanced(CostBatches):
    """Batches of which one half are new rows, the other half kept ones, however many there are of each."""

    def rows(self, generator: torch.Generator) -> Tensor:
        """Row numbers (batch,) of a batch."""
        kept = self.more[0] > 0
        old, new = torch.nonzero(kept)[:, 0], torch.nonzero(~kept)[:, 0]
        share = self.batch // 2 if len(new) and len(old) else self.batch if len(new) else 0
        picked = ((new, share), (old, self.batch - share))
        return torch.cat([rows[torch.randint(max(1, len(rows)), (n,), generator=generator)] for rows, n in picked if n])


@dataclass(frozen=True)
class Lesson:
    """What routers are fitted to: DRs (n, D), squared errors (NaN where unknown) and costs (n, M'), which rows are of
    older damages (``kept``) and which of these are judged by the tolerance, their kind, and the node that the old
    routers chose.
    """

    dr: NDArray[np.float32]
    mse: NDArray[np.float32]
    cost: NDArray[np.float32]
    kept: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    kind: NDArray[np.str_]
    former: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_]) -> Lesson:
        """The rows of a mask."""
        return Lesson(*(getattr(self, field.name)[rows] for field in fields(self)))

    def loss(self, routers: Routers) -> float:
        """PSNR in dB that the older damages lose by the new routers' choices, where that is known: mean over kinds."""
        rows = np.arange(len(self.dr))
        psnr = -10 * np.log10(self.mse + 1e-6)
        gap = psnr[rows, self.former] - psnr[rows, choose(routers, self.dr)]
        counted = self.judged & (self.former >= 0) & ~np.isnan(gap)
        kinds = np.unique(self.kind[counted])
        return float(np.mean([gap[counted & (self.kind == kind)].mean() for kind in kinds])) if len(kinds) else 0.0


class Fit(NamedTuple):
    """Fitted routers, the weight ``keep`` they were fitted with, and what that cost the older damages, in dB."""

    routers: Routers
    keep: float
    loss: float


@dataclass(frozen=True)
class Fitting:
    """How routers are fitted to a lesson."""

    old: Routers
    same: Counterparts
    grown: Grown
    config: RoutersConfig
    seed: int
    checkpoint: Path
    soft: float = SOFT
    progress: Progress | None = None

    def fit(self, lesson: Lesson, keep: float) -> Routers:
        """Routers of the grown tree; ``keep`` is the weight of their former decisions."""
        routers, tree = grown_routers(self.old, self.grown, self.same), self.grown.labelled.tree
        centre = tree.centroid[tree.assign_dr(lesson.dr)[:, -1]]
        kept = torch.from_numpy(lesson.kept.astype(np.float32))
        batches = Balanced(routers, lesson.dr, lesson.cost, centre, self.config, self.seed, kept)
        objective = KeepObjective(routers, self.config, self.old, self.same, keep, self.soft)
        checkpoint = self.checkpoint.with_stem(f"{self.checkpoint.stem}-{keep:g}-{len(lesson.dr)}")
        fit(objective, batches, self.config.training, checkpoint=checkpoint, progress=self.progress)
        checkpoint.unlink(missing_ok=True)
        routers.settle(torch.from_numpy(lesson.dr))
        return routers

    def search(self, lesson: Lesson, keeps: Sequence[float], tolerance: float) -> Fit:
        """Fitted with the first of ``keeps`` whose loss on rows apart is within ``tolerance`` dB, or is least."""
        apart = np.random.default_rng(self.seed).random(len(lesson.dr)) < APART
        found: list[tuple[float, float]] = []
        for keep in keeps:
            found.append((lesson.take(apart).loss(self.fit(lesson.take(~apart), keep)), keep))
            if found[-1][0] <= tolerance:
                break
        loss, keep = min(found)
        return Fit(self.fit(lesson, keep), keep, loss)
