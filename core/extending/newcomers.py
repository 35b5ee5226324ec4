"""Training the experts of new nodes, and only those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import validate_config
from ..contracts import Config, ExpertSpec, Record
from ..errors import ConfigError
from ..files import atomic
from ..mixture import IDENTITY
from ..photos import TRAIN
from ..recipe import TrainingConfig, code_stamp, fingerprint
from ..samples import SampleSet
from ..stages.experts import Training
from ..training.batches import PatchPairs
from ..weights import sha256
from .bench import Bench
from .growth import Grown
from .options import ExpertsChoice, ExtensionRecipe
from .trained import Trained


@dataclass(frozen=True)
class Job:
    """An expert to train: its node, architecture and training; ``after`` is the node whose weights it begins with."""

    node: int
    label: str
    spec: ExpertSpec[Any]
    settings: Config
    config: TrainingConfig
    patch: int
    after: int


def architecture(trained: Trained, options: ExtensionRecipe) -> ExpertsChoice:
    """What the new experts are: as the options say, else as the model's recipe."""
    section = trained.recipe.experts
    return options.experts or ExpertsChoice(name=section.name, config=section.config, patch=section.patch)


def plan(trained: Trained, options: ExtensionRecipe, grown: Grown, nodes: Sequence[int]) -> list[Job]:
    """One job per node, coarsest first; raises ``ConfigError`` and ``UnknownNameError`` for what cannot be trained."""
    choice, tree = architecture(trained, options), grown.labelled.tree
    spec = trained.catalogue.expert(choice.name)
    if spec.name == IDENTITY:
        raise ConfigError("experts.name: identity has nothing to train; name another architecture")
    settings = validate_config(spec.config, choice.config, "experts.config")
    if choice.patch % spec.size.multiple:
        raise ConfigError(f"experts.patch: {spec.name} needs a multiple of {spec.size.multiple} (got {choice.patch})")
    levels = choice.levels or trained.recipe.experts.levels
    ranks = sorted({int(tree.level[node]) for node in nodes})
    jobs = []
    for node in nodes:
        rank = ranks.index(int(tree.level[node])) if choice.levels else len(tree.path(node)) - 1
        config = levels[min(rank, len(levels) - 1)]
        config = config if options.steps is None else config.model_copy(update={"steps": options.steps})
        jobs.append(Job(node, grown.labelled.names[node], spec, settings, config, choice.patch, int(tree.parent[node])))
    return jobs


def train(
    bench: Bench, jobs: Sequence[Job], samples: SampleSet, pixels: NDArray[np.uint8], paths: NDArray[np.int32]
) -> dict[int, Record]:
    """The record of each job's expert; ``paths`` (N, L) are the nodes of each sample (N) at each level."""
    made: dict[int, Record] = {}
    for job in jobs:
        members = np.flatnonzero((paths == job.node).any(1) & (samples.split == TRAIN))
        if not len(members):
            raise ConfigError(f"{job.label}: none of {len(samples)} samples belongs to this node; draw more (samples)")
        made[job.node] = _train(bench, job, samples, pixels, members, made)
    return made


def _train(
    bench: Bench,
    job: Job,
    samples: SampleSet,
    pixels: NDArray[np.uint8],
    members: NDArray[np.integer],
    made: Mapping[int, Record],
) -> Record:
    recipe, trained = bench.trained.recipe, bench.trained
    seed = recipe.seed + 1000 * (job.node + 1)
    batches = PatchPairs(
        samples, pixels, bench.photos, members, patch=job.patch, batch=job.config.batch, seed=seed + trained.version
    )
    start, parent = _start(bench, job, made)
    code = code_stamp(job.spec.build(job.settings))
    mark = fingerprint(
        bench.stamp,
        _pixel_stamp(pixels),
        code,
        job.node,
        job.label,
        job.spec.name,
        job.settings,
        job.config,
        parent,
        members.tolist(),
    )
    finished = bench.work / f"expert-{mark[:16]}.done"
    if finished.exists():
        weights = np.fromfile(finished, dtype=np.uint8)
    else:
        training = Training(job.spec, job.settings, job.config, recipe.seed, start)
        checkpoint = bench.work / f"expert-{mark[:16]}.safetensors"
        weights = training.run(batches, checkpoint, bench.losses(f"expert {job.label}"))
        with atomic(finished) as file:
            file.write(weights.tobytes())
    facts = {"steps": job.config.steps, "parent": parent, "metrics": {"samples": len(members)}, "stamp": mark}
    return expert_record(trained, job, weights, facts)


def _pixel_stamp(pixels: NDArray[np.uint8]) -> str:
    """Hash of a few of the rendered samples: another degradation, or another version of it, has other pixels."""
    return sha256(np.ascontiguousarray(pixels[:: max(1, len(pixels) // 16)]))


def expert_record(
    trained: Trained,
    job: Job,
    weights: NDArray[np.uint8],
    facts: Mapping[str, Any],
) -> Record:
    """An expert as a registry keeps it; ``facts`` are its steps, parent, metrics and stamp.

    Attribute ``plugin`` names the distribution that brought the architecture.
    """
    attributes = {
        "arch": job.spec.name,
        "config": job.settings.model_dump(mode="json"),
        "sha256": sha256(weights),
        **facts,
        "plugin": trained.catalogue.origin("expert", job.spec.name),
    }
    return Record({"weights": weights}, attributes)


def _start(bench: Bench, job: Job, made: Mapping[int, Record]) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Weights of the node that the job comes after, where it has the same architecture and settings; and its record."""
    trained = bench.trained
    if job.after in made:
        record, name = made[job.after], f"{trained.base}/{job.after}.{trained.version}"
    else:
        record, name = trained.store.read("experts", trained.experts[job.after]), trained.experts[job.after]
    same = record.attributes["arch"] == job.spec.name and record.attributes["config"] == job.settings.model_dump(
        mode="json"
    )
    return (record.arrays["weights"], name) if same else (None, None)
