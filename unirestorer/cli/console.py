"""What the commands print: results on stdout, errors on stderr, each one line."""

from __future__ import annotations

import typer

FAILED = 2
"""Exit status after an error meant for the user."""


def say(line: str) -> None:
    """Print a result line."""
    typer.echo(line)


def complain(message: str | BaseException) -> None:
    """Print every line of ``message`` to stderr, each beginning with ``error:``."""
    for line in str(message).splitlines() or [type(message).__name__]:
        typer.echo(f"{typer.style('error:', fg='red')} {line}", err=True)
