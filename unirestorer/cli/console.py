"""What the commands print: results on stdout, errors on stderr, each one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

FAILED = 2
"""Exit status after an error meant for the user."""
_COLOURS = {
    "ok": "green",
    "passed": "green",
    "equal": "green",
    "disabled": "yellow",
    "skipped": "yellow",
    "failed": "red",
    "differs": "red",
}


def say(line: str) -> None:
    """Print a result line."""
    typer.echo(line)


def draws_boxes() -> bool:
    """Whether what ``say`` prints may hold box characters; else ASCII has to do."""
    try:
        "├└─│←".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def complain(message: str | BaseException) -> None:
    """Print every line of ``message`` to stderr, each beginning with ``error:``."""
    for line in str(message).splitlines() or [type(message).__name__]:
        typer.echo(f"{typer.style('error:', fg='red')} {line}", err=True)


def plain(text: str) -> str:
    """``text`` in one line that does nothing to a terminal: file names may hold line breaks and control characters."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, two spaces apart, never wrapped: a line is a row."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [_coloured(cell) + " " * (width - len(cell)) for cell, width in zip(row, widths, strict=True)]
        say("  ".join(cells).rstrip())


def _coloured(cell: str) -> str:
    return typer.style(cell, fg=_COLOURS[cell]) if cell in _COLOURS else cell
