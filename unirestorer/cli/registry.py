"""``unirestorer registry``: look into a registry, check it, export it, make it smaller.

Errors meant for the user pass through; ``unirestorer.cli.app.main`` prints them and exits with status 2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .console import FAILED, complain, say

RegistryPath = Annotated[Path, typer.Argument(metavar="PATH", help="Registry folder or zip file.")]


def register(app: typer.Typer) -> None:
    """Add the ``registry`` group of commands to ``app``."""
    group = typer.Typer(no_args_is_help=True, help="List, check, export and clean registries.")
    commands: tuple[Callable[..., None], ...] = (ls, log, verify, export, import_, use, license_, vacuum)
    for command in commands:
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="registry")


def ls(path: RegistryPath) -> None:
    """Print kind and name of every record, one per line."""
    from unirestorer.registry import open_registry
    from unirestorer.registry.schema import KINDS

    with open_registry(path) as store:
        for kind in KINDS:
            for name in store.names(kind):
                say(f"{kind}/{name}")


def log(path: RegistryPath) -> None:
    """Print the commits, newest first: id, time (UTC), author and message, separated by tabs."""
    from unirestorer.registry import history, open_registry

    with open_registry(path) as store:
        for commit in history(store):
            say(f"{commit.id}\t{commit.time.isoformat(timespec='seconds')}\t{commit.author}\t{commit.message}")


def verify(path: RegistryPath) -> None:
    """Read every record and check hashes, shapes and versions; print every problem and exit with 2 if there is one."""
    from unirestorer.registry import kept_experts, open_registry
    from unirestorer.registry import verify as problems_of

    with open_registry(path) as store:
        problems = problems_of(store)
        for problem in problems:
            complain(problem)
        if problems:
            raise typer.Exit(FAILED)
        kept = kept_experts(store)
        proof = f"; {kept} experts have the sha256 that they had before the model was extended" if kept else ""
        say(f"{path}: no problems{proof}")


def export(
    path: RegistryPath,
    target: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The file to write.")],
    model: Annotated[str, typer.Option(help="Which model to export.")] = "default",
    half: Annotated[bool, typer.Option("--half", help="Store weights as float16: half the size.")] = False,
) -> None:
    """Write one model and all it needs to a single portable read-only file."""
    from unirestorer.registry import export_zip, open_registry

    with open_registry(path) as store:
        export_zip(store, target, model=model, half=half)
        say(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def import_(
    source: Annotated[Path, typer.Argument(metavar="MODEL.zip", help="A portable registry.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The registry folder to make.")],
) -> None:
    """Make a registry folder of a zip, to extend its model."""
    from unirestorer.registry import import_zip

    say(f"{path}: {import_zip(source, path)} records")


def use(
    path: RegistryPath,
    model: Annotated[
        str, typer.Argument(metavar="NAME", help="A model of the registry, for example an older version.")
    ],
) -> None:
    """Make a model the one that restoring uses."""
    from unirestorer.registry import open_registry

    with open_registry(path) as store:
        store.write({("models", "default"): store.read("models", model)}, message=f"default is {model}", author="use")
    say(f"{path}: models/default is {model}")


def license_(
    path: RegistryPath,
    spdx: Annotated[
        str, typer.Argument(metavar="SPDX", help="As in MIT; LicenseRef-commercial for weights of your own.")
    ],
    model: Annotated[str, typer.Option(help="Whose experts.")] = "default",
    expert: Annotated[
        list[str] | None, typer.Option("--expert", metavar="NODE", help="Only of that node; repeatable.")
    ] = None,
) -> None:
    """State the licence of the weights of a model's experts, which `restore --license commercial` asks for."""
    from unirestorer.core.licences import stated
    from unirestorer.core.models import license_experts
    from unirestorer.registry import open_registry

    with open_registry(path) as store:
        names = license_experts(store, model, stated(spdx), expert or ())
    say(f"{path}: the weights of {len(names)} experts of models/{model} are under {stated(spdx)}")


def vacuum(path: RegistryPath) -> None:
    """Remove data that no commit needs any more."""
    from unirestorer.registry import vacuum as remove_unused

    removed = remove_unused(path)
    say(f"{path}: {removed.commits} commits and {removed.bytes / 1e6:.1f} MB removed")
