"""Train one expert a node, coarsest first; a child starts from its parent's weights (paper section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..catalogue import validate_config
from ..contracts import Config, ExpertSpec, Record
from ..hierarchy import Hierarchy
from ..mixture import IDENTITY
from ..models import load_hierarchy
from ..photos import TRAIN
from ..recipe import TrainingConfig, fingerprint
from ..run import Run
from ..samples import SampleSet
from ..training.batches import PatchPairs
from ..training.loop import Batches, Progress, fit, seeded
from ..weights import pack, sha256, unpack


class L1(nn.Module):
    """Mean absolute error of the restored batch, the paper's expert loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, damaged: Tensor, clean: Tensor) -> Tensor:
        """Both (B, 3, H, W) in [0, 1]."""
        error: Tensor = (self.network(damaged).float() - clean).abs().mean()
        return error


@dataclass(frozen=True)
class Training:
    """How a network is trained; ``start`` are the packed weights it begins with (None: the seed's)."""

    spec: ExpertSpec[Any]
    settings: Config
    config: TrainingConfig
    seed: int
    start: NDArray[np.uint8] | None = None

    def objective(self) -> L1:
        """The untrained network under its loss; raises ``RegistryError`` when ``start`` does not fit it."""
        network: nn.Module = seeded(lambda: self.spec.build(self.settings), self.seed)
        if self.start is not None:
            unpack(network, self.start, f"expert {self.spec.name}")
        return L1(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]

    def run(self, batches: Batches, checkpoint: Path, progress: Progress | None = None) -> NDArray[np.uint8]:
        """The packed trained weights; goes on from ``checkpoint`` if that is there."""
        objective = self.objective()
        fit(objective, batches, self.config, checkpoint=checkpoint, progress=progress)
        return pack(objective.network)


def experts(run: Run, stamp: str) -> None:
    """Write an expert for every node; each is one commit, so an interrupted run keeps those that are finished."""
    tree, names, _, _ = load_hierarchy(run.store, run.name)
    order = [int(node) for node in np.argsort(tree.level, kind="stable")]
    census = run.store.read("hierarchies", run.name).arrays["census"]
    samples = run.samples()
    identity = run.recipe.experts.identity
    clean = np.array([kind == identity for kind, _ in samples.prompts.pairs])
    share = census[:, clean].sum(1) / np.maximum(census.sum(1), 1)
    trained = 0
    for done, node in enumerate(order):
        run.watch("experts", done, len(tree), names[node])
        mark = _mark(run, node, int(tree.level[node]))
        if share[node] >= run.recipe.experts.identity_share or run.recipe.experts.name == IDENTITY:
            _write_identity(run, node, mark)
        else:
            _train(run, tree, node, names[node], samples, mark)
            trained += 1
    run.watch("experts", len(tree), len(tree), "done")
    summary = (
        f"{trained} experts trained ({run.recipe.experts.name}), {len(tree) - trained} identity, tree {tree.sizes}"
    )
    run.commit("experts", stamp, {}, summary, {"experts": len(tree)})


def training_of(run: Run, level: int) -> TrainingConfig:
    """The training section of a level; the last one also serves deeper levels."""
    levels = run.recipe.experts.levels
    return levels[min(level, len(levels) - 1)]


def _done(run: Run, key: str, mark: str) -> bool:
    return run.store.exists("experts", key) and run.store.attributes("experts", key)["stamp"] == mark


def _mark(run: Run, node: int, level: int) -> str:
    """What a node's expert depends on: the tree, the architecture, and the training of its level and those above."""
    section = run.recipe.experts
    above = [config.model_dump(mode="json") for config in section.levels[: level + 1]]
    return fingerprint(run.stamp("cluster"), section.model_dump(mode="json", exclude={"levels"}), above, node)


def _write_identity(run: Run, node: int, mark: str) -> None:
    key = f"{run.name}/{node}"
    if not _done(run, key, mark):
        attributes: dict[str, Any] = {
            "arch": IDENTITY,
            "config": {},
            "sha256": None,
            "steps": 0,
            "parent": None,
            "metrics": {},
            "stamp": mark,
        }
        run.store.write({("experts", key): Record({}, attributes)}, message=f"expert {key}: identity", author="experts")


def _train(run: Run, tree: Hierarchy, node: int, label: str, samples: SampleSet, mark: str) -> None:
    key = f"{run.name}/{node}"
    if _done(run, key, mark):
        return
    section, config = run.recipe.experts, training_of(run, int(tree.level[node]))
    spec = run.catalogue.expert(section.name)
    settings = validate_config(spec.config, section.config, "experts.config")
    parent = _parent(run, tree, node)
    start = None if parent is None else run.store.read("experts", parent).arrays["weights"]
    members = np.flatnonzero((tree.assign[:, tree.level[node]] == node) & (samples.split == TRAIN))
    batches = PatchPairs(
        samples,
        run.pixels(samples),
        run.photos,
        members,
        patch=section.patch,
        batch=config.batch,
        seed=run.recipe.seed + 1000 * (node + 1),
    )
    job = Training(spec, settings, config, run.recipe.seed, start)
    checkpoint = run.work / f"expert-{mark[:16]}.safetensors"
    weights = job.run(batches, checkpoint, run.losses(f"expert {node} {label}"))
    attributes = {
        "arch": spec.name,
        "config": settings.model_dump(mode="json"),
        "sha256": sha256(weights),
        "steps": config.steps,
        "parent": parent,
        "metrics": {"samples": len(members)},
        "stamp": mark,
    }
    message = f"expert {key}: {label}, {config.steps} steps on {len(members)} samples"
    run.store.write({("experts", key): Record({"weights": weights}, attributes)}, message=message, author="experts")


def _parent(run: Run, tree: Hierarchy, node: int) -> str | None:
    """Record name of the parent's expert; None for the root and below an identity."""
    if tree.parent[node] < 0:
        return None
    key = f"{run.name}/{tree.parent[node]}"
    return None if run.store.attributes("experts", key)["arch"] == IDENTITY else key
