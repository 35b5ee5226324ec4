"""``unirestorer plugins``: what is registered, by whom, and what failed; new plugins, and checks of installed ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import FAILED, complain, print_table, say

if TYPE_CHECKING:
    from unirestorer.core.contracts import Spec
    from unirestorer.core.testing import CheckResult
    from unirestorer.plugins.manager import PluginRow

BUILTIN = ("builtin", "unirestorer")


class Kind(StrEnum):
    """What a plugin can register."""

    DEGRADATION = "degradation"
    EXTRACTOR = "extractor"
    EXPERT = "expert"
    CLUSTERER = "clusterer"


def register(app: typer.Typer) -> None:
    """Add the ``plugins`` group of commands to ``app``."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(list_plugins)
    group.command()(new)
    group.command()(check)
    app.add_typer(group, name="plugins")


def list_plugins(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List degradations, extractors, experts, clusterers and observers with the plugin each one comes from."""
    if context.invoked_subcommand is not None:
        return
    rows = _rows()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    fields = ("kind", "name", "distribution", "version")
    print_table([*fields, "state"], [[*(getattr(row, name) for name in fields), _state(row)] for row in rows])
    for row in rows:
        if _state(row) == "failed":
            say(_failure(row))


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the distribution, for example acme-fog.")],
    kind: Annotated[Kind, typer.Option(help="What it registers.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="The folder to make. Default: ./NAME.")
    ] = None,
) -> None:
    """Write the distribution of a new plugin that installs, works and passes its own tests."""
    from unirestorer.cli.scaffold import scaffold

    folder = scaffold(name, kind.value, out)
    say(f'{folder}: {kind.value} written; now: cd {folder} && pip install -e ".[test]" && python -m pytest')


def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A plugin, its distribution, one thing it registers, or builtin.")
    ],
) -> None:
    """Run the conformance kit on what an installed plugin registers; exit with 2 if it breaks a rule."""
    rows = _matching(_rows(), name)
    problems = [_failure(row) for row in rows if row.state != "ok"]
    table = []
    for row in rows:
        for result in _results(row) if row.state == "ok" and row.kind in tuple(Kind) else ():
            table.append([row.kind, row.name, result.rule, _word(result), f"{result.seconds:.2f}"])
            if not result.passed:
                problems.append(f"{row.kind} {row.name}: {result.rule}: {result.detail}")
    if table:
        print_table(["kind", "name", "rule", "result", "seconds"], table)
    elif not problems:
        say(f"{name}: registers nothing that has rules")
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(FAILED)


def _results(row: PluginRow) -> Iterator[CheckResult]:
    from unirestorer.core.testing import check_spec

    return iter(check_spec(_spec(row)))


def _word(result: CheckResult) -> str:
    if not result.passed:
        return "failed"
    return "skipped" if result.detail else "passed"


def _spec(row: PluginRow) -> Spec:
    from unirestorer.plugins.manager import load_catalogue

    catalogue = load_catalogue()
    find: dict[str, Callable[[str], Spec]] = {
        "degradation": catalogue.synthesizer,
        "extractor": catalogue.extractor,
        "expert": catalogue.expert,
        "clusterer": catalogue.clusterer,
    }
    return find[row.kind](row.name)


def _rows() -> list[PluginRow]:
    """The table; its failures are about to be printed, so that logging them on stderr, too, would be once too often."""
    import logging

    from unirestorer.plugins.manager import logger, plugin_table

    logger.addHandler(logging.NullHandler())
    return plugin_table()


def _matching(rows: Sequence[PluginRow], name: str) -> list[PluginRow]:
    from unirestorer.core.errors import UnknownNameError
    from unirestorer.plugins.requirements import canonical

    wanted = "unirestorer" if name in BUILTIN else canonical(name)
    found = [row for row in rows if name in (row.name, row.plugin) or canonical(row.distribution) == wanted]
    if not found:
        raise UnknownNameError(
            "plugin", name, {name for row in rows for name in (row.name, row.plugin, row.distribution)}
        )
    return found


def _state(row: PluginRow) -> str:
    return row.state.partition(":")[0]


def _failure(row: PluginRow) -> str:
    state = "is disabled by UNIRESTORER_DISABLE_PLUGINS" if row.state == "disabled" else row.state
    return f"{row.name} of {row.distribution} {row.version} {state}"
