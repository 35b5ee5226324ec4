"""What an extension would train and how long that takes, measured on a few steps of each part; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from ..hierarchy import Hierarchy, node_number
from ..models import load_expert
from ..samples import build_synthesizer
from ..stages.costs import BATCH, errors
from ..stages.routers import FOLDS
from ..stages.synthesize import resolve
from .bench import TRIED, Bench
from .degradation import default_cluster
from .growth import Grown, graft, group, split
from .level import drawn_for
from .newcomers import Job, plan
from .redrawing import Portion, portions_of
from .refit import KeepObjective, counterparts, grown_routers
from .routers import wanted_samples
from .trained import Trained

TRIALS = 3


@dataclass(frozen=True)
class Part:
    """One piece of the work and its expected wall time in seconds."""

    what: str
    seconds: float


def forecast_degradation(bench: Bench, name: str) -> list[Part]:
    """The parts of ``add_degradation``."""
    trained, options = bench.trained, bench.options
    config = resolve(trained.catalogue, name, options.degradation)
    synthesizer = build_synthesizer(trained.catalogue, name, config)
    degrees = sorted(set(synthesizer.degree(synthesizer.sample(256, torch.Generator().manual_seed(0)))))
    section = options.cluster or default_cluster(trained.catalogue, trained.recipe.cluster, len(degrees))
    sizes = tuple(section.config.get("sizes", (1, len(degrees))))
    branch = _branch(sizes, trained.labelled.tree)
    grown = graft(trained.labelled, branch, name, [degrees[n % len(degrees)] for n in range(len(branch))])
    return _parts(bench, _jobs(bench, grown), [(name, options.samples)], known=2 * options.rehearsal)


def forecast_split(bench: Bench, name: str, into: int) -> list[Part]:
    """The parts of ``split_node``."""
    labelled = bench.trained.labelled
    node = node_number(labelled, name)
    grown = split(labelled, node, _branch((1, into), labelled.tree))
    return _parts(bench, _jobs(bench, grown), _draws(bench, [node]))


def forecast_group(bench: Bench, names: Sequence[str], group_name: str) -> list[Part]:
    """The parts of ``group_nodes``."""
    labelled = bench.trained.labelled
    nodes = [node_number(labelled, name) for name in names]
    return _parts(bench, _jobs(bench, group(labelled, nodes, group_name)), _draws(bench, nodes))


def forecast_expert(bench: Bench, name: str, given: nn.Module | None = None) -> list[Part]:
    """The parts of ``replace_expert``; a ``given`` network is not trained."""
    labelled = bench.trained.labelled
    node = node_number(labelled, name)
    grown = Grown(labelled, np.arange(len(labelled.tree), dtype=np.int32))
    jobs = plan(bench.trained, bench.options, grown, [node]) if given is None else []
    return _parts(bench, jobs, _draws(bench, [node]), given)


def forecast_routers(bench: Bench, *, refit: bool = False) -> list[Part]:
    """The parts of ``extend_routers``."""
    trained, recipe = bench.trained, bench.trained.recipe
    drawn, plan = portions_of(bench, wanted_samples(bench)), recipe.synthesize
    parts = [Part(f"draw {portion.samples} samples: {portion.label}", _drawn(bench, portion)) for portion in drawn]
    plain, *rest = (portion.samples for portion in drawn)
    tried = plan.calibration * (plain + sum(rest))
    if refit:
        tried = plain * (plan.calibration + recipe.costs.samples / plan.samples) + sum(rest) * (1 - plan.heldout)
    count, rows = len(trained.experts), round(tried + min(bench.options.tried, plan.heldout * (plain + sum(rest))))
    root = load_expert(trained.store, trained.catalogue, trained.experts[0])[0]
    parts.append(Part(f"costs: {count} experts on {rows} samples", _row(bench, root) * count * rows))
    if refit:
        steps = (bench.options.routers or recipe.routers).training.steps
        parts.append(Part(f"routers: {steps} steps, {1 + FOLDS} times", _router_step(bench) * steps * (1 + FOLDS)))
    return parts


def _drawn(bench: Bench, portion: Portion) -> float:
    """Seconds of the samples of ``portion``."""
    given = bench.given.of(bench.trained.given_kinds if portion.plain else ()).sources
    seconds = [_timed(partial(_apply, bench, name, config)) for name, config, _ in portion.choices]
    seconds += [_sample(bench, source.kind) for source in given]
    return portion.samples * sum(seconds) / max(1, len(seconds))


def _jobs(bench: Bench, grown: Grown) -> list[Job]:
    return plan(bench.trained, bench.options, grown, grown.new)


def _draws(bench: Bench, nodes: Sequence[int]) -> list[tuple[str, int]]:
    """(damage, samples) that are drawn for ``nodes``."""
    choices, given, count = drawn_for(bench, nodes)
    names = dict.fromkeys([*(name for name, _, _ in choices), *given])
    return [(name, count // len(names)) for name in names]


def _parts(
    bench: Bench, jobs: Sequence[Job], draws: Sequence[tuple[str, int]], given: nn.Module | None = None, known: int = 0
) -> list[Part]:
    """For new experts of ``jobs``, or the ``given`` one; ``known``: how many samples of older damages are drawn (0: as
    the options say).
    """
    trained, options = bench.trained, bench.options
    kinds, rows = dict.fromkeys([*trained.degradations(), *trained.given_kinds]), known or options.rehearsal
    parts = []
    for name, count in [*draws, *((kind, rows // len(kinds)) for kind in kinds)]:
        parts.append(Part(f"render {count} samples of {name}", _sample(bench, name) * count))
    for job in jobs:
        summary = f"{job.spec.name}, {job.config.steps} steps of {job.config.batch} x {job.patch} px"
        parts.append(Part(f"train {job.label}: {summary}", _step(trained, job) * job.config.steps))
    root = load_expert(trained.store, trained.catalogue, trained.experts[0])[0]
    network = jobs[0].training(trained).objective().network.eval() if given is None else given
    old, new, number = _row(bench, root), _row(bench, network), max(1, len(jobs))
    count, reuse, drawn = len(trained.experts), trained.costs() is not None, sum(size for _, size in draws)
    full = min(drawn, TRIED + drawn // 5) + (0 if reuse else options.tried)
    seconds = old * (full * count + drawn + rows) + new * number * (drawn + rows)
    table = f"{count} older experts on {full} samples, {number} new ones and the choice on {drawn + rows}"
    parts.append(Part(f"costs: {table}" + (", older costs are reused for the same photos" if reuse else ""), seconds))
    steps = options.routing(trained.recipe.routers).training.steps
    fits = f"{steps} steps, 2 to {len(options.keep) + 1} times"
    parts.append(Part(f"routers: {fits}", 3 * _router_step(bench) * steps))
    return parts


def _branch(sizes: Sequence[int], like: Hierarchy) -> Hierarchy:
    """A tree of ``sizes`` nodes per level with centroids of zeros: a stand-in for what clustering will find."""
    parent, level = [-1], [0]
    for depth, size in enumerate(sizes[1:], start=1):
        above = [node for node in range(len(parent)) if level[node] == depth - 1]
        parent += [above[number * len(above) // size] for number in range(size)]
        level += [depth] * size
    return Hierarchy(
        np.array(parent, dtype=np.int32),
        np.array(level, dtype=np.int32),
        np.zeros((len(parent), like.centroid.shape[1]), dtype=np.float32),
        np.zeros((0, max(level) + 1), dtype=np.int32),
        like.normalize,
    ).validate()


def _timed(work: Callable[[], object]) -> float:
    """Median seconds of a few calls after a first one."""
    work()
    laps = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        work()
        laps.append(time.perf_counter() - start)
    return sorted(laps)[TRIALS // 2]


def _sample(bench: Bench, name: str) -> float:
    """Seconds of one sample of the damage ``name``, made or read."""
    trained = bench.trained
    known = trained.degradations()
    if name in trained.given_kinds and name not in known:
        source = bench.given.of([name]).sources[0]
        return _timed(lambda: source.data.read(source.pairs[0], "lq"))
    config = known[name].config if name in known else resolve(trained.catalogue, name, bench.options.degradation)
    return _timed(lambda: _apply(bench, name, config))


def _apply(bench: Bench, name: str, config: object) -> torch.Tensor:
    synthesizer = build_synthesizer(bench.trained.catalogue, name, dict(config))  # type: ignore[call-overload]
    side = bench.trained.recipe.synthesize.crop
    clean = torch.from_numpy(bench.photos.pixels[0][:side, :side].copy()).permute(2, 0, 1)[None].float() / 255
    return synthesizer.apply(clean, synthesizer.sample(1, torch.Generator().manual_seed(0)))


def _step(trained: Trained, job: Job) -> float:
    """Seconds of one training step."""
    objective = job.training(trained).objective()
    optimizer = torch.optim.AdamW(parameter for parameter in objective.parameters() if parameter.requires_grad)
    batch = torch.rand(job.config.batch, 3, job.patch, job.patch).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=job.config.precision == "bf16"):
            loss = objective(batch, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return _timed(step)


def _row(bench: Bench, network: nn.Module) -> float:
    """Seconds of one row of the cost table: ``network`` on one patch."""
    patch = bench.trained.recipe.costs.patch
    images = np.zeros((BATCH, 3, patch, patch), dtype=np.uint8)
    return _timed(lambda: errors(network, images, images)) / BATCH


def _router_step(bench: Bench) -> float:
    trained = bench.trained
    section = bench.options.routing(trained.recipe.routers)
    same = Grown(trained.labelled, np.arange(len(trained.labelled.tree), dtype=np.int32))
    old, of = trained.routers(), counterparts(trained.labelled, same)
    objective = KeepObjective(grown_routers(old, same, of), section, old, of, bench.options.keep[0])
    (leaves, levels), batch = old.ancestors.shape, section.training.batch
    dr = torch.randn(batch, len(old.centre))
    noise = torch.randn(batch, leaves), torch.randn(batch, levels)
    cost, kept = torch.rand(batch, len(trained.labelled.tree)), torch.ones(batch)
    return _timed(lambda: objective(dr, cost, dr, *noise, kept).backward())
