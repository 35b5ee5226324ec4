"""Routers for a grown tree: they begin as the old ones and are held to their former decisions on the older damages.

The objective is that of the recipe (paper eq. 9) on all cost rows, old and new, plus ``keep`` times the
Kullback-Leibler divergence of the new routers' probabilities from the old ones', on the old rows. A new leaf or level
that has no counterpart in the old tree has no probability there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..hierarchy import LabelledTree
from ..recipe import RoutersConfig
from ..routing import RouterObjective, Routers
from ..stages.routers import CostBatches
from ..training.loop import Progress, fit
from .growth import Grown

TINY = 1e-8


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
    """Routers over the grown tree that begin with the old ones' outputs."""
    tree = grown.labelled.tree
    routers = Routers(len(old.centre), torch.from_numpy(tree.ancestors.astype(np.int64)))
    keep = {name: tensor for name, tensor in old.state_dict().items() if "gate" not in name and name != "ancestors"}
    routers.load_state_dict(keep, strict=False)
    for gate, old_gate, of in (
        (routers.leaf_gate, old.leaf_gate, same.like),
        (routers.level_gate, old.level_gate, same.level),
    ):
        halves = old_gate.linear.weight.detach().chunk(2)  # logits, noise scales
        with torch.no_grad():
            gate.linear.weight.copy_(torch.cat([half[of] for half in halves]))
    return routers


class KeepObjective(nn.Module):
    """The router objective, and the divergence from what the old routers say where ``kept``."""

    def __init__(self, routers: Routers, config: RoutersConfig, old: Routers, same: Counterparts, keep: float) -> None:
        super().__init__()
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
        now, before = self.routing.routers(dr), self.old(dr)
        gap = _divergence(before.leaf, now.leaf, self.leaf_of) + _divergence(before.level, now.level, self.level_of)  # type: ignore[arg-type]
        return task + self.keep * (gap * kept).sum() / kept.sum().clamp(min=1)


def _one_hot(of: NDArray[np.int64], columns: int) -> Tensor:
    table = torch.zeros(len(of), columns)
    table[torch.from_numpy(np.flatnonzero(of >= 0)), torch.from_numpy(of[of >= 0])] = 1
    return table


def _divergence(before: Tensor, now: Tensor, of: Tensor) -> Tensor:
    """KL(before || now) per row; ``now`` (B, n') summed into the old entries by ``of`` (n', n)."""
    target = before * of.any(0)
    target = target / target.sum(1, keepdim=True).clamp(min=TINY)
    return (target * ((target + TINY).log() - (now @ of + TINY).log())).sum(1)


def refit(
    routers: Routers,
    old: Routers,
    same: Counterparts,
    *,
    dr: NDArray[np.float32],
    cost: NDArray[np.float32],
    kept: NDArray[np.bool_],
    tree: LabelledTree,
    config: RoutersConfig,
    keep: float,
    seed: int,
    checkpoint: Path,
    progress: Progress | None = None,
) -> None:
    """Train ``routers`` in place on cost rows ``dr`` (n, D), ``cost`` (n, M'); ``kept`` (n,) marks the old ones."""
    centre = tree.tree.centroid[tree.tree.assign_dr(dr)[:, -1]]
    batches = CostBatches(routers, dr, cost, centre, config, seed, torch.from_numpy(kept.astype(np.float32)))
    objective = KeepObjective(routers, config, old, same, keep)
    fit(objective, batches, config.training, checkpoint=checkpoint, progress=progress)
    checkpoint.unlink(missing_ok=True)
