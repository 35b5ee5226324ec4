"""``unirestorer ablate``: run a recipe over named choices of plugins and settings; one table and one plot."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import FAILED, say
from unirestorer.cli.progress import bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unirestorer.core.ablating.row import Row
    from unirestorer.core.ablating.running import Job


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("ablate")(ablate)


def ablate(
    sweep: Annotated[Path, typer.Argument(help="YAML sweep, for example recipes/ablation-extractor-clusterer.yaml")],
    data: Annotated[Path, typer.Option(help="folder of clean photos")],
    out: Annotated[Path, typer.Option(help="folder for tables, plot and a registry for each cell; continued if there")],
    datasets: Annotated[Path | None, typer.Option(help="folder of data sets, for given pairs")] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to PyTorch")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say which cells there are and what they share")
    ] = False,
) -> None:
    """Compare choices of extractor, clusterer, expert, levels, losses: every combination, equal stages shared.

    Run again after an interruption to go on; cells that failed are tried again. Ends with status 2 if any failed.
    """
    import torch

    from unirestorer.core.ablating.results import MARKDOWN, PLOT, read_rows
    from unirestorer.core.ablating.running import Bench, plan, run_sweep
    from unirestorer.core.ablating.sweep import load_sweep
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry
    from unirestorer.registry.locking import write_lock

    if threads:
        torch.set_num_threads(threads)
    catalogue = load_catalogue()
    name, cells = load_sweep(sweep, catalogue)
    read_rows(out)  # refuses a folder that holds something else
    with bars() as watch:
        bench = Bench(name, out, data, catalogue, partial(open_registry, create=True), watch, datasets)
        if dry_run:
            print_plan(plan(bench, cells))
            return
        out.mkdir(parents=True, exist_ok=True)
        with write_lock(out, timeout=0):
            rows = run_sweep(bench, cells, tell_row)
    say((out / MARKDOWN).read_text(encoding="utf-8").rstrip())
    say(f"tables: {out / MARKDOWN}, table.csv, results.json   plot: {out / PLOT}")
    if any(row.state == "failed" for row in rows):
        raise typer.Exit(FAILED)


def tell_row(row: Row) -> None:
    """Print what became of a cell."""
    gain = f"mean gain {row.figures['evaluate.mean gain']:+.2f} dB" if row.state == "done" else row.reason
    shared = f", {row.shared} stages shared with {row.source}" if row.source else ""
    typer.echo(f"{row.cell}: {row.state}, {gain}, {row.seconds:.0f} s{shared}", err=True)


def print_plan(jobs: Sequence[Job]) -> None:
    """Print what every cell has, shares and will run."""
    for job in jobs:
        stages = list(job.stamps)
        done = f"done before: {', '.join(stages[: job.done])}; " if job.done else ""
        shared = f"as in {job.source}: {', '.join(stages[job.done : job.shared])}; " if job.source else ""
        rest = stages[max(job.done, job.shared) :]
        say(f"{job.cell.name}: {done}{shared}to run: {', '.join(rest) if rest else 'nothing'}")
    say(f"{len(jobs)} cells")
