"""``unirestorer datasets``: the published data sets that can be read by name, and a check of one on disk."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import FAILED, complain, print_table, say

if TYPE_CHECKING:
    from unirestorer.core.datasets.checking import Report

COLUMNS = 5
"""Of the table, without the homes, which are long; --json and docs/datasets.md have them."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines for people.")]


def register(app: typer.Typer) -> None:
    """Add the ``datasets`` group of commands to ``app``."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(list_datasets)
    group.command()(check)
    app.add_typer(group, name="datasets")


def list_datasets(
    context: typer.Context,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of docs/datasets.md.")] = False,
) -> None:
    """List the published data sets that can be read by name: kind, use, splits with their counts, licence."""
    if context.invoked_subcommand is not None:
        return
    from unirestorer.core.datasets import PUBLISHED, checking

    if as_json:
        say(json.dumps([asdict(about) for about in PUBLISHED], indent=2))
    elif markdown:
        say(checking.markdown())
    else:
        print_table(checking.HEADER[:COLUMNS], [row[:COLUMNS] for row in checking.rows()])


def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set of `unirestorer datasets`.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it lies.")],
    split: Annotated[str | None, typer.Option(metavar="SPLIT", help="Only this split. Default: all of them.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse another number of files than published.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which layout was found, how many files of how many, and whether they pair; exit with 2 if none is usable."""
    from unirestorer.core.datasets.checking import check as look

    reports = look(name, folder, split, strict=strict)
    if as_json:
        say(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        for report in reports:
            _tell(report)
    if not any(report.usable for report in reports):
        raise typer.Exit(FAILED)


def _tell(report: Report) -> None:
    head = f"{report.name} {report.split}"
    if report.layout:
        wanted = "any number" if report.wanted is None else str(report.wanted)
        say(f"{head}: {'usable' if report.usable else 'not usable'}, {report.got} of {wanted}, in {report.layout}")
        say(f"  first: {' -> '.join(report.first)}")
        say(f"  decoded: {', '.join(report.sizes) or 'none'}")
    for problem in report.problems:
        if report.usable:
            say(f"  note: {problem}")
        else:
            complain(problem)
