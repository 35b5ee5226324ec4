"""The program ``unirestorer``. Usage errors and errors meant for the user end with status 2, Ctrl-C with 130."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from unirestorer.cli import (
    ablate,
    captions,
    datasets,
    degrade,
    diagnose,
    evaluate,
    experts,
    export,
    extend,
    plugins,
    registry,
    replay,
    reproduce,
    restore,
    runtimes,
    serve,
    train,
)
from unirestorer.cli.console import FAILED, complain, say
from unirestorer.core.errors import UniRestorerError


def _version(wanted: bool) -> None:
    if wanted:
        import unirestorer

        say(f"unirestorer {unirestorer.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find out what is wrong with photos, how badly, and restore them."""


def build() -> typer.Typer:
    """The application with every command registered."""
    app = typer.Typer(
        name="unirestorer",
        callback=_root,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in (
        restore,
        replay,
        diagnose,
        degrade,
        captions,
        train,
        extend,
        evaluate,
        ablate,
        reproduce,
        plugins,
        experts,
        runtimes,
        export,
        datasets,
        registry,
        serve,
    ):
        module.register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program on ``arguments`` (default: those of the process); always raises ``SystemExit``."""
    try:
        build()(args=arguments, prog_name="unirestorer")
    except (UniRestorerError, OSError) as error:  # OSError: an unreadable folder, a full disk
        complain(error)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
