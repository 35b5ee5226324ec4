"""Making a table: its sweep is run as ``ablate`` runs it, then every cell is measured; or a finished model is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

from ..ablating.row import Row
from ..ablating.running import Bench, one_line, run_sweep
from ..ablating.sweep import Cell, load_sweep
from ..catalogue import Catalogue
from ..errors import ConfigError
from ..evaluating.suite import Suite
from ..mixture import Mixture
from ..recipe import Recipe
from ..restoring import Restorer
from .measuring import Measured, Ruler
from .outcome import Found
from .photos import given, heldout, lay_out, on_photos
from .table import Photos, Scale, ScaleName, Table, check_rows, laid_out, load_table

CELLS, EVALUATIONS, PHOTOS = "cells", "evaluations", "photos"
"""Folders of a table below OUT/NAME: registries and the sweep's own tables, what was measured, and on which photos."""
NEVER_RUN = "Scale `paper` was never run by this project: it wants GPUs, the published data sets and weights."
"""Said wherever that scale is used."""


@dataclass(frozen=True)
class Order:
    """A table at one scale, checked: with ``cells`` of its sweep (none: a finished model) and the ``suite``, if any."""

    name: str
    table: Table
    scale_name: ScaleName
    sweep: str = ""
    cells: tuple[Cell, ...] = ()
    suite: Suite | None = None

    @property
    def scale(self) -> Scale:
        """The scale that it is made at."""
        return self.table.scale(self.scale_name)


@dataclass
class Made:
    """What has come of an order: the cells, lines for what is ``missing`` or ``failed``, and on what was measured."""

    found: list[Found] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    measured: str = ""

    def add(self, name: str, found: Found, measure: Callable[[], tuple[Measured, str]] | None) -> None:
        """A cell with what ``measure`` finds, and on what; whatever that raises but an interruption is a line."""
        measured = Measured({})
        try:
            if measure is not None:
                measured, self.measured = measure()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - cells run foreign code; the other cells go on
            self.failed.append(f"{name}: {one_line(error)}")
        self.found.append(replace(found, scores=measured.scores))
        self.missing += [line for line in measured.missing if line not in self.missing]
        self.seconds += measured.seconds


@dataclass(frozen=True)
class Target:
    """On what is measured: ``data``, the folder of the suite's data sets, or photos, those of ``test`` where given.

    Photos become files below ``folder``.
    """

    folder: Path
    data: Path | None = None
    test: Path | None = None


def prepare(
    path: Path,
    scale: str,
    catalogue: Catalogue,
    find_suite: Callable[[str], Suite],
    *,
    finished: bool = False,
    photos: bool = False,
) -> Order:
    """The table in ``path`` at ``scale`` with everything that it names.

    ``finished``: a model is there, and nothing is trained. ``photos``: some are given to measure on. Raises
    ``ConfigError`` and ``UnknownNameError`` with a line for each problem of table, sweep or suite.
    """
    table = load_table(path)
    plan, name = table.scale(scale), cast(ScaleName, scale)
    suite = None if plan.suite is None else find_suite(_beside(path, plan.suite))
    if suite is not None and (photos or plan.photos is not None):
        suite = on_photos(suite)
    table = laid_out(table, name, suite)
    _check(path, table, suite)
    sweep, cells = "", tuple[Cell, ...]()
    if plan.sweep is not None and not finished:
        sweep, cells = load_sweep(path.parent / plan.sweep, catalogue)
        check_rows(path, table, cells)
    return Order(path.stem, table, name, sweep, cells, suite)


def _beside(path: Path, suite: str) -> str:
    """The name of a suite; of a file its path, which is meant from the table's folder."""
    return str(path.parent / suite) if suite.endswith((".yaml", ".yml")) else suite


def _check(path: Path, table: Table, suite: Suite | None) -> None:
    """Columns that the suite does not have, and claims on columns that the suite should have brought."""
    known = (*suite.columns, *suite.averages) if suite else ()
    titles = [column.title for column in table.columns]
    wrong = [
        f"{path}: column '{column.title}': no '{column.of}' in the suite; known: {', '.join(known) or 'none'}"
        for column in table.columns
        if column.of is not None and column.of not in known
    ] + [
        f"{path}: claim '{claim.text}': no column called '{title}'; known: {', '.join(titles)}"
        for claim in table.claims
        for title in claim.columns
        if title not in titles
    ]
    if wrong:
        raise ConfigError(wrong)


def make(order: Order, bench: Bench, ruler: Ruler | None, target: Target, tell: Callable[[Row], None]) -> Made:
    """Train what is not trained yet, then measure with ``ruler`` (None: nothing) what is not measured yet.

    A cell that fails does not stop the others. Raises what ``run_sweep`` raises.
    """
    rows = run_sweep(bench, order.cells, tell)
    made = Made(seconds=sum(row.seconds for row in rows))
    recipes = {cell.name: cell.recipe for cell in order.cells}
    for number, row in enumerate(rows):
        bench.watch("measured", number, len(rows), row.cell)
        if row.state != "done":
            made.failed.append(f"{row.cell}: {row.reason}")
            continue

        measure = None if ruler is None else partial(_measured, order, bench, ruler, target, recipes[row.cell], row)
        made.add(row.cell, Found(row.choices, row.figures), measure)
    bench.watch("measured", len(rows), len(rows), "done")
    made.measured = f"{len(made.found)} models{made.measured and ', '}{made.measured}"
    return made


def _measured(
    order: Order, bench: Bench, ruler: Ruler, target: Target, recipe: Recipe, row: Row
) -> tuple[Measured, str]:
    data, on = place(order, target, bench, recipe)
    store = bench.open_store(bench.out / row.cell)
    mixture = Mixture(store, bench.catalogue, recipe.name, fallback=order.table.fallback)
    return ruler.measure(Restorer(mixture), row.cell, row.stamp, data, row.choices), on


def make_of(order: Order, restorer: Restorer, stamp: str, ruler: Ruler, target: Target) -> Made:
    """The table of one finished model, known by ``stamp``."""
    made = Made()
    data, on = place(order, target)
    made.add("model", Found({}), lambda: (ruler.measure(restorer, "model", stamp, data), f"one model, {on}"))
    return made


def place(order: Order, target: Target, bench: Bench | None = None, recipe: Recipe | None = None) -> tuple[Path, str]:
    """Where the images are that a model is measured on, and what they are.

    Raises ``ConfigError`` where neither data sets nor photos are given and no recipe holds any out.
    """
    suite, plan = cast(Suite, order.suite), order.scale.photos
    if plan is None and target.test is None:
        if target.data is None:
            raise ConfigError(f"{order.name}: needs data sets of '{suite.name}'; name their folder: --datasets")
        return target.data, f"suite {suite.name}"
    plan = plan or Photos()
    if target.test is not None:
        sources, whose = given(target.test), "given"
    elif bench is not None and recipe is not None:
        sources, whose = heldout(bench.photos(recipe.synthesize.crop), recipe), "held-out"
    else:
        raise ConfigError(f"{order.name}: nobody knows which photos this model did not see; name some: --test")
    count = min(len(sources), plan.count or len(sources))
    size = "" if plan.side is None else f", the centre of at most {plan.side} px"
    return lay_out(sources, plan, target.folder), f"suite {suite.name} on {count} {whose} photos{size}"
