"""``unirestorer extend``: a new degradation, expert or level for a trained model, or what routers have today.

No other expert is retrained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import say

if TYPE_CHECKING:
    from unirestorer.core.extending.bench import Bench
    from unirestorer.core.extending.costing import KindReport
    from unirestorer.core.extending.finish import Extended
    from unirestorer.core.extending.forecast import Part
    from unirestorer.core.extending.options import ExtensionRecipe
    from unirestorer.core.extending.trained import Trained

SCRATCH = "extending"
"""Folder inside the registry in which an interrupted extension lies; `train` has another one."""

Registry = Annotated[
    Path, typer.Option(metavar="DIR", help="Registry folder; made of the embedded model where it is not there yet.")
]
Data = Annotated[Path, typer.Option(metavar="DIR", help="Folder of clean photos.")]
Sets = Annotated[
    Path | None, typer.Option("--datasets", metavar="DIR", help="Folder of data sets, if the model learnt from pairs.")
]
Model = Annotated[str, typer.Option(metavar="NAME", help="Which model of the registry.")]
Plan = Annotated[Path | None, typer.Option("--recipe", metavar="FILE", help="Extension recipe: samples, experts, ...")]
Arch = Annotated[str | None, typer.Option(metavar="NAME", help="Architecture of the new experts.")]
Steps = Annotated[int | None, typer.Option(min=1, metavar="N", help="Training steps of each new expert.")]
Samples = Annotated[int | None, typer.Option(min=16, metavar="N", help="New samples to draw.")]
Threads = Annotated[int, typer.Option(min=0, metavar="N", help="CPU threads; 0 leaves it to PyTorch.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and how long; change nothing.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="Name or number of a node, as `diagnose` prints it.")]


def register(app: typer.Typer) -> None:
    """Add the ``extend`` group of commands to ``app``."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Add a degradation, expert or level to a trained model, or bring its routers up to date.",
    )
    for command in (degradation, expert, level, routers, remove):
        group.command()(command)
    app.add_typer(group, name="extend")


def degradation(
    name: Annotated[str, typer.Argument(help="A degradation of `unirestorer plugins` that the model does not know.")],
    registry: Registry,
    data: Data,
    datasets: Sets = None,
    recipe: Plan = None,
    arch: Arch = None,
    steps: Steps = None,
    samples: Samples = None,
    model: Model = "default",
    threads: Threads = 0,
    dry_run: DryRun = False,
) -> None:
    """Teach the model one more damage: new nodes with experts of their own, routers fitted again."""
    from unirestorer.core.extending.degradation import add_degradation
    from unirestorer.core.extending.forecast import forecast_degradation
    from unirestorer.plugins.manager import load_catalogue

    own = load_catalogue().synthesizer(name).recipe
    options = _options(recipe or own, arch, steps, samples)
    with _bench(registry, data, datasets, options, model, threads, dry_run) as bench:
        if dry_run:
            _tell_forecast(forecast_degradation(bench, name))
        else:
            _tell(registry, add_degradation(bench, name))


def expert(
    node: Node,
    registry: Registry,
    data: Data,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Weights to use as they are, safetensors or of PyTorch; instead of training."
        ),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option("--license", metavar="SPDX", help="Licence of the weights, as in MIT; else it is not stated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Keep it even if it does not lower the cost.")] = False,
    datasets: Sets = None,
    recipe: Plan = None,
    arch: Arch = None,
    steps: Steps = None,
    samples: Samples = None,
    model: Model = "default",
    threads: Threads = 0,
    dry_run: DryRun = False,
) -> None:
    """Give a node another expert; kept only if it lowers the cost on samples that it was not trained on.

    Of which architecture a file of weights is, its parameters tell; --arch says it.
    """
    from unirestorer.core.extending.expert import replace_expert, try_expert
    from unirestorer.core.extending.finish import Clock, Extended
    from unirestorer.core.extending.forecast import forecast_expert
    from unirestorer.core.licences import stated

    licence = "" if license_ is None else stated(license_)
    with _bench(registry, data, datasets, _options(recipe, arch, steps, samples), model, threads, dry_run) as bench:
        if dry_run and weights is not None:
            tried = try_expert(bench, node, weights, Clock())
            kept = "it would be kept" if tried.after < tried.before else "it would not be kept (--force keeps it)"
            _tell(registry, Extended("", (), tried.kinds, notes=(*tried.notes, kept)))
            _tell_forecast(forecast_expert(bench, node, tried.network))
            return
        if dry_run:
            _tell_forecast(forecast_expert(bench, node))
            return
        done = replace_expert(bench, node, weights, force=force, licence=licence)
        _tell(registry, done)
    if not done.model:
        raise typer.Exit(1)


