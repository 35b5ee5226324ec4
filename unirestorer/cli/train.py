"""``unirestorer train``: run a recipe, with progress bars, and print what every stage did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.progress import bars

if TYPE_CHECKING:
    from unirestorer.core.contracts import StageReport


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("train")(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe, for example recipes/tiny.yaml")],
    data: Annotated[Path, typer.Option(help="folder of clean photos")],
    registry: Annotated[Path, typer.Option(help="registry to create or continue")],
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to PyTorch")] = 0,
) -> None:
    """Train extractor, experts and routers from clean photos. Run again after an interruption to go on."""
    import torch

    from unirestorer.core.photos import load_photos
    from unirestorer.core.pipeline import run_pipeline
    from unirestorer.core.recipe import load_recipe
    from unirestorer.core.run import Run
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry
    from unirestorer.registry.locking import write_lock

    if threads:
        torch.set_num_threads(threads)
    catalogue = load_catalogue()
    plan = load_recipe(recipe, catalogue)
    photos = load_photos(data, plan.synthesize.crop)
    store = open_registry(registry, create=True)
    work, reports = registry / "work", registry / "reports"
    with write_lock(registry, timeout=0, name="extend.lock"), bars() as watch:
        done = run_pipeline(Run(plan, store, catalogue, photos, work, reports, watch))
    _summary(done)
    typer.echo(f"registry: {registry}   reports: {reports}")


def _summary(reports: list[StageReport]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "seconds", "result")
    for report in reports:
        table.add_row(report.stage, "done before" if report.skipped else f"{report.seconds:.1f}", report.summary)
    Console().print(table)
