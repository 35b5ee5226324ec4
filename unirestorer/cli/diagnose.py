"""``unirestorer diagnose``: what is wrong with photos, without restoring them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unirestorer.cli.console import FAILED, complain, draws_boxes, say
from unirestorer.cli.counting import check_stats, true_type, write_stats
from unirestorer.cli.instructing import Degrees, Exclude, Experts, Levels, Tasks
from unirestorer.cli.options import Model, Paths
from unirestorer.core.errors import UniRestorerError
from unirestorer.core.instruction import Instruction

if TYPE_CHECKING:
    from unirestorer.core.mixture import Estimate
    from unirestorer.core.restoring import Restorer

EXPLAINED = 5
"""Files that are explained at length unless something else is asked for; of more, or of a folder, each gets a line."""


def diagnose(
    paths: Paths,
    task: Tasks = None,
    degree: Degrees = None,
    level: Levels = None,
    expert: Experts = None,
    exclude: Exclude = None,
    model: Model = None,
    tree: Annotated[
        bool | None,
        typer.Option(
            "--tree/--short", help="Explain the choice, or print one line a photo. Default: explain up to 5 files."
        ),
    ] = None,
    stats: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Count how often each expert was used, by damage where folders are called so: .md, .csv or .json, "
            "with a heat map (.png) beside it; - prints it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of lines.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing statistics.")] = False,
) -> None:
    """Say what is wrong with photos, without restoring; within what --task, --degree, ... (all repeatable) say."""
    from unirestorer import api
    from unirestorer.core.reports import instruction_json
    from unirestorer.plugins.manager import load_catalogue

    instruction = Instruction.of(task, degree, level, expert, exclude)
    sources, results = _sources(paths)
    if stats is not None:
        check_stats(stats, [source for source, _ in sources], as_json, overwrite)
    found: list[tuple[str | None, Estimate]] = []
    if sources:
        restorer = api.load(model).restorer
        restorer.mixture.allowed(instruction)
        folders = any(path.is_dir() for path in paths)
        tree = not folders and len(sources) <= EXPLAINED if tree is None else tree
        tasks, words = restorer.mixture.tasks, load_catalogue().words
        for source, relative in sources:
            values, estimate = _one(source, restorer, instruction, None if as_json else tree)
            results.append(values)
            found += [(true_type(source, relative, tasks, words), estimate)] if estimate else []
    if stats is not None and found:
        write_stats(stats, found, as_json)
    if as_json:
        say(json.dumps([{**result, "instruction": instruction_json(instruction)} for result in results], indent=2))
    if any(result["error"] for result in results):
        raise typer.Exit(FAILED)


def _sources(paths: Sequence[Path]) -> tuple[list[tuple[Path, Path]], list[dict[str, Any]]]:
    """Photos in ``paths`` with their places below these, and the JSON values of paths that hold none."""
    from unirestorer.core.images import find_images

    sources: list[tuple[Path, Path]] = []
    bad: list[dict[str, Any]] = []
    for path in paths:
        try:
            sources += find_images([path])
        except UniRestorerError as error:
            complain(error)
            bad.append({"source": str(path), "error": str(error)})
    return sources, bad


def _one(
    source: Path, restorer: Restorer, instruction: Instruction, tree: bool | None
) -> tuple[dict[str, Any], Estimate | None]:
    """Estimate one file and print it, with the ``tree`` or in a line, or not (``None``); its JSON values, and it."""
    from unirestorer.core.images import load
    from unirestorer.core.reports import estimate_json, estimate_line, explanation_lines

    try:
        estimate = restorer.diagnose(load(source), instruction)
    except UniRestorerError as error:
        complain(error)
        return {"source": str(source), "error": str(error)}, None
    if tree is not None:
        others = ", ".join(f"{name} {value:.2f}" for name, value in estimate.alternatives[:3] if value >= 0.005)
        say(f"{source.name}  {estimate_line(estimate)}" + (f"; else {others}" if others else ""))
    for line in explanation_lines(estimate, plain=not draws_boxes()) if tree else ():
        say(line)
    return {"source": str(source), "error": None, **estimate_json(estimate)}, estimate


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(diagnose)
