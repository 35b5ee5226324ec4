"""A new degradation: its samples become a branch of the tree, and only the experts of that branch are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue
from ..clustering.fitting import fit
from ..contracts import Labels
from ..errors import ConfigError
from ..hierarchy import Hierarchy
from ..photos import TRAIN
from ..recipe import ClusterConfig
from ..samples import SampleSet
from ..stages.extractor import represent
from ..stages.synthesize import resolve
from .bench import Bench
from .finish import Clock, Extended, finish, grown_census, grown_memory
from .growth import graft
from .newcomers import plan, train
from .separation import confusions, separation

SEED = 70
"""Added to the recipe's seed and the version for the new samples."""


def add_degradation(bench: Bench, name: str) -> Extended:
    """Extend the model by the degradation ``name`` of the catalogue.

    Raises ``UnknownNameError`` when there is none, ``ConfigError`` when the model has it or it cannot be trained.
    """
    trained, options, clock = bench.trained, bench.options, Clock()
    config = resolve(trained.catalogue, name, options.degradation)
    known = (*trained.degradations(), *trained.given_kinds)
    if name in (*known, *trained.labelled.names, *trained.labelled.types):
        raise ConfigError(f"{name}: the model has this degradation or node already; name a new one, or remove it first")
    if trained.catalogue.synthesizer(name).undamaged:
        raise ConfigError(f"{name}: counts as undamaged, so there is nothing to restore; name another degradation")
    seed = trained.recipe.seed + SEED + trained.version
    samples = bench.draw([(name, dict(config), 1.0)], options.samples, seed)
    pixels = bench.pixels(samples, name)
    clock.lap("synthesize")
    dr = represent(bench.extractor, pixels, np.arange(len(samples)))
    clock.lap("extract")
    learnt = samples.rows(TRAIN)
    branch = fit_branch(bench, dr[learnt], samples.labels(learnt), len(samples.prompts.pairs))
    grown = graft(trained.labelled, branch, name, degree_names(branch, samples, learnt))
    nodes = grown.new
    jobs = plan(trained, options, grown, nodes)
    paths = branch.assign_dr(dr) + len(trained.labelled.tree)
    clock.lap("cluster")
    made = train(bench, jobs, samples, pixels, paths)
    clock.lap("experts")
    new = bench.newly(samples, name)
    old = bench.rehearsal(confusions(trained.labelled, dr))
    notes = separation(trained.labelled, grown, old.trials, new.trials)
    census = branch.census(samples.prompt[learnt], len(samples.prompts.pairs))
    before = np.zeros((len(branch), trained.census.shape[1]), dtype=np.int32)
    rows = dict(zip(sorted(nodes), np.hstack([before, census]), strict=True))
    return finish(
        bench,
        grown,
        made,
        new,
        census=grown_census(trained, grown, rows, len(samples.prompts.pairs)),
        entry={
            "what": "degradation",
            "name": name,
            "config": dict(config),
            "samples": options.samples,
            "seed": seed,
            "plugin": trained.catalogue.origin("degradation", name),
        },
        message=f"extended by {name}: {len(made)} experts",
        clock=clock,
        notes=notes,
        old=old,
        memory=grown_memory(trained, grown, samples, dr),
    )


def fit_branch(bench: Bench, dr: NDArray[np.float32], labels: Labels, leaves: int) -> Hierarchy:
    """The tree over ``dr`` (n, D) that the options' clusterer finds; by default of one node and ``leaves`` below it."""
    trained = bench.trained
    section = bench.options.cluster or default_cluster(trained.catalogue, trained.recipe.cluster, leaves)
    branch = fit(trained.catalogue, section, dr, labels).tree
    if branch.normalize != trained.labelled.tree.normalize:
        wanted = "with" if trained.labelled.tree.normalize else "without"
        raise ConfigError(f"cluster: {section.name} must cluster {wanted} normalisation, as the model's tree does")
    return branch


def default_cluster(catalogue: Catalogue, section: ClusterConfig, leaves: int) -> ClusterConfig:
    """The model's own clusterer, told by its field ``sizes`` to make one node with ``leaves`` below it."""
    if "sizes" not in catalogue.clusterer(section.name).config.model_fields:
        raise ConfigError(f"cluster: '{section.name}' has no field 'sizes'; say how to cluster in an extension recipe")
    config: Mapping[str, Any] = {**section.config, "sizes": [1, leaves] if leaves > 1 else [1]}
    return ClusterConfig(name=section.name, config=config)


def degree_names(branch: Hierarchy, samples: SampleSet, rows: NDArray[np.intp]) -> list[str]:
    """The majority degree of every node."""
    census = branch.census(samples.prompt[rows], len(samples.prompts.pairs))
    return [samples.prompts.pairs[int(row.argmax())][1] for row in census]
