"""``unirestorer registry``: look into a registry, check it, export it, make it smaller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

RegistryPath = Annotated[str, typer.Argument(metavar="PATH", help="Registry folder, zip file or s3:// address.")]
KINDS = ("dr_sets", "hierarchies", "experts", "costs", "routers", "models")


def register(app: typer.Typer) -> None:
    """Add the ``registry`` group of commands to ``app``."""
    group = typer.Typer(no_args_is_help=True, help="List, check, export and clean registries.")
    for name, command in {"ls": ls, "log": log, "verify": verify, "export": export, "vacuum": vacuum}.items():
        group.command(name)(command)
    app.add_typer(group, name="registry")


def ls(path: RegistryPath) -> None:
    """Print kind and name of every record, one per line."""
    from unirestorer.registry import open_registry

    with _problems_exit_2():
        store = open_registry(path, create=False)
        for kind in KINDS:
            for name in store.names(kind):
                typer.echo(f"{kind}/{name}")


def log(path: RegistryPath) -> None:
    """Print the commits, as the registry gives them: id, time, author and message, separated by tabs."""
    from unirestorer.registry import history, open_registry

    with _problems_exit_2():
        for commit in history(open_registry(path, create=False)):
            typer.echo(f"{commit.id}\t{commit.time}\t{commit.author}\t{commit.message}")


def verify(path: RegistryPath) -> None:
    """Read every record and check hashes, shapes and versions; print every problem and exit with 2 if there is one."""
    from unirestorer.registry import open_registry
    from unirestorer.registry import verify as problems_of

    with _problems_exit_2():
        problems = problems_of(open_registry(path, create=False))
        for problem in problems:
            typer.echo(problem, err=True)
        if problems:
            raise typer.Exit(2)
        typer.echo(f"{path}: no problems")


def export(
    path: RegistryPath,
    target: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The file to write.")],
    model: Annotated[str, typer.Option(help="Which model to export.")] = "default",
    half: Annotated[bool, typer.Option("--half", help="Store weights as float16: half the size.")] = False,
) -> None:
    """Write one model and all it needs to a single portable read-only file."""
    from unirestorer.registry import export_zip, open_registry

    with _problems_exit_2():
        export_zip(open_registry(path, create=False), target, model=model, half=half)
        typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def vacuum(path: RegistryPath) -> None:
    """Remove data that no commit needs any more."""
    from unirestorer.registry import vacuum as remove_unused

    with _problems_exit_2():
        remove_unused(path)
        typer.echo(f"{path}: done")


@contextmanager
def _problems_exit_2() -> Iterator[None]:
    """Print an error meant for the user as it is, without traceback, and exit with status 2."""
    from unirestorer.core.errors import UniRestorerError

    try:
        yield
    except UniRestorerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
