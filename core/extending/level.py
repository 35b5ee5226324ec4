"""New granularity: a leaf in finer parts, or siblings gathered under an intermediate node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..hierarchy import node_number
from ..photos import TRAIN
from ..samples import SampleSet
from ..stages.extractor import represent
from .bench import Bench, Choice
from .degradation import fit_branch
from .finish import Clock, Extended, finish, grown_census
from .growth import group, split
from .newcomers import plan, train
from .refit import SHARP

SEED = 90
FEWEST = 8
"""Training samples that a new node needs."""


def split_node(bench: Bench, name: str, into: int) -> Extended:
    """Divide the leaf ``name`` into ``into`` finer nodes with experts of their own, which begin with its weights."""
    trained, clock = bench.trained, Clock()
    node, tree = node_number(trained.labelled, name), trained.labelled.tree
    samples, pixels, dr = samples_of(bench, [node], clock)
    inside = (tree.assign_dr(dr) == node).any(1)
    learnt = np.flatnonzero(inside & (samples.split == TRAIN))
    if len(learnt) < into * FEWEST:
        raise ConfigError(
            f"{name}: {len(learnt)} samples fall into it, too few for {into} parts; draw more (--samples)"
        )
    branch = fit_branch(bench, dr[learnt], samples.labels(learnt), into)
    grown = split(trained.labelled, node, branch)
    jobs = plan(trained, bench.options, grown, grown.new)
    paths = np.where(inside[:, None], branch.assign_dr(dr) + len(tree) - 1, -1)
    paths[:, 0] = np.where(inside, node, -1)
    clock.lap("cluster")
    made = train(bench, jobs, samples, pixels, paths)
    clock.lap("experts")
    counts = {n: _share(trained.census[node], (paths[learnt] == n).any(1).mean()) for n in grown.new}
    part = samples.take(np.flatnonzero(inside))
    return finish(
        bench,
        grown,
        made,
        bench.newly(part, name),
        census=grown_census(trained, grown, counts),
        entry={"what": "level", "node": name, "into": into, "samples": len(samples)},
        message=f"{name} divided into {len(made)}",
        clock=clock,
        soft=SHARP,
    )


def group_nodes(bench: Bench, names: Sequence[str], group_name: str) -> Extended:
    """Put the node ``group_name``, with an expert trained on all their samples, above the siblings ``names``."""
    trained, clock = bench.trained, Clock()
    nodes = [node_number(trained.labelled, name) for name in names]
    grown = group(trained.labelled, nodes, group_name)
    jobs = plan(trained, bench.options, grown, grown.new)
    samples, pixels, dr = samples_of(bench, nodes, clock)
    inside = np.isin(trained.labelled.tree.assign_dr(dr), nodes).any(1)
    made = train(bench, jobs, samples, pixels, np.where(inside, grown.new[0], -1)[:, None].astype(np.int32))
    clock.lap("experts")
    part = samples.take(np.flatnonzero(inside))
    return finish(
        bench,
        grown,
        made,
        bench.newly(part, group_name),
        census=grown_census(trained, grown, {grown.new[0]: trained.census[nodes].sum(0)}),
        entry={"what": "group", "nodes": list(names), "name": group_name, "samples": len(samples)},
        message=f"{', '.join(names)} gathered as {group_name}",
        clock=clock,
        soft=SHARP,
    )


def samples_of(
    bench: Bench, nodes: Sequence[int], clock: Clock
) -> tuple[SampleSet, NDArray[np.uint8], NDArray[np.float32]]:
    """New samples of the damages below ``nodes``, of which about ``options.samples`` fall into these; pixels, DRs."""
    choices, kinds, count = drawn_for(bench, nodes)
    samples = bench.draw(
        choices, count, bench.trained.recipe.seed + SEED + bench.trained.version, bench.given.of(kinds)
    )
    pixels = bench.pixels(samples, "new samples")
    clock.lap("synthesize")
    dr = represent(bench.extractor, pixels, np.arange(len(samples)))
    clock.lap("extract")
    return samples, pixels, dr


def drawn_for(bench: Bench, nodes: Sequence[int]) -> tuple[list[Choice], list[str], int]:
    """Damages below ``nodes`` that are made, those that are given, and how many samples of them to draw.

    Raises ``ConfigError`` if there is none.
    """
    (tree, names, types, _), known = bench.trained.labelled, bench.trained.degradations()
    given = bench.trained.given_kinds
    leaves = [int(leaf) for leaf in tree.leaves if set(tree.path(int(leaf))) & set(nodes)]
    kinds = sorted({types[leaf] for leaf in leaves} & {*known, *given})
    if not kinds:
        listed = ", ".join(names[node] for node in nodes)
        raise ConfigError(f"{listed}: no known damage belongs to it; known: {', '.join((*known, *given))}")
    share = sum(types[leaf] in kinds for leaf in tree.leaves) / max(1, len(leaves))
    choices = [(kind, dict(known[kind].config), known[kind].weight) for kind in kinds if kind in known]
    return choices, [kind for kind in kinds if kind in given], round(bench.options.samples * share)


def _share(row: NDArray[np.int32], part: float) -> NDArray[np.int32]:
    return np.round(row * part).astype(np.int32)
