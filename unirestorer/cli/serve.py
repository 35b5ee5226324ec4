"""``unirestorer serve``: the page."""

from __future__ import annotations

from typing import Annotated

import typer

from unirestorer.cli.console import say
from unirestorer.cli.options import Model, bytes_of


def serve(
    host: Annotated[str, typer.Option(metavar="NAME", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0: any free one.")] = 7860,
    max_upload: Annotated[
        int, typer.Option(metavar="SIZE", parser=bytes_of, help="Largest file taken, as in 50MB.")
    ] = 50_000_000,
    max_megapixels: Annotated[int, typer.Option(min=1, metavar="N", help="Largest picture taken.")] = 50,
    model: Model = None,
) -> None:
    """Restore photos on a page in the browser: drop one, see what is wrong, compare, download. Ctrl-C ends it."""
    from unirestorer import api
    from unirestorer.web import server
    from unirestorer.web.desk import Limits

    place = server.Place(host, port, Limits(max_upload, max_megapixels * 10**6))
    if not place.private:
        typer.echo(f"warning: anybody who can reach {host} can use this page; it has no password", err=True)
    server.serve(lambda: api.load(model).restorer, place, lambda address: say(f"{address}  (Ctrl-C ends it)"))


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(serve)
