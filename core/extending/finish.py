"""What every extension ends with: costs, routers, one commit, and a report of what changed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import Record, StageReport
from ..photos import HELDOUT
from ..recipe import fingerprint
from ..routing import Routers
from ..run import Watcher
from ..stages.costs import Trials, costs_record, joined
from ..stages.routers import choose, scaled_cost
from ..weights import sha256
from .bench import Bench, Rehearsal
from .costing import KindReport, report, tabulate
from .growth import Grown
from .options import ExtensionRecipe
from .refit import counterparts, grown_routers, refit
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
    new: Trials | None,
    *,
    census: NDArray[np.int32],
    entry: Mapping[str, Any],
    message: str,
    clock: Clock,
    notes: Sequence[str] = (),
    old: Rehearsal | None = None,
    kinds: Sequence[KindReport] = (),
) -> Extended:
    """Try the experts, fit the routers, commit.

    ``new``: trials of what is new; ``old``: the rehearsal, if made already; ``kinds``: a report to use instead.
    """
    trained = bench.trained
    old = bench.rehearsal() if old is None else old
    trials = old.tried if new is None else _ordered(old.tried, new)
    clock.lap("rehearse")
    table = tabulate(bench, grown, made, trials)
    clock.lap("costs")
    learnt = trials.split != HELDOUT
    place = {"dr_set": "", "hierarchy": "", "experts": trained.base}
    record = costs_record(trials.take(learnt), table.l1[learnt], table.mse[learnt], place)
    before = trained.routers()
    kept = np.arange(len(record.arrays["dr"])) < int((old.tried.split != HELDOUT).sum())
    routers = fit_routers(trained, bench.options, grown, record, kept, old.dr, bench.work, bench.watch)
    clock.lap("routers")
    kinds = kinds or report(trials, table, grown, before, trained.labelled, routers)
    if new is not None:
        used = _used(new, routers, list(made))
        notes = [*notes, f"the new experts are chosen for {used:.0%} of the held-out samples that they were made for"]
    text = f"{trained.model}: {message}"
    trained.commit(grown, made=made, routers=routers, costs=record, census=census, entry=entry, message=text)
    clock.lap("commit")
    shutil.rmtree(bench.work, ignore_errors=True)
    trained.catalogue.notify(StageReport("extend", text, sum(clock.seconds.values()), figures=dict(clock.seconds)))
    names = tuple(grown.labelled.names[node] for node in made)
    return Extended(trained.next_name, names, tuple(kinds), clock.seconds, tuple(notes))


def _ordered(old: Trials, new: Trials) -> Trials:
    """Those that the routers learn from first, old before new, so that a later extension can use their costs again."""
    held = [trials.split == HELDOUT for trials in (old, new)]
    return joined(old.take(~held[0]), new.take(~held[1]), old.take(held[0]), new.take(held[1]))


def _used(trials: Trials, routers: Routers, nodes: Sequence[int]) -> float:
    """Share of the held-out trials for which one of ``nodes`` is chosen."""
    held = trials.dr[trials.split == HELDOUT]
    return float(np.isin(choose(routers, held), nodes).mean()) if len(held) else 0.0


def fit_routers(
    trained: Trained,
    options: ExtensionRecipe,
    grown: Grown,
    costs: Record,
    kept: NDArray[np.bool_],
    more: NDArray[np.float32],
    work: Path,
    watch: Watcher,
) -> Routers:
    """Routers of the grown tree, fitted to the cost rows, of which ``kept`` (n,) marks those of older damages.

    ``more`` (m, D) are DRs of older damages without costs: rows of zeros, from which the task term learns nothing.
    """
    section = options.routing(trained.recipe.routers)
    old = trained.routers()
    same = counterparts(trained.labelled, grown)
    routers = grown_routers(old, grown, same)
    cost = scaled_cost(costs.arrays["l1"], costs.arrays["mse"], section)
    stamp = fingerprint(trained.stamp, section, options.keep, grown.origin.tolist(), sha256(costs.arrays["mse"]))
    refit(
        routers,
        old,
        same,
        dr=np.concatenate([costs.arrays["dr"], more]),
        cost=np.concatenate([cost, np.zeros((len(more), cost.shape[1]), dtype=np.float32)]),
        kept=np.concatenate([kept, np.ones(len(more), dtype=np.bool_)]),
        tree=grown.labelled,
        config=section,
        keep=options.keep,
        seed=trained.recipe.seed,
        checkpoint=work / f"routers-{stamp[:16]}.safetensors",
        progress=lambda step, steps, loss: watch("routers", step, steps, f"loss {loss:.4f}"),
    )
    return routers.eval()


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
