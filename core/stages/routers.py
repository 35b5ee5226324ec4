"""Train both routers on (DR, cost row) pairs, in seconds, and tie everything into a model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Record
from ..hierarchy import Hierarchy
from ..models import belonging, load_hierarchy, routers_record
from ..recipe import RoutersConfig
from ..routing import RouterObjective, Routers
from ..run import Run
from ..training.loop import fit, seeded

FLOOR = 1e-5  # squared error below which an image counts as equally good: 50 dB


def routers(run: Run, stamp: str) -> None:
    """Write the routers and the model record."""
    tree, _, types, _ = load_hierarchy(run.store, run.name)
    section = run.recipe.routers
    table = run.store.read("costs", run.name).arrays
    dr, cost = table["dr"], scaled_cost(table["l1"], table["mse"], section)
    network = seeded(lambda: new_routers(tree, dr), run.recipe.seed)
    centre = tree.centroid[tree.assign_dr(dr)[:, -1]]
    batches = CostBatches(network, dr, cost, centre, section, run.recipe.seed)
    checkpoint = run.work / f"routers-{stamp[:16]}.safetensors"
    objective = RouterObjective(network, section)
    fit(objective, batches, section.training, checkpoint=checkpoint, progress=run.losses("routers"))
    chosen = choose(network, dr)
    gap = float((cost[np.arange(len(dr)), chosen] - cost.min(1)).mean())
    record = routers_record(network, {"config": section.model_dump(mode="json"), "losses": {"regret": gap}})
    names = [f"{run.name}/{node}" for node in range(len(tree))]
    ties = {
        **belonging(run.store, run.name, run.store.attributes("hierarchies", run.name)["stamp"], names),
        "extractor": run.name,
        "hierarchy": run.name,
        "experts": run.name,
        "routers": run.name,
        "tasks": sorted({types[leaf] for leaf in tree.leaves}),
        "version": 1,
        "provenance": {"recipe": run.recipe.model_dump(mode="json"), "photos": run.data_stamp},
    }
    model = Record({}, ties)
    records = {("routers", run.name): record, ("models", run.name): model, ("models", "default"): model}
    summary = (
        f"trained for {section.training.steps} steps ({section.objective}); mean regret {gap:.3f} ({section.cost})"
    )
    run.commit("routers", stamp, records, summary, {"regret": gap})


def scaled_cost(l1: NDArray[np.float32], mse: NDArray[np.float32], section: RoutersConfig) -> NDArray[np.float32]:
    """(n, M) cost: ``l1`` as it is, or ``db``, the PSNR lost against 50 dB in units of 10 dB."""
    return l1 if section.cost == "l1" else np.log10(np.maximum(mse, FLOOR) / FLOOR).astype(np.float32)


def new_routers(tree: Hierarchy, dr: NDArray[np.float32]) -> Routers:
    """Untrained routers that standardise with the statistics of ``dr`` (N, D)."""
    network = Routers(dr.shape[1], torch.from_numpy(tree.ancestors.astype(np.int64)))
    network.centre.copy_(torch.from_numpy(dr.mean(0)))
    network.spread.copy_(torch.from_numpy(dr.std(0) + 1e-6))
    return network


class CostBatches:
    """Batch number -> (dr, cost, centre, leaf noise, level noise, *more), the arguments of ``RouterObjective``.

    ``more`` are further tensors (N, ...) of which a batch gets its rows.
    """

    def __init__(
        self,
        network: Routers,
        dr: NDArray[np.float32],
        cost: NDArray[np.float32],
        centre: NDArray[np.float32],
        section: RoutersConfig,
        seed: int,
        *more: Tensor,
    ) -> None:
        self.more = more
        self.dr, self.cost, self.centre = torch.from_numpy(dr), torch.from_numpy(cost), torch.from_numpy(centre)
        self.jitter = section.jitter * network.spread.clone()
        self.shape = tuple(network.ancestors.shape)
        self.batch, self.seed = section.training.batch, seed

    def __call__(self, number: int) -> tuple[Tensor, ...]:
        """The batch ``number``."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        rows = self.rows(generator)
        dr = self.dr[rows]
        dr = dr + self.jitter * torch.randn(dr.shape, generator=generator)
        leaves, levels = self.shape
        noise = torch.randn(self.batch, leaves + levels, generator=generator)
        return (
            dr,
            self.cost[rows],
            self.centre[rows],
            noise[:, :leaves],
            noise[:, leaves:],
            *(m[rows] for m in self.more),
        )

    def rows(self, generator: torch.Generator) -> Tensor:
        """Row numbers (batch,) of a batch."""
        return torch.randint(len(self.dr), (self.batch,), generator=generator)


@torch.inference_mode()
def choose(network: Routers, dr: NDArray[np.float32]) -> NDArray[np.int64]:
    """Node (n,) chosen for each DR (n, D): ancestor of the top-1 leaf at the top-1 level."""
    out = network(torch.from_numpy(dr))
    nodes: NDArray[np.int64] = network.ancestors[out.leaf.argmax(1), out.level.argmax(1)].numpy()
    return nodes
