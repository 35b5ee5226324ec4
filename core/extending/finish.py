"""What every extension ends with: costs, routers, one commit, and a report of what changed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..contracts import Record, StageReport
from ..memory import Memory
from ..photos import HELDOUT
from ..recipe import fingerprint
from ..routing import Routers
from ..run import Watcher
from ..samples import SampleSet
from ..stages.costs import Trials, costs_record, joined
from ..stages.remembering import seen_of
from ..stages.routers import choose, scaled_cost
from ..weights import sha256
from .bench import Bench, Rehearsal
from .costing import Costs, KindReport, filled, former_choice, report, tabulate
from .growth import Grown
from .options import ExtensionRecipe
from .refit import SOFT, Fit, Fitting, Lesson, counterparts
from .trained import Trained


@dataclass(frozen=True)
class Extended:
    """What an extension did. ``seconds``: wall time by part. ``notes``: lines for the user, warnings among them."""

    model: str
    nodes: tuple[str, ...]
    kinds: tuple[KindReport, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Clock:
    """Wall time in seconds, by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """All since the last call belongs to ``part``."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def finish(
    bench: Bench,
    grown: Grown,
    made: Mapping[int, Record],
    new: Rehearsal | None,
    *,
    census: NDArray[np.int32],
    entry: Mapping[str, Any],
    message: str,
    clock: Clock,
    notes: Sequence[str] = (),
    old: Rehearsal | None = None,
    kinds: Sequence[KindReport] = (),
    soft: float = SOFT,
    memory: Memory | None = None,
) -> Extended:
    """Try the experts, fit the routers, commit.

    ``new``: trials of what is new; ``old``: the rehearsal, if made already; ``kinds``: a report to use instead;
    ``soft``: see ``best_choice``; ``memory``: what is remembered from now on, by default what the model remembers.
    """
    trained = bench.trained
    old = bench.rehearsal() if old is None else old
    lesson = _lesson(old, new)
    trials, routers = lesson.trials, trained.routers()
    clock.lap("rehearse")
    former = former_choice(routers, grown, trials.dr)
    table = tabulate(bench, grown, made, trials, _need(lesson, former, list(made), len(grown.origin)))
    clock.lap("costs")
    learnt = trials.split != HELDOUT
    place = {"dr_set": "", "hierarchy": "", "experts": trained.base}
    record = costs_record(trials.take(learnt), table.l1[learnt], table.mse[learnt], place)
    fitted, keep, loss = fit_routers(
        trained, bench.options, grown, record, lesson.kept[learnt], bench.work, bench.watch, soft
    )
    clock.lap("routers")
    kinds = kinds or report(trials, table, former, fitted)
    notes = [*notes, *_verdict(new, fitted, list(made), loss, bench.options.tolerance)]
    text, entry = f"{trained.model}: {message}", {**entry, "keep": keep, "loss": loss}
    trained.commit(
        grown,
        made=made,
        routers=fitted,
        memory=memory or trained.memory(),
        costs=record,
        census=census,
        entry=entry,
        message=text,
    )
    clock.lap("commit")
    shutil.rmtree(bench.work, ignore_errors=True)
    trained.catalogue.notify(StageReport("extend", text, sum(clock.seconds.values()), figures=dict(clock.seconds)))
    names = tuple(grown.labelled.names[node] for node in made)
    return Extended(trained.next_name, names, tuple(kinds), clock.seconds, tuple(notes))


def _verdict(
    new: Rehearsal | None, routers: Routers, made: Sequence[int], loss: float, tolerance: float
) -> Iterator[str]:
    """How often the new experts are chosen, and what the older damages lose on samples that fitting did not see."""
    if new is not None:
        held = new.trials.dr[new.trials.split == HELDOUT]
        used = f"{np.isin(choose(routers, held), made).mean():.0%}" if len(held) else "none"
        yield f"the new experts are chosen for {used} of the held-out samples that they were made for"
    beyond = (
        f"; warning: more than the {tolerance:g} dB of `tolerance`; give larger `keep` in the recipe, or go back"
        if loss > tolerance
        else ""
    )
    yield f"older damages lose {max(0.0, loss):.3f} dB on samples apart{beyond}"


class _Rows(NamedTuple):
    """All trials, which of them every expert is tried on, and which are of older damages."""

    trials: Trials
    full: NDArray[np.bool_]
    kept: NDArray[np.bool_]


def _lesson(old: Rehearsal, new: Rehearsal | None) -> _Rows:
    """Old and new ones, those that the routers learn from first."""
    parts = [old] if new is None else [old, new]
    trials, full = joined(*(part.trials for part in parts)), np.concatenate([part.full for part in parts])
    kept = np.arange(len(trials)) < len(old.trials)
    order = np.argsort(trials.split == HELDOUT, kind="stable")
    return _Rows(trials.take(order), full[order], kept[order])


def _need(rows: _Rows, former: NDArray[np.int64], made: Sequence[int], nodes: int) -> NDArray[np.bool_]:
    """(n, M) which costs are computed: of the full rows all, of the others the former choice and the new experts."""
    need = np.repeat(rows.full[:, None], nodes, axis=1)
    need[np.arange(len(former)), former] = True
    need[:, list(made)] = True
    return need


def fit_routers(
    trained: Trained,
    options: ExtensionRecipe,
    grown: Grown,
    costs: Record,
    kept: NDArray[np.bool_],
    work: Path,
    watch: Watcher,
    soft: float = SOFT,
) -> Fit:
    """Routers of the grown tree; ``kept`` (n,) are rows of older damages."""
    section, old = options.routing(trained.recipe.routers), trained.routers()
    arrays = costs.arrays
    former = former_choice(old, grown, arrays["dr"])
    table = filled(Costs(arrays["l1"], arrays["mse"]), former)
    if "kind" in arrays:
        kind = np.array(costs.attributes["kinds"])[arrays["kind"]]
        judged = kept & np.isin(kind, list(trained.taught()))
    else:  # a table of before kinds were recorded
        kind, judged = np.full(len(kept), "any"), kept
    lesson = Lesson(arrays["dr"], arrays["mse"], scaled_cost(table.l1, table.mse, section), kept, judged, kind, former)
    stamp = fingerprint(trained.stamp, section, options.keep, grown.origin.tolist(), sha256(arrays["mse"]))
    fitting = Fitting(
        old,
        counterparts(trained.labelled, grown),
        grown,
        section,
        trained.recipe.seed,
        work / f"routers-{stamp[:16]}.safetensors",
        soft,
        lambda step, steps, loss: watch("routers", step, steps, f"loss {loss:.4f}"),
    )
    return fitting.search(lesson, options.keep, options.tolerance)


def grown_census(
    trained: Trained, grown: Grown, counts: Mapping[int, NDArray[np.int32]], prompts: int = 0
) -> NDArray[np.int32]:
    """The old census with a row for each new node and a column for each of ``prompts`` new prompts."""
    old = trained.census
    table = np.zeros((len(grown.origin), old.shape[1] + prompts), dtype=np.int32)
    kept = grown.origin >= 0
    table[kept, : old.shape[1]] = old[grown.origin[kept]]
    for node, row in counts.items():
        table[node] = row
    return table


def grown_memory(trained: Trained, grown: Grown, samples: SampleSet, dr: NDArray[np.float32]) -> Memory | None:
    """What ``trained`` remembers, with new ``samples`` of DRs (n, D): as many for a new leaf as older ones have.

    ``None`` where it remembers nothing: then the new samples alone would be all that is known.
    """
    old, leaves = trained.memory(), len(trained.labelled.tree.leaves)
    if old is None:
        return None
    new = int(np.isin(grown.labelled.tree.leaves, grown.new).sum())
    return old.grown(seen_of(samples, dr), grown.labelled.tree, max(1, round(len(old) / leaves * new)), samples.seed)