def level(
    registry: Registry,
    data: Data,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="A leaf to divide into finer nodes.")] = None,
    into: Annotated[int, typer.Option(min=2, metavar="K", help="With --node: how many.")] = 2,
    group: Annotated[str | None, typer.Option(metavar="NODES", help="Siblings to gather, as rain,snow.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="With --group: the name of the new node.")] = None,
    datasets: Sets = None,
    recipe: Plan = None,
    arch: Arch = None,
    steps: Steps = None,
    samples: Samples = None,
    model: Model = "default",
    threads: Threads = 0,
    dry_run: DryRun = False,
) -> None:
    """Finer nodes below a leaf (--node, --into), or a coarser one above siblings (--group, --name)."""
    from unirestorer.core.extending.forecast import forecast_group, forecast_split
    from unirestorer.core.extending.level import group_nodes, split_node

    if (node is None) == (group is None) or (group is None) != (name is None):
        raise typer.BadParameter("give either --node NODE --into K, or --group NODES --name NAME")
    siblings = [part.strip() for part in (group or "").split(",")]
    with _bench(registry, data, datasets, _options(recipe, arch, steps, samples), model, threads, dry_run) as bench:
        if dry_run:
            _tell_forecast(forecast_split(bench, node, into) if node else forecast_group(bench, siblings, name or ""))
        else:
            _tell(registry, split_node(bench, node, into) if node else group_nodes(bench, siblings, name or ""))


def routers(
    registry: Registry,
    data: Data,
    refit: Annotated[
        bool, typer.Option("--refit", help="Train new routers on freshly measured costs; otherwise weights stay.")
    ] = False,
    datasets: Sets = None,
    recipe: Plan = None,
    samples: Samples = None,
    model: Model = "default",
    threads: Threads = 0,
    dry_run: DryRun = False,
) -> None:
    """Give a model of before what new ones have: training samples to compare photos with, calibrated routers.

    Experts, extractor and tree are not touched.
    """
    from unirestorer.core.extending.forecast import forecast_routers
    from unirestorer.core.extending.routers import extend_routers

    with _bench(registry, data, datasets, _options(recipe, None, None, samples), model, threads, dry_run) as bench:
        if dry_run:
            _tell_forecast(forecast_routers(bench, refit=refit))
        else:
            _tell(registry, extend_routers(bench, registry / "reports", refit=refit))


def remove(node: Node, registry: Registry, recipe: Plan = None, model: Model = "default") -> None:
    """Remove a node and all below it, or a group alone. The experts stay stored, with every earlier version."""
    from unirestorer.cli.progress import bars
    from unirestorer.core.extending.remove import remove_node

    with _trained(registry, model) as trained, bars() as watch:
        done = remove_node(trained, node, _options(recipe, None, None, None), registry / SCRATCH, watch)
    _tell(registry, done)


def _options(recipe: Path | None, arch: str | None, steps: int | None, samples: int | None) -> ExtensionRecipe:
    """The recipe with what the command line puts over it."""
    from unirestorer.core.extending.options import ExtensionRecipe, load_extension

    options = load_extension(recipe) if recipe is not None else ExtensionRecipe()
    return options.overridden(arch=arch, steps=steps, samples=samples)


@contextmanager
def _trained(registry: Path, model: str) -> Iterator[Trained]:
    from unirestorer.core.extending.trained import Trained
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry
    from unirestorer.registry.locking import write_lock

    with open_registry(registry) as store:
        trained = Trained.load(store, load_catalogue(), model)
        with write_lock(registry, timeout=0, name="extend.lock"):
            yield trained


@contextmanager
def _bench(
    registry: Path,
    data: Path,
    datasets: Path | None,
    options: ExtensionRecipe,
    model: str,
    threads: int,
    dry_run: bool,
) -> Iterator[Bench]:
    import torch

    from unirestorer.cli.progress import bars
    from unirestorer.core.extending.bench import Bench
    from unirestorer.core.images import find_images
    from unirestorer.core.pairs import open_data

    if threads:
        torch.set_num_threads(threads)
    find_images([data])  # before a registry is made
    with (
        _embedded_unless(registry, dry_run) as path,
        _scratch(registry, dry_run) as work,
        _trained(path, model) as trained,
        bars() as watch,
    ):
        photos, given = open_data(trained.recipe, data, datasets)
        yield Bench(trained, photos, work, options, watch, given)


@contextmanager
def _scratch(registry: Path, dry_run: bool) -> Iterator[Path]:
    """The scratch folder; that of a dry run is removed."""
    from tempfile import TemporaryDirectory

    if dry_run:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        yield registry / SCRATCH


@contextmanager
def _embedded_unless(registry: Path, dry_run: bool) -> Iterator[Path]:
    """``registry``, made of the embedded model if it is not there; in a dry run that is made elsewhere and removed."""
    from tempfile import TemporaryDirectory

    from unirestorer.api import embedded_model
    from unirestorer.registry import import_zip

    if registry.exists():
        yield registry
    elif dry_run:
        with TemporaryDirectory() as folder:
            import_zip(embedded_model(), Path(folder) / "registry")
            yield Path(folder) / "registry"
    else:
        import_zip(embedded_model(), registry)
        yield registry


def _tell(registry: Path, done: Extended) -> None:
    for note in done.notes:
        say(note)
    if done.kinds:
        _print_kinds(done.kinds)
    if done.model:
        parts = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in done.seconds.items())
        nodes = f"; new experts: {', '.join(done.nodes)}" if done.nodes else ""
        say(f"{registry}: models/{done.model}{nodes} ({parts})")


def _print_kinds(kinds: Sequence[KindReport]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("held-out samples", "number", "damaged dB", "before dB", "now dB", box=None)
    for kind in kinds:
        table.add_row(kind.kind, str(kind.number), *(f"{value:.2f}" for value in kind[2:]))
    Console().print(table)


def _tell_forecast(parts: Sequence[Part]) -> None:
    for part in parts:
        say(f"{part.seconds:7.1f} s  {part.what}")
    say(f"{sum(part.seconds for part in parts):7.1f} s  in all, about; nothing was changed")
