"""``unirestorer train-extractor``: run a recipe up to the DRs, and say how well these tell damages apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unirestorer.cli.console import say
from unirestorer.cli.progress import bars
from unirestorer.cli.train import print_stages


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("train-extractor")(train_extractor)


def train_extractor(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe; name, synthesize and extractor are enough")],
    registry: Annotated[Path, typer.Option(help="registry to create or continue")],
    data: Annotated[Path | None, typer.Option(help="folder of clean photos to damage")] = None,
    datasets: Annotated[Path | None, typer.Option(help="folder of data sets, for the recipe's given pairs")] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to PyTorch")] = 0,
    smoke: Annotated[bool, typer.Option("--smoke", help="the recipe's small version: few steps")] = False,
) -> None:
    """Train the extractor alone. `unirestorer train` with the same recipe and registry goes on from there."""
    import torch

    from unirestorer.core.pairs import open_data
    from unirestorer.core.pipeline import run_extractor
    from unirestorer.core.recipe import load_extractor_recipe
    from unirestorer.core.run import ExtractorRun
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry
    from unirestorer.registry.locking import write_lock

    if threads:
        torch.set_num_threads(threads)
    catalogue = load_catalogue()
    plan = load_extractor_recipe(recipe, catalogue, smoke=smoke)
    photos, given = open_data(plan, data, datasets)
    for note in given.notes:
        say(f"note: {note}")
    store = open_registry(registry, create=True)
    work, reports = registry / "work", registry / "reports"
    with write_lock(registry, timeout=0, name="extend.lock"), bars() as watch:
        done = run_extractor(ExtractorRun(plan, store, catalogue, photos, work, reports, watch, given))
    print_stages(done)
    for name, value in done[-1].figures.items():
        typer.echo(f"{name} on held-out photos: {value:.3f}")
    typer.echo(f"registry: {registry}")
