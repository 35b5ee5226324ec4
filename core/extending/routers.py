"""What routers have today for a model of before: training samples to compare photos with, calibrated temperatures.

Samples are drawn anew, of the recipe and the photos. The weights stay as they are unless they are fitted again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..calibration import Judged, judged, reliability
from ..contracts import Record, StageReport
from ..explaining import EDGE
from ..hierarchy import Hierarchy
from ..memory import SIZE, Memory, remembered
from ..models import routers_record
from ..photos import CALIBRATION, HELDOUT
from ..recipe import RoutersConfig, fingerprint
from ..routing import Routers
from ..run import data_stamp
from ..stages.costs import Trials, costs_record
from ..stages.routers import Apart, Rows, calibrate, folds_of, judged_apart, trained
from .bench import Bench
from .costing import Costs, KindReport, former_choice, report, tabulate
from .finish import Clock, Extended
from .growth import Grown
from .redrawing import Redrawn, redraw

SAMPLES = 4000
"""Samples that are drawn where neither the command nor a recipe says how many."""


def extend_routers(bench: Bench, reports: Path, *, refit: bool = False) -> Extended:
    """Write the next version of the model, in which nothing but the routers record is new.

    ``refit``: new weights, trained as the options' section ``routers`` says, else that of the model's recipe, on costs
    measured for it. ``reports``: folder for the figure of how reliable the probabilities are. Raises ``ConfigError``
    for too few samples, ``RegistryError`` when the model was changed by somebody else in the meantime.
    """
    model, clock = bench.trained, Clock()
    drawn = redraw(bench, wanted_samples(bench))
    memory = remembered(drawn.seen, model.labelled.tree, SIZE, model.recipe.seed)
    clock.lap("redraw")
    tried = _tried(bench, drawn, refit)
    clock.lap("costs")
    picture = reports / f"reliability-{model.next_name}.png"
    routers = tried.refitted(picture) if refit else tried.calibrated(picture)
    clock.lap("routers")
    notes = (*_photos_said(bench), *_memory_said(bench, drawn, memory), *tried.reliability_said(routers))
    message = f"{model.model}: routers {'fitted again' if refit else 'calibrated'}, {len(memory)} samples remembered"
    model.commit_routers(
        memory.added_to(tried.record(routers, refit)),
        costs=tried.costs_record() if refit else None,
        entry={"what": "routers", "samples": len(drawn.trials), "remembered": len(memory), "refit": refit},
        message=message,
    )
    clock.lap("commit")
    shutil.rmtree(bench.work, ignore_errors=True)
    model.catalogue.notify(StageReport("extend", message, sum(clock.seconds.values()), figures=dict(clock.seconds)))
    return Extended(model.next_name, (), tried.kinds(routers) if refit else (), clock.seconds, notes)


def wanted_samples(bench: Bench) -> int:
    """How many samples are drawn."""
    return bench.options.samples if "samples" in bench.options.model_fields_set else SAMPLES


@dataclass(frozen=True)
class _Tried:
    """Samples that every expert was tried on, with its costs; learnt (n,): not held out; photo (n,): names."""

    bench: Bench
    trials: Trials
    photo: NDArray[np.str_]
    table: Costs

    @property
    def learnt(self) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self.trials.split != HELDOUT
        return mask

    @property
    def section(self) -> RoutersConfig:
        return self.bench.options.routers or self.bench.trained.recipe.routers

    @property
    def tree(self) -> Hierarchy:
        return self.bench.trained.labelled.tree

    @cached_property
    def rows(self) -> Rows:
        return Rows.of({"dr": self.trials.dr, "l1": self.table.l1, "mse": self.table.mse}, self.section)

    def judged(self, routers: Routers, rows: Rows) -> tuple[Judged, Judged]:
        """What ``routers`` say of ``rows``, leaf and level, beside what was right."""
        with torch.inference_mode():
            leaf, level, _, _ = routers.logits(torch.from_numpy(rows.dr))
        return judged(leaf.numpy(), level.numpy(), self.tree.ancestors, rows.decibels)

    def calibrated(self, picture: Path) -> Routers:
        """The routers as they are, with temperatures fitted to the samples of calibration photos."""
        routers, rows = self.bench.trained.routers(), self.rows.take(self.trials.split == CALIBRATION)
        calibrate(routers, Apart(*self.judged(routers, rows), rows.regret(routers)), picture)
        return routers

    def refitted(self, picture: Path) -> Routers:
        """New routers, trained and calibrated as the routers stage does it."""
        rows, seed = self.rows.take(self.learnt), self.bench.trained.recipe.seed
        stamp = fingerprint(self.bench.stamp, self.section, rows.cost.tolist())

        def train(some: Rows, part: str) -> Routers:
            checkpoint = self.bench.work / f"routers-{stamp[:16]}{part}.safetensors"
            return trained(self.tree, some, self.section, seed, checkpoint, self.bench.losses(f"routers{part}"))

        routers = train(rows, "")
        folds = folds_of(self.photo[self.learnt], self.trials.split[self.learnt], seed)
        calibrate(routers, judged_apart(train, rows, folds, self.tree), picture)
        return routers

    def record(self, routers: Routers, refit: bool) -> Record:
        """``routers`` as a registry keeps them; of old ones the weights are the same bytes."""
        if refit:
            losses = {"regret": self.rows.take(self.learnt).regret(routers)}
            return routers_record(routers, {"config": self.section.model_dump(mode="json"), "losses": losses})
        old = self.bench.trained.store.read("routers", self.bench.trained.ties["routers"])
        return Record(old.arrays, {**old.attributes, "temperatures": asdict(routers.options.temperatures)})

    def costs_record(self) -> Record:
        """What new routers were trained on."""
        model, learnt = self.bench.trained, self.learnt
        place = {"dr_set": "", "hierarchy": model.ties["hierarchy"], "experts": model.base}
        return costs_record(self.trials.take(learnt), self.table.l1[learnt], self.table.mse[learnt], place)

    def reliability_said(self, routers: Routers) -> Iterator[str]:
        """How far the probabilities are off on held-out samples, before and now."""
        rows, heat = self.rows.take(~self.learnt), routers.options.temperatures
        gaps = [self._gaps(which, rows) for which in (self.bench.trained.routers(), routers)]
        said = ", ".join(
            f"{name} {before:.3f} to {now:.3f}" for name, before, now in zip(asdict(heat), *gaps, strict=True)
        )
        yield f"calibration error on {len(rows.dr)} held-out samples: {said}"
        yield f"temperatures: leaf {heat.leaf:.2f}, level {heat.level:.2f}"

    def _gaps(self, routers: Routers, rows: Rows) -> list[float]:
        heats = asdict(routers.options.temperatures).values()
        said = zip(self.judged(routers, rows), heats, strict=True)
        return [reliability(of.confidence(heat), of.credit(heat)).error for of, heat in said]

    def kinds(self, routers: Routers) -> tuple[KindReport, ...]:
        """What the choices of the former routers and of ``routers`` give on held-out samples."""
        model = self.bench.trained
        former = former_choice(model.routers(), _same(self.bench), self.trials.dr)
        return tuple(report(self.trials, self.table, former, routers))


def _same(bench: Bench) -> Grown:
    """The tree as it is."""
    labelled = bench.trained.labelled
    return Grown(labelled, np.arange(len(labelled.tree), dtype=np.int32))


def _tried(bench: Bench, drawn: Redrawn, refit: bool) -> _Tried:
    """Every expert on the samples of calibration photos, or all that new routers learn from, and some held-out ones."""
    held = np.random.default_rng(bench.trained.recipe.seed).permutation(drawn.rows(HELDOUT))[: bench.options.tried]
    chosen = np.flatnonzero(drawn.learnt) if refit else drawn.rows(CALIBRATION)
    rows = np.sort(np.concatenate([chosen, held]))
    trials, grown = drawn.trials.take(rows), _same(bench)
    need = np.ones((len(rows), len(grown.origin)), dtype=np.bool_)
    return _Tried(bench, trials, np.array(drawn.seen.photos)[rows], tabulate(bench, grown, {}, trials, need))


def _photos_said(bench: Bench) -> Iterator[str]:
    if bench.trained.ties["provenance"].get("photos") != data_stamp(bench.photos, bench.given):
        yield (
            "warning: these are not the photos that the model was trained on, so these are what it remembers; some of "
            "those that count as unseen may have trained it"
        )


def _memory_said(bench: Bench, drawn: Redrawn, memory: Memory) -> Iterator[str]:
    """How much is remembered, and how many held-out samples the former and this memory take for something unknown."""
    yield f"{len(memory)} samples of {len(memory.photos)} training photos remembered"
    dr, former = drawn.trials.dr[drawn.rows(HELDOUT)], bench.trained.memory()
    now, before = (None if one is None else float((one.novelty(dr) > EDGE).mean()) for one in (memory, former))
    yield f"false alarms: {now:.1%} of {len(dr)} held-out samples are taken for something unknown" + (
        "" if before is None else f", {before:.1%} before"
    )
