"""``unirestorer train`` and ``train-extractor``: run a recipe, with progress bars, and print what every stage did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from unirestorer.cli.console import say
from unirestorer.cli.progress import bars

if TYPE_CHECKING:
    from unirestorer.core.contracts import StageReport
    from unirestorer.core.run import ExtractorRun

    R = TypeVar("R", bound=ExtractorRun)

File = Annotated[Path, typer.Argument(help="YAML recipe, for example recipes/tiny.yaml")]
Part = Annotated[Path, typer.Argument(help="YAML recipe; name, synthesize and extractor are enough")]
Registry = Annotated[Path, typer.Option(help="registry to create or continue")]
Data = Annotated[Path | None, typer.Option(help="folder of clean photos to damage")]
Datasets = Annotated[Path | None, typer.Option(help="folder of data sets, for the recipe's given pairs")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to PyTorch")]
Smoke = Annotated[bool, typer.Option("--smoke", help="the recipe's small version: all stages, few steps")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(train)
    app.command()(train_extractor)


def train(
    recipe: File,
    registry: Registry,
    data: Data = None,
    datasets: Datasets = None,
    threads: Threads = 0,
    smoke: Smoke = False,
) -> None:
    """Train extractor, experts and routers from clean photos, given pairs, or both. Run again to go on where it was."""
    from unirestorer.core.pipeline import run_pipeline
    from unirestorer.core.recipe import load_recipe
    from unirestorer.core.run import Run

    with _opened(Run, load_recipe, recipe, registry, data, datasets, threads, smoke) as run:
        done = run_pipeline(run)
    _print_stages(done)
    typer.echo(f"registry: {registry}   reports: {registry / 'reports'}")


def train_extractor(
    recipe: Part,
    registry: Registry,
    data: Data = None,
    datasets: Datasets = None,
    threads: Threads = 0,
    smoke: Smoke = False,
) -> None:
    """Train the extractor alone. `unirestorer train` with the same recipe and registry goes on from there."""
    from unirestorer.core.pipeline import run_extractor
    from unirestorer.core.recipe import load_extractor_recipe
    from unirestorer.core.run import ExtractorRun

    with _opened(ExtractorRun, load_extractor_recipe, recipe, registry, data, datasets, threads, smoke) as run:
        done = run_extractor(run)
    _print_stages(done)
    for name, value in done[-1].figures.items():
        typer.echo(f"{name} on held-out photos: {value:.3f}")
    typer.echo(f"registry: {registry}")


@contextmanager
def _opened(
    kind: type[R],
    load: Callable[..., Any],
    recipe: Path,
    registry: Path,
    data: Path | None,
    datasets: Path | None,
    threads: int,
    smoke: bool,
) -> Iterator[R]:
    """The run of a recipe; nobody else writes to the registry meanwhile."""
    import torch

    from unirestorer.core.pairs import open_data
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry
    from unirestorer.registry.locking import write_lock

    if threads:
        torch.set_num_threads(threads)
    catalogue = load_catalogue()
    plan = load(recipe, catalogue, smoke=smoke)
    photos, given = open_data(plan, data, datasets)
    for note in given.notes:
        say(f"note: {note}")
    store = open_registry(registry, create=True)
    with write_lock(registry, timeout=0, name="extend.lock"), bars() as watch:
        yield kind(plan, store, catalogue, photos, registry / "work", registry / "reports", watch, given)


def _print_stages(reports: list[StageReport]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "seconds", "result")
    for report in reports:
        table.add_row(report.stage, "done before" if report.skipped else f"{report.seconds:.1f}", report.summary)
    Console().print(table)
