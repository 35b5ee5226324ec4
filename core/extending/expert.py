"""A better expert for a node: another architecture, more training, or given weights; kept only if it helps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..contracts import Record
from ..errors import RegistryError
from ..models import build_expert, load_expert
from ..photos import TRAIN
from ..recipe import fingerprint
from ..stages.costs import errors, mean_psnr
from ..stages.routers import scaled_cost
from ..weights import sha256
from .bench import Bench
from .costing import KindReport
from .finish import Clock, Extended, finish
from .growth import Grown, node_number
from .level import samples_of
from .newcomers import Job, expert_record, plan, train


def replace_expert(bench: Bench, name: str, weights: Path | None = None, *, force: bool = False) -> Extended:
    """Give the node ``name`` another expert: trained as the options say, or with the ``weights`` of a safetensors file.

    Kept if it lowers the mean cost on unseen samples of the node, or with ``force``; else nothing is written and
    ``Extended.model`` is empty. An expert of the same architecture goes on from the old one's weights.
    """
    trained, clock = bench.trained, Clock()
    tree = trained.labelled.tree
    node = node_number(trained.labelled, name)
    grown = Grown(trained.labelled, np.arange(len(tree), dtype=np.int32))
    job = replace(plan(trained, bench.options, grown, [node])[0], after=node)
    given = None if weights is None else _given(bench, job, weights)
    samples, pixels, dr = samples_of(bench, [node], clock)
    paths = tree.assign_dr(dr)
    made = train(bench, [job], samples, pixels, paths) if given is None else {node: given}
    clock.lap("experts")
    unseen = np.flatnonzero((paths == node).any(1) & (samples.split != TRAIN))
    if not len(unseen):
        raise RegistryError(f"{name}: no unseen sample falls into this node; draw more (--samples)")
    trials = bench.trials(samples, unseen, f"{name} trials")
    old = errors(load_expert(trained.store, trained.catalogue, trained.experts[node])[0], trials.damaged, trials.clean)
    new = errors(build_expert(made[node], trained.catalogue, name)[0], trials.damaged, trials.clean)
    section = bench.options.routing(trained.recipe.routers)
    before, after = (float(scaled_cost(*table, section).mean()) for table in (old, new))
    gap = np.square((trials.damaged.astype(np.float32) - trials.clean) / 255).mean((1, 2, 3))
    kinds = [KindReport(name, len(trials), *(mean_psnr(mse) for mse in (gap, old[1], new[1])))]
    verdict = f"cost on {len(trials)} unseen samples: {before:.4f} before, {after:.4f} with the new expert"
    if not (after < before or force):
        shutil.rmtree(bench.work, ignore_errors=True)
        refused = f"not kept, nothing written; {verdict} (--force keeps it)"
        return Extended("", (), tuple(kinds), clock.seconds, (refused,))
    return finish(
        bench,
        grown,
        made,
        None,
        census=trained.census,
        entry={"what": "expert", "node": name, "arch": job.spec.name, "before": before, "after": after},
        message=f"{name} has another expert ({job.spec.name})",
        clock=clock,
        notes=[verdict],
        kinds=kinds,
    )


def _given(bench: Bench, job: Job, path: Path) -> Record:
    """The expert of a safetensors file; it is built once, so that a file that does not fit is refused here."""
    try:
        weights: NDArray[np.uint8] = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise RegistryError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    stamp = fingerprint(bench.stamp, job.node, job.spec.name, job.settings, sha256(weights))
    facts = {"steps": 0, "parent": None, "metrics": {"file": path.name}, "stamp": stamp}
    record = expert_record(bench.trained, job, weights, facts)
    build_expert(record, bench.trained.catalogue, str(path))
    return record
