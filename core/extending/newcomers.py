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
from ..models import base_of, load_base, refuse_untrainable
from ..photos import TRAIN
from ..recipe import TrainingConfig, code_stamp, fingerprint
from ..samples import SampleSet
from ..stages.experts import Training, same_kind
from ..ties import BASE
from ..training.batches import PatchPairs
from ..weights import sha256
from .bench import Bench
from .growth import Grown
from .options import ExtensionRecipe
from .trained import Trained


@dataclass(frozen=True)
class Job:
    """An expert to train: its node, architecture and training; ``after`` is the node whose weights it begins with.

    ``base``: what an adapter's record says of the expert that it rests on.
    """

    node: int
    label: str
    spec: ExpertSpec[Any]
    settings: Config
    config: TrainingConfig
    patch: int
    after: int
    base: Mapping[str, Any]

    @property
    def kind(self) -> dict[str, Any]:
        """Attributes of the expert's record that say what it is."""
        return kind_of(self.spec, self.settings, self.base)

    def training(self, trained: Trained, start: NDArray[np.uint8] | None = None) -> Training:
        """How it is trained, beginning with the packed weights ``start``."""
        base = (lambda: load_base(trained.store, trained.catalogue, self.base, self.label)[0]) if self.base else None
        return Training(self.spec, self.settings, self.config, trained.recipe.seed, start, base)


def kind_of(spec: ExpertSpec[Any], settings: Config, base: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a record: architecture, configuration and, for an adapter, what it rests on."""
    return {"arch": spec.name, "config": settings.model_dump(mode="json"), **base}


def plan(trained: Trained, options: ExtensionRecipe, grown: Grown, nodes: Sequence[int]) -> list[Job]:
    """One job per node, coarsest first; raises ``ConfigError`` and ``UnknownNameError`` for what cannot be trained.

    The experts are what the options say, else what the model's recipe says for a node of that type.
    """
    section, chosen, (tree, names, types, _) = trained.recipe.experts, options.experts, grown.labelled
    own = chosen.levels if chosen is not None else ()
    levels, patch = own or section.levels, (chosen.patch if chosen is not None else None) or section.patch
    ranks = sorted({int(tree.level[node]) for node in nodes})
    jobs = []
    for node in nodes:
        choice = chosen or section.of(types[node], root=tree.parent[node] < 0)
        spec, settings, base = _architecture(trained, choice.name, choice.config, patch)
        rank = ranks.index(int(tree.level[node])) if own else len(tree.path(node)) - 1
        config = levels[min(rank, len(levels) - 1)]
        config = config if options.steps is None else config.model_copy(update={"steps": options.steps})
        jobs.append(Job(node, names[node], spec, settings, config, patch, int(tree.parent[node]), base))
    return jobs


def _architecture(
    trained: Trained, name: str, config: Mapping[str, Any], patch: int
) -> tuple[ExpertSpec[Any], Config, dict[str, Any]]:
    """An architecture that can be trained on ``patch`` pixels, its settings, and what an adapter of it rests on."""
    spec = trained.catalogue.expert(name)
    if spec.name == IDENTITY:
        raise ConfigError("experts.name: identity has nothing to train; name another architecture")
    refuse_untrainable(spec)
    settings = validate_config(spec.config, config, "experts.config")
    base = root_base(trained, spec)
    below = trained.catalogue.expert(trained.store.attributes("experts", base[BASE])["arch"]) if base else spec
    if patch % below.size.multiple:
        raise ConfigError(f"experts.patch: {below.name} needs a multiple of {below.size.multiple} (got {patch})")
    refuse_costs_patch(trained, below)
    return spec, settings, base


def refuse_costs_patch(trained: Trained, spec: ExpertSpec[Any]) -> None:
    """Raises ``ConfigError`` for an architecture that cannot be tried on patches as large as those of the others."""
    patch, multiple = trained.recipe.costs.patch, spec.size.multiple
    if patch % multiple:
        raise ConfigError(
            f"{spec.name}: needs patches of a multiple of {multiple} px, and the experts of this model are compared on "
            f"{patch} px (costs.patch of its recipe); name another architecture"
        )


def root_base(trained: Trained, spec: ExpertSpec[Any]) -> dict[str, Any]:
    """What the record of an adapter says of the root's expert, over which it lies; empty for other architectures."""
    return {} if spec.over is None else base_of(trained.store, trained.experts[0])


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
        samples,
        pixels,
        bench.truths(samples),
        members,
        patch=job.patch,
        batch=job.config.batch,
        seed=seed + trained.version,
    )
    start, parent = _start(bench, job, made)
    training = job.training(trained, start)
    mark = fingerprint(
        bench.stamp,
        _pixel_stamp(pixels),
        code_stamp(training.objective().network),
        job.node,
        job.label,
        job.kind,
        job.config,
        parent,
        members.tolist(),
    )
    finished = bench.work / f"expert-{mark[:16]}.done"
    if finished.exists():
        weights = np.fromfile(finished, dtype=np.uint8)
    else:
        checkpoint = bench.work / f"expert-{mark[:16]}.safetensors"
        weights = training.run(batches, checkpoint, bench.losses(f"expert {job.label}"))
        with atomic(finished) as file:
            file.write(weights.tobytes())
    facts = {"steps": job.config.steps, "parent": parent, "metrics": {"samples": len(members)}, "stamp": mark}
    return expert_record(trained, job.kind, weights, facts)


def _pixel_stamp(pixels: NDArray[np.uint8]) -> str:
    """Hash of a few of the rendered samples: another degradation, or another version of it, has other pixels."""
    return sha256(np.ascontiguousarray(pixels[:: max(1, len(pixels) // 16)]))


def expert_record(
    trained: Trained, kind: Mapping[str, Any], weights: NDArray[np.uint8], facts: Mapping[str, Any]
) -> Record:
    """An expert as a registry keeps it; ``facts`` are its steps, parent, metrics and stamp.

    Attribute ``plugin`` names the distribution that brought the architecture.
    """
    plugin = trained.catalogue.origin("expert", kind["arch"])
    attributes = {**kind, "sha256": sha256(weights), **facts, "plugin": plugin}
    return Record({"weights": weights}, attributes)


def _start(bench: Bench, job: Job, made: Mapping[int, Record]) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Weights of the node that the job comes after, where its expert is of the same kind; and its record."""
    trained = bench.trained
    if job.after in made:
        record, name = made[job.after], f"{trained.base}/{job.after}.{trained.version}"
    else:
        record, name = trained.store.read("experts", trained.experts[job.after]), trained.experts[job.after]
    return (record.arrays["weights"], name) if same_kind(record.attributes, job.kind) else (None, None)
