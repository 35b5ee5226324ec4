"""Train one expert a node, coarsest first; a child starts from its parent's weights (paper section 3.3).

Where a child is of another architecture it starts anew; an adapter's parent is one over the same expert, the root's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
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
from ..models import base_of, load_base, load_hierarchy, new_network
from ..photos import TRAIN
from ..recipe import ExpertChoice, TrainingConfig, fingerprint
from ..run import Run
from ..samples import SampleSet
from ..ties import BASE, BASE_SHA256
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
    """How a network is trained; ``start`` are the packed weights it begins with (None: the seed's).

    ``base`` makes the network under an adapter, anew each time.
    """

    spec: ExpertSpec[Any]
    settings: Config
    config: TrainingConfig
    seed: int
    start: NDArray[np.uint8] | None = None
    base: Callable[[], nn.Module] | None = None

    def objective(self) -> L1:
        """The untrained network under its loss; raises ``RegistryError`` when ``start`` does not fit it."""
        network = seeded(lambda: new_network(self.spec, self.settings, self.base), self.seed)
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
    tree, names, types, _ = load_hierarchy(run.store, run.name)
    order = [int(node) for node in np.argsort(tree.level, kind="stable")]
    census = run.store.read("hierarchies", run.name).arrays["census"]
    samples, section = run.samples(), run.recipe.experts
    clean = np.array([kind == section.identity for kind, _ in samples.prompts.pairs])
    share = census[:, clean].sum(1) / np.maximum(census.sum(1), 1)
    made: Counter[str] = Counter()
    for done, node in enumerate(order):
        run.watch("experts", done, len(tree), names[node])
        mark, choice = _mark(run, node, int(tree.level[node])), section.of(types[node], root=tree.parent[node] < 0)
        name = IDENTITY if share[node] >= section.identity_share else choice.name
        if name == IDENTITY:
            _write_identity(run, node, mark)
        else:
            _train(run, tree, node, names[node], samples, choice, mark)
        made[name] += 1
    run.watch("experts", len(tree), len(tree), "done")
    summary = f"{len(tree)} experts ({', '.join(f'{n} {name}' for name, n in made.items())}), tree {tree.sizes}"
    run.commit("experts", stamp, {}, summary, {"experts": len(tree)})


def training_of(run: Run, level: int) -> TrainingConfig:
    """The training section of a level; the last one also serves deeper levels."""
    levels = run.recipe.experts.levels
    return levels[min(level, len(levels) - 1)]


def _done(run: Run, key: str, mark: str) -> bool:
    return run.store.exists("experts", key) and run.store.attributes("experts", key)["stamp"] == mark


def _mark(run: Run, node: int, level: int) -> str:
    """What a node's expert depends on: the tree, all architectures, and the training of its level and those above."""
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


def _train(
    run: Run, tree: Hierarchy, node: int, label: str, samples: SampleSet, choice: ExpertChoice, mark: str
) -> None:
    key = f"{run.name}/{node}"
    if _done(run, key, mark):
        return
    section, config = run.recipe.experts, training_of(run, int(tree.level[node]))
    spec = run.catalogue.expert(choice.name)
    settings = validate_config(spec.config, choice.config, f"expert {spec.name}")
    below = {} if spec.over is None else base_of(run.store, f"{run.name}/{tree.path(node)[0]}")
    base = (lambda: load_base(run.store, run.catalogue, below, f"expert {key}")[0]) if below else None
    facts = {"arch": spec.name, "config": settings.model_dump(mode="json"), **below}
    start, parent = _start(run, tree, node, facts)
    members = np.flatnonzero((tree.assign[:, tree.level[node]] == node) & (samples.split == TRAIN))
    batches = PatchPairs(
        samples,
        run.pixels(samples),
        run.truths(samples),
        members,
        patch=section.patch,
        batch=config.batch,
        seed=run.recipe.seed + 1000 * (node + 1),
    )
    job = Training(spec, settings, config, run.recipe.seed, start, base)
    checkpoint = run.work / f"expert-{mark[:16]}.safetensors"
    weights = job.run(batches, checkpoint, run.losses(f"expert {node} {label}"))
    attributes = {
        **facts,
        "sha256": sha256(weights),
        "steps": config.steps,
        "parent": parent,
        "metrics": {"samples": len(members)},
        "stamp": mark,
    }
    message = f"expert {key}: {label}, {config.steps} steps on {len(members)} samples"
    run.store.write({("experts", key): Record({"weights": weights}, attributes)}, message=message, author="experts")


def same_kind(record: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether two experts with these attributes have architecture, configuration and base in common."""
    keys = ("arch", "config", BASE, BASE_SHA256)
    return [record.get(key) for key in keys] == [facts.get(key) for key in keys]


def _start(
    run: Run, tree: Hierarchy, node: int, facts: Mapping[str, Any]
) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Weights and record name of the parent's expert where it is of the same kind."""
    if tree.parent[node] < 0:
        return None, None
    key = f"{run.name}/{tree.parent[node]}"
    if not same_kind(run.store.attributes("experts", key), facts):
        return None, None
    return run.store.read("experts", key).arrays["weights"], key
