"""A better expert for a node: another architecture, more training, or given weights; kept only if it helps."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from ..contracts import Record
from ..errors import RegistryError
from ..hierarchy import node_number
from ..models import build_expert, load_expert
from ..photos import TRAIN
from ..stages.costs import errors, mean_psnr
from ..stages.routers import scaled_cost
from .bench import Bench
from .costing import KindReport
from .finish import Clock, Extended, finish
from .from_file import expert_of
from .growth import Grown
from .level import samples_of
from .newcomers import plan, train


@dataclass(frozen=True)
class Tried:
    """Another expert for a node, and what it does there; nothing is written yet.

    ``before``, ``after``: mean cost on unseen samples with the old and the new one. ``notes``: lines for the user.
    """

    node: int
    record: Record
    network: nn.Module
    before: float
    after: float
    kinds: tuple[KindReport, ...]
    notes: tuple[str, ...]


def replace_expert(
    bench: Bench, name: str, weights: Path | None = None, *, force: bool = False, licence: str = ""
) -> Extended:
    """Give the node ``name`` another expert: trained as the options say, or with the ``weights`` of a file.

    licence: SPDX expression for the weights, empty where nobody states one.

    Kept if it lowers the mean cost on unseen samples of the node, or with ``force``; else nothing is written and
    ``Extended.model`` is empty. An expert of the same architecture goes on from the old one's weights.
    """
    clock = Clock()
    tried = try_expert(bench, name, weights, clock)
    record = tried.record
    if licence:
        record = Record(record.arrays, {**record.attributes, "licence": licence})
    *notes, verdict = tried.notes
    if not (tried.after < tried.before or force):
        shutil.rmtree(bench.work, ignore_errors=True)
        refused = f"not kept, nothing written; {verdict} (--force keeps it)"
        return Extended("", (), tried.kinds, clock.seconds, (*notes, refused))
    labelled, arch = bench.trained.labelled, tried.record.attributes["arch"]
    return finish(
        bench,
        Grown(labelled, np.arange(len(labelled.tree), dtype=np.int32)),
        {tried.node: record},
        None,
        census=bench.trained.census,
        entry={"what": "expert", "node": name, "arch": arch, "before": tried.before, "after": tried.after},
        message=f"{name} has another expert ({arch})",
        clock=clock,
        notes=tried.notes,
        kinds=tried.kinds,
    )


def try_expert(bench: Bench, name: str, weights: Path | None, clock: Clock) -> Tried:
    """Train an expert for the node ``name``, or read it from ``weights``, and hold it against the old one."""
    trained = bench.trained
    tree, node = trained.labelled.tree, node_number(trained.labelled, name)
    given = None if weights is None else expert_of(bench, node, weights)
    grown = Grown(trained.labelled, np.arange(len(tree), dtype=np.int32))
    jobs = [] if given else [replace(plan(trained, bench.options, grown, [node])[0], after=node)]
    samples, pixels, dr = samples_of(bench, [node], clock)
    paths = tree.assign_dr(dr)
    record = given.record if given else train(bench, jobs, samples, pixels, paths)[node]
    network = given.network if given else build_expert(trained.store, trained.catalogue, record, name)[0]
    clock.lap("experts")
    unseen = np.flatnonzero((paths == node).any(1) & (samples.split != TRAIN))
    if not len(unseen):
        raise RegistryError(f"{name}: no unseen sample falls into this node; draw more (--samples)")
    trials = bench.trials(samples, unseen, f"{name} trials")
    former = load_expert(trained.store, trained.catalogue, trained.experts[node])[0]
    old, new = (errors(net, trials.damaged, trials.clean) for net in (former, network))
    section = bench.options.routing(trained.recipe.routers)
    before, after = (float(scaled_cost(*table, section).mean()) for table in (old, new))
    if not math.isfinite(after):
        what = f"the network of {weights}" if weights else "the trained network"
        raise RegistryError(f"{name}: {what} gives values that are infinite or no numbers on photos; not kept")
    gap = np.square((trials.damaged.astype(np.float32) - trials.clean) / 255).mean((1, 2, 3))
    kinds = (KindReport(name, len(trials), *(mean_psnr(mse) for mse in (gap, old[1], new[1]))),)
    verdict = f"cost on {len(trials)} unseen samples: {before:.4f} before, {after:.4f} with the new expert"
    return Tried(node, record, network, before, after, kinds, (*([given.about] if given else []), verdict))
