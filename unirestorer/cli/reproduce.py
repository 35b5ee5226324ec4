"""``unirestorer reproduce``: the paper's tables at a size that can be trained here, beside its printed numbers."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from unirestorer.cli.ablate import print_plan, tell_row
from unirestorer.cli.console import FAILED, complain, print_table, say
from unirestorer.cli.progress import bars
from unirestorer.core.errors import ConfigError, UniRestorerError, UnknownNameError

if TYPE_CHECKING:
    from unirestorer.core.ablating.running import Bench
    from unirestorer.core.evaluating.suite import Suite
    from unirestorer.core.mixture import Mixture
    from unirestorer.core.reproducing.running import Made, Order, Target
    from unirestorer.core.reproducing.writing import Origin
    from unirestorer.core.restoring import Restorer
    from unirestorer.core.run import Watcher

Scale = Literal["tiny", "paper"]
_PACKAGES = ("unirestorer", "torch", "numpy")
"""Whose versions are printed."""
_CALLED = {"table7": "extractors"}
"""Numbers in the paper of tables that have a name here."""
_PLACES = {"data": "PHOTOS", "datasets": "DATASETS", "test": "TEST", "model": "MODEL"}
"""What stands for folders in the command that is printed, since other machines have others."""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("reproduce")(reproduce)


def reproduce(
    name: Annotated[str | None, typer.Argument(help="name of a table (see --list), or a YAML file")] = None,
    scale: Annotated[Scale, typer.Option(help="tiny: minutes on a CPU; paper: the paper's sizes, for GPUs")] = "tiny",
    data: Annotated[Path | None, typer.Option(help="folder of clean photos to train on")] = None,
    datasets: Annotated[Path | None, typer.Option(help="folder of data sets, for suites and given pairs")] = None,
    test: Annotated[Path | None, typer.Option(help="clean photos to measure on (default: those held out)")] = None,
    model: Annotated[Path | None, typer.Option(help="measure this model, train nothing")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for tables and models; continued if there")] = None,
    results: Annotated[
        Path | None, typer.Option("--results", "--into", help="Markdown page in which to replace the table's section")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to PyTorch")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be trained and measured")] = False,
    listing: Annotated[bool, typer.Option("--list", help="list the tables")] = False,
) -> None:
    """Make one of the paper's tables: train its models, measure them, say which of the paper's claims hold.

    Run again after an interruption to go on; what failed is tried again. Ends with status 2 if anything failed.
    """
    import torch

    from unirestorer.core.reproducing.running import NEVER_RUN, Target, prepare
    from unirestorer.core.reproducing.writing import Origin
    from unirestorer.plugins.manager import load_catalogue

    if listing:
        _list()
        return
    path = _table(name)
    order = prepare(path, scale, load_catalogue(), _suite, finished=model is not None, photos=test is not None)
    if scale == "paper":
        typer.echo(f"note: {NEVER_RUN}", err=True)
    if dry_run:
        _plan(order, out, data, datasets)
        return
    if out is None:
        raise ConfigError(f"reproduce {order.name}: where to? name a folder: --out")
    if threads:
        torch.set_num_threads(threads)
    target = Target(out / order.name / "photos", datasets, test)
    with _locked(out / order.name), bars() as watch:
        order, made = _make(order, out / order.name, data, model, target, watch)
    given = {"data": data, "datasets": datasets, "test": test, "model": model}
    origin = Origin(
        name=order.name,
        scale=scale,
        command=_command(order.name, scale, [option for option, place in given.items() if place], threads),
        versions={**{package: metadata.version(package) for package in _PACKAGES}, "python": platform.python_version()},
        threads=threads or torch.get_num_threads(),
        seconds=made.seconds,
        measured=made.measured,
        missing=tuple(made.missing),
        failed=tuple(made.failed),
    )
    _report(order, made, origin, out, results)


def _make(
    order: Order, folder: Path, data: Path | None, model: Path | None, target: Target, watch: Watcher
) -> tuple[Order, Made]:
    """The models of the table, trained and measured; or one that is finished: ``model``, else the embedded one.

    An order whose rows are the parts of a model comes back with them.
    """
    import torch

    from unirestorer import api
    from unirestorer.core.reproducing.measuring import Ruler
    from unirestorer.core.reproducing.overhead import make_overhead
    from unirestorer.core.reproducing.running import make, make_of
    from unirestorer.evaluation import degrade_pixels
    from unirestorer.plugins.manager import load_catalogue

    if order.scale.overhead is not None:
        load = partial(_mixture, model)
        return make_overhead(order, order.scale.overhead, load, load_catalogue, torch.get_num_threads())
    ruler = Ruler(order.table, order.suite, degrade_pixels, folder / "evaluations", watch) if order.suite else None
    if order.cells:
        if data is None:
            raise ConfigError(f"reproduce {order.name}: trains models; name a folder of clean photos: --data")
        return order, make(order, _bench(order, folder, data, target.data, watch), ruler, target, tell_row)
    if ruler is None:
        raise ConfigError(f"reproduce {order.name}: measures nothing of a finished model; leave out --model")
    stamp = _stamp(api.embedded_model() if model is None else model)
    return order, make_of(order, _restorer(model, order.table.fallback), stamp, ruler, target)


def _mixture(model: Path | None) -> Mixture:
    """A model, opened in whatever process this runs in."""
    return cast("Mixture", _restorer(model).mixture)


def _restorer(model: Path | None, fallback: bool = True) -> Restorer:
    """A model on the runtime that numbers are told of, whatever else is installed."""
    from unirestorer import api

    return api.load(model, runtime="eager", fallback=fallback).restorer


def _bench(order: Order, folder: Path, data: Path, datasets: Path | None, watch: Watcher) -> Bench:
    """Where the sweep of the table runs."""
    from unirestorer.core.ablating.running import Bench
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry

    opener = partial(open_registry, create=True)
    return Bench(order.sweep, folder / "cells", data, load_catalogue(), opener, watch, datasets)


def _plan(order: Order, out: Path | None, data: Path | None, datasets: Path | None) -> None:
    """Say what would be trained and measured; what is shared, where the photos are there to tell."""
    from unirestorer.core.ablating.running import plan

    if data is not None and order.cells:
        try:
            with bars() as watch:
                print_plan(plan(_bench(order, (out or Path()) / order.name, data, datasets, watch), order.cells))
        except UniRestorerError as error:
            say(f"note: what stages would be shared cannot be told: {error}")
    else:
        say(f"to train: {', '.join(cell.name for cell in order.cells) or 'nothing'}")
    if order.suite is not None:
        peers = ", ".join(dict.fromkeys(row.peer for row in order.table.rows))
        say(f"to measure: suite {order.suite.name}, restored by {peers}")
    if order.scale.overhead is not None:
        say(f"to measure: {', '.join(['the parts of a model', *order.scale.overhead.architectures])}")
    say(f"rows: {len(order.table.rows) or 'as measured'}, columns: {len(order.table.columns)}")


def _report(order: Order, made: Made, origin: Origin, out: Path, results: Path | None) -> None:
    """Write and print the table; status 2 if anything failed."""
    from unirestorer.core.reproducing.writing import body, write_files, write_section

    paths = write_files(out, order.table, made.found, origin)
    say(body(order.table, made.found, origin))
    say(f"written: {', '.join(str(path) for path in paths.values())}")
    if results is not None:
        write_section(results, order.table, made.found, origin)
        say(f"section {order.name} of {results} replaced")
    if made.failed:
        complain("\n".join(made.failed))
        raise typer.Exit(FAILED)


def _list() -> None:
    """Every table with its scales and title."""
    from unirestorer.core.reproducing.table import load_table

    rows = []
    for path in _tables():
        table = load_table(path)
        rows.append([path.stem, " ".join(table.scales), table.title])
    print_table(["table", "scales", "title"], rows)


def _tables() -> list[Path]:
    return sorted(Path(str(files("unirestorer.recipes") / "tables")).glob("*.yaml"))


def _table(name: str | None) -> Path:
    """The file of the table ``name``; raises ``ConfigError`` without a name, ``UnknownNameError`` for another one."""
    known = {path.stem: path for path in _tables()}
    name = _CALLED.get(name or "", name)
    if name is None:
        raise ConfigError(f"reproduce: which table? Known: {', '.join(known)}")
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in known:
        raise UnknownNameError("table", name, known)
    return known[name]


def _suite(name: str) -> Suite:
    from unirestorer.evaluation import read_suite

    return read_suite(name)


def _stamp(model: Path) -> str:
    """What tells the model in the registry ``model`` from any other."""
    from unirestorer.core.files import digest
    from unirestorer.core.recipe import fingerprint
    from unirestorer.registry import open_registry

    if model.is_file():
        return digest(model)
    store = open_registry(model)
    ties = store.attributes("models", "default")
    return fingerprint(ties, store.attributes("routers", ties["routers"])["sha256"])


def _command(name: str, scale: str, given: list[str], threads: int) -> str:
    """The command that makes a table, with words for folders, since others have other ones."""
    options = [f"--{option} {_PLACES[option]}" for option in given] + ["--out OUT"]
    options += [f"--threads {threads}"] if threads else []
    return f"unirestorer reproduce {name} --scale {scale} {' '.join(options)}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else makes the same table meanwhile."""
    from unirestorer.registry.locking import write_lock

    folder.mkdir(parents=True, exist_ok=True)
    with write_lock(folder, timeout=0):
        yield
