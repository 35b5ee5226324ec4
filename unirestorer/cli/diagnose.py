"""``unirestorer diagnose``: what is wrong with photos, without restoring them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unirestorer.cli.console import FAILED, complain, say
from unirestorer.cli.restore import Model, Paths, Tasks
from unirestorer.core.errors import UniRestorerError
from unirestorer.core.instruction import Instruction

if TYPE_CHECKING:
    from unirestorer.core.restoring import Restorer


def diagnose(
    paths: Paths,
    task: Tasks = None,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of lines.")] = False,
) -> None:
    """Say what is wrong with photos, without restoring."""
    from unirestorer import api
    from unirestorer.core.images import find_images

    results: list[dict[str, Any]] = []
    sources: list[Path] = []
    for path in paths:
        try:
            sources += [source for source, _ in find_images([path])]
        except UniRestorerError as error:
            complain(error)
            results.append({"source": str(path), "error": str(error)})
    instruction = Instruction(tuple(task or ()))
    if sources:
        restorer = api.load(model)
        restorer.mixture.allowed(instruction)
        results += [_one(source, restorer, instruction, as_json) for source in sources]
    if as_json:
        say(json.dumps(results, indent=2))
    if any(result["error"] for result in results):
        raise typer.Exit(FAILED)


def _one(source: Path, restorer: Restorer, instruction: Instruction, quiet: bool) -> dict[str, Any]:
    """Estimate one file, print its line unless ``quiet``, and return its JSON values."""
    from unirestorer.core.images import load
    from unirestorer.core.reports import estimate_json, estimate_line

    try:
        estimate = restorer.diagnose(load(source), instruction)
    except UniRestorerError as error:
        complain(error)
        return {"source": str(source), "error": str(error)}
    if not quiet:
        others = ", ".join(f"{name} {value:.2f}" for name, value in estimate.alternatives[:3])
        say(f"{source.name}  {estimate_line(estimate)}" + (f"; else {others}" if others else ""))
    return {"source": str(source), "error": None, **estimate_json(estimate)}


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(diagnose)
