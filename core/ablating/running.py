"""Running a sweep: every cell is a registry of its own, and begins with the stages that another cell has finished.

A cell that fails is recorded and the others go on. Running the sweep again skips what is finished, goes on with what
was interrupted, and tries again what failed.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..catalogue import Catalogue
from ..clustering.map import MAP
from ..clustering.tables import CSV, MARKDOWN
from ..contracts import StageReport, Store
from ..errors import UniRestorerError
from ..files import copy_bytes
from ..pairs import Given, open_pairs
from ..photos import Photos, load_photos
from ..pipeline import run_pipeline, stamps
from ..recipe import Recipe, fingerprint
from ..run import Run, Watcher, data_stamp
from .results import read_rows, write_results
from .row import Row
from .sweep import Cell

Stamps = Mapping[str, str]
"""Stage -> fingerprint, in the order of the pipeline."""

_RECORDS = {
    "synthesize": ("dr_sets",),
    "extractor": ("extractors",),
    "cluster": ("hierarchies", "experts"),  # single experts may be of use where the stage as a whole is not
    "costs": ("costs",),
}
"""The kinds of records that are copied with a shared stage."""
_DRAWN = (MAP, MARKDOWN, CSV)
"""Reports of the stage ``cluster``."""


@dataclass(frozen=True)
class Job:
    """A cell and its stages; ``done`` of them are in its registry, ``shared`` can be had from the cell ``source``."""

    cell: Cell
    stamps: Stamps
    done: int
    shared: int
    source: str


@dataclass(frozen=True)
class Bench:
    """Where a sweep runs: registries and results in ``out``, clean photos in ``data``, pairs in ``datasets``."""

    sweep: str
    out: Path
    data: Path
    catalogue: Catalogue
    open_store: Callable[[Path], Store]
    watch: Watcher
    datasets: Path | None = None
    _photos: dict[int, Photos] = field(default_factory=dict)
    _given: dict[str, Given] = field(default_factory=dict)

    def photos(self, crop: int) -> Photos:
        """The photos, at least ``crop`` pixels a side; those of one crop are kept. Raises ``ImageError``."""
        if crop not in self._photos:
            self._photos.clear()
            self._photos[crop] = load_photos(self.data, crop)
        return self._photos[crop]

    def given(self, recipe: Recipe) -> Given:
        """The pairs of a recipe. Raises ``DataError`` and ``ConfigError`` where these are not there."""
        key = fingerprint(recipe.synthesize, recipe.seed)
        if key not in self._given:
            self._given[key] = open_pairs(recipe.synthesize, recipe.seed, self.datasets)
        return self._given[key]

    def recorded(self, cell: Cell) -> Stamps:
        """What the registry of ``cell`` says is finished; nothing where there is none that can be read."""
        folder, prefix = self.out / cell.name, f"{cell.recipe.name}."
        if not folder.exists():
            return {}
        try:
            store = self.open_store(folder)
            found = {name: str(store.attributes("stages", name)["fingerprint"]) for name in store.names("stages")}
        except UniRestorerError:  # running the cell will say what is wrong with it
            return {}
        return {name.removeprefix(prefix): stamp for name, stamp in found.items()}

    def run(self, cell: Cell, work: Path) -> Run:
        """The training run of ``cell``."""
        folder = self.out / cell.name
        store, photos = self.open_store(folder), self.photos(cell.recipe.synthesize.crop)

        def watch(task: str, done: int, total: int, note: str) -> None:
            self.watch(task, done, total, f"{note} ({cell.name})")

        return Run(cell.recipe, store, self.catalogue, photos, work, folder / "reports", watch, self.given(cell.recipe))


def plan(bench: Bench, cells: Sequence[Cell]) -> list[Job]:
    """The cells in an order in which those that share most follow each other, each with what it can share by then."""
    photos = bench.photos(cells[0].recipe.synthesize.crop)
    wanted = {
        cell.name: stamps(cell.recipe, data_stamp(photos, bench.given(cell.recipe)), bench.catalogue) for cell in cells
    }
    first: dict[str, int] = {}
    for number, chain in enumerate(wanted.values()):
        for stamp in chain.values():
            first.setdefault(stamp, number)
    there = {cell.name: bench.recorded(cell) for cell in cells}
    jobs = []
    for cell in sorted(cells, key=lambda cell: [first[stamp] for stamp in wanted[cell.name].values()]):
        chain = wanted[cell.name]
        jobs.append(Job(cell, chain, *best_source(cell.name, chain, there)))
        there[cell.name] = chain
    return jobs


def best_source(cell: str, wanted: Stamps, there: Mapping[str, Stamps]) -> tuple[int, int, str]:
    """How many stages ``cell`` has; how many more than that another cell has, and which; 0 and "" if none does."""
    own = _common(wanted, there.get(cell, {}))
    others = [(_common(wanted, chain), name) for name, chain in there.items() if name != cell]
    shared, source = max(others, key=lambda other: other[0], default=(0, ""))
    return (own, shared, source) if shared > own else (own, 0, "")


def run_sweep(bench: Bench, cells: Sequence[Cell], tell: Callable[[Row], None]) -> list[Row]:
    """Run every cell that is not done; ``tell`` gets each row as it is finished. Results are written after each cell.

    Raises ``ConfigError`` when ``bench.out`` holds something else, ``ImageError`` when there are too few photos.
    """
    before = read_rows(bench.out)
    jobs = plan(bench, cells)
    last = {job.cell.name: list(job.stamps.values())[-1] for job in jobs}
    rows = {cell.name: Row(cell.name, cell.choices, last[cell.name]) for cell in cells}
    rows |= {name: row for name, row in before.items() if row.stamp == last.get(name)}

    def save(row: Row) -> None:
        rows[row.cell] = row
        write_results(bench.out, bench.sweep, list(rows.values()))

    there = {cell.name: bench.recorded(cell) for cell in cells}
    work = bench.out / ".work"
    for number, job in enumerate(jobs):
        bench.watch("cells", number, len(jobs), job.cell.name)
        pixels = work / job.stamps["synthesize"][:16]
        if rows[job.cell.name].state != "done" or there[job.cell.name] != job.stamps:
            _run_cell(bench, job, rows[job.cell.name], there, pixels, save)
            there[job.cell.name] = bench.recorded(job.cell)
        tell(rows[job.cell.name])
        if all(later.stamps["synthesize"] != job.stamps["synthesize"] for later in jobs[number + 1 :]):
            shutil.rmtree(pixels, ignore_errors=True)
    bench.watch("cells", len(jobs), len(jobs), "done")
    shutil.rmtree(work, ignore_errors=True)
    write_results(bench.out, bench.sweep, list(rows.values()))
    return list(rows.values())


def _run_cell(
    bench: Bench, job: Job, row: Row, there: Mapping[str, Stamps], work: Path, save: Callable[[Row], None]
) -> None:
    """Run one cell; whatever it raises but an interruption is recorded."""
    start, before = time.perf_counter(), row.seconds
    row = replace(row, state="unfinished", reason="", trace="")
    try:
        run = bench.run(job.cell, work)
        done, shared, source = best_source(job.cell.name, job.stamps, there)
        if source:
            _share(run, bench.open_store(bench.out / source), source, list(job.stamps)[:shared], done)
            drawn = bench.out / source / "reports"
            for name in _DRAWN if "cluster" in list(job.stamps)[:shared] else ():
                if (drawn / name).exists():
                    copy_bytes(drawn / name, run.reports / name)
            row = replace(row, shared=shared, source=source)
        save(row)  # so that a run that is killed still says what it was given
        row = _finished(row, run, run_pipeline(run, keep_work=True))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - cells run foreign code; the other cells go on
        row = replace(row, state="failed", reason=one_line(error), trace=traceback.format_exc())
    finally:
        save(replace(row, seconds=before + time.perf_counter() - start))


def _share(run: Run, source: Store, cell: str, stages: Sequence[str], done: int) -> None:
    """Copy what ``stages`` have written from the registry of ``cell``, then mark them as done, in one commit."""
    run.forget(stages[done:])
    for kind in [kind for stage in stages for kind in _RECORDS.get(stage, ())]:
        for name in source.names(kind):
            record = {(kind, name): source.read(kind, name)}
            run.store.write(record, message=f"{kind}/{name}: as in the cell {cell}", author="ablate")
    marks = [("stages", f"{run.name}.{stage}") for stage in stages]
    done_already = {mark: source.read(*mark) for mark in marks}
    run.store.write(done_already, message=f"{run.name}: {', '.join(stages)} as in the cell {cell}", author="ablate")


def _finished(row: Row, run: Run, reports: Sequence[StageReport]) -> Row:
    figures = {f"{report.stage}.{name}": value for report in reports for name, value in report.figures.items()}
    figures |= {f"{report.stage}.seconds": report.seconds for report in reports if not report.skipped}
    level = run.store.read("hierarchies", run.name).arrays["level"]
    return replace(row, state="done", figures=figures, tree=tuple(np.bincount(level).tolist()))


def _common(wanted: Stamps, chain: Stamps) -> int:
    """How many stages from the first on have equal fingerprints."""
    count = 0
    for stage, stamp in wanted.items():
        if chain.get(stage) != stamp:
            break
        count += 1
    return count


def one_line(error: BaseException) -> str:
    """What went wrong; of errors that are not meant for users also their type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UniRestorerError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
