"""``unirestorer plugins``: what is registered, by whom, and what failed."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unirestorer.plugins.manager import PluginRow


def register(app: typer.Typer) -> None:
    """Add the ``plugins`` command to ``app``."""
    app.command("plugins")(list_plugins)


def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List degradations, extractors, experts, clusterers and observers with the plugin each one comes from."""
    from unirestorer.plugins.manager import plugin_table

    rows = plugin_table()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print_table(rows)


def _print_table(rows: list[PluginRow]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unirestorer.plugins.manager import PluginRow

    names = [field.name for field in fields(PluginRow)]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=name in ("kind", "version"), overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(getattr(row, name)), _style(row) if name == "state" else "") for name in names))
    Console().print(table)


def _style(row: PluginRow) -> str:
    return {"ok": "green", "disabled": "yellow"}.get(row.state, "red")
