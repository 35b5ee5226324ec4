"""``unirestorer replay``: a restored file made again, as it says itself, and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unirestorer.cli.console import FAILED, say

Made = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `unirestorer restore` wrote.")]
Given = Annotated[
    Path | None,
    typer.Option(
        "--source", metavar="FILE_OR_DIR", help="What it was made of, or a folder of it. Default: as it says."
    ),
]
New = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Keep what is made again. Default: it is removed.")
]
Model = Annotated[
    Path | None,
    typer.Option(metavar="FILE_OR_DIR", help="Registry (.zip or folder) with the model. Default: the one inside."),
]


def replay(made: Made, source: Given = None, out: New = None, model: Model = None) -> None:
    """Make a restored file again as it says itself, and say whether the two are equal, byte for byte (else exit 2)."""
    from tempfile import TemporaryDirectory

    from unirestorer import api
    from unirestorer.core.errors import ImageError
    from unirestorer.core.images import provenance_of
    from unirestorer.core.provenance import find_source, read
    from unirestorer.core.replaying import replay as make_again

    text = provenance_of(made)
    if text is None:
        raise ImageError(f"{made}: does not say how it was made; it is {_without(made)}")
    record = read(text, str(made))
    if out is not None:
        _check(made, out)
    found = find_source(record, made, source)
    fallback = record.model.get("fallback") is not False
    restorer = api.load(model, treatment=record.treated, runtime=record.runtime, fallback=fallback).restorer
    with TemporaryDirectory(prefix="unirestorer-") as folder:
        target = out or Path(folder) / made.name
        done = make_again(record, text, restorer, found, made, target)
    seconds = sum(done.restoration.seconds.values())
    for difference in done.differences:
        say(f"{made}: differs: {difference}")
    if done.differences:
        raise typer.Exit(FAILED)
    say(f"{made}: equal, made again of {found} in {seconds:.2f} s")


def _without(made: Path) -> str:
    """What a file without provenance may be."""
    from unirestorer.core.images import FORMATS, header_of

    kind = header_of(made).format
    if kind in FORMATS and not FORMATS[kind].xmp:
        return f"a {kind}, which has no place for that"
    return "an untouched copy (its source has the same bytes), or was not written by unirestorer restore"


def _check(made: Path, out: Path) -> None:
    """Raises ``ImageError`` for a place that is taken or of another format."""
    from unirestorer.core.errors import ImageError

    if out.exists():
        raise ImageError(f"{out}: exists already; choose another output")
    if out.suffix.lower() != made.suffix.lower():
        raise ImageError(f"{out}: another format than {made.name} has; choose a name ending in {made.suffix}")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(replay)
