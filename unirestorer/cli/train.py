"""``unirestorer train``: run a recipe, with progress bars, and print what every stage did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import say
from unirestorer.cli.progress import bars

if TYPE_CHECKING:
    from unirestorer.core.contracts import StageReport


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("train")(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe, for example recipes/tiny.yaml")],
    registry: Annotated[Path, typer.Option(help="registry to create or continue")],
    data: Annotated[Path | None, typer.Option(help="folder of clean photos to damage")] = None,
    datasets: Annotated[Path | None, typer.Option(help="folder of data sets, for the recipe's given pairs")] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to PyTorch")] = 0,
    smoke: Annotated[bool, typer.Option("--smoke", help="the recipe's small version: all stages, few steps")] = False,
) -> None:
    """Train extractor, experts and routers from clean photos, given pairs, or both. Run again to go on where it was."""
    import torch

    from unirestorer.core.pairs import open_data
    from unirestorer.core.pipeline import run_pipeline
    from unirestorer.core.recipe import load_recipe
    from unirestorer.core.run import Run
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry
    from unirestorer.registry.locking import write_lock

    if threads:
        torch.set_num_threads(threads)
    catalogue = load_catalogue()
    plan = load_recipe(recipe, catalogue, smoke=smoke)
    photos, given = open_data(plan, data, datasets)
    for note in given.notes:
        say(f"note: {note}")
    store = open_registry(registry, create=True)
    work, reports = registry / "work", registry / "reports"
    with write_lock(registry, timeout=0, name="extend.lock"), bars() as watch:
        done = run_pipeline(Run(plan, store, catalogue, photos, work, reports, watch, given))
    print_stages(done)
    typer.echo(f"registry: {registry}   reports: {reports}")


def print_stages(reports: list[StageReport]) -> None:
    """What every stage did, as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "seconds", "result")
    for report in reports:
        table.add_row(report.stage, "done before" if report.skipped else f"{report.seconds:.1f}", report.summary)
    Console().print(table)
