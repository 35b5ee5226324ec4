"""``unirestorer restore``: files and folders in, restored files out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import FAILED, complain, say
from unirestorer.cli.instructing import Degrees, Exclude, Experts, Levels, Tasks
from unirestorer.core.errors import ImageError, UniRestorerError
from unirestorer.core.instruction import Instruction
from unirestorer.core.treatment import Treatment

if TYPE_CHECKING:
    from unirestorer.cli.targets import Job
    from unirestorer.core.reports import Outcome
    from unirestorer.core.restoring import Restoration, Restorer

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Image files and folders of images.")]
Model = Annotated[
    Path | None,
    typer.Option(metavar="FILE_OR_DIR", help="Registry (.zip or folder) with the model. Default: the one inside."),
]


def restore(
    paths: Paths,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Folder, or file name for a single image.")],
    task: Tasks = None,
    degree: Degrees = None,
    level: Levels = None,
    expert: Experts = None,
    exclude: Exclude = None,
    model: Model = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what was found as JSON.")] = None,
    tile: Annotated[int, typer.Option(min=0, metavar="N", help="Side of a tile in pixels; 0: in one piece.")] = 512,
    overlap: Annotated[int, typer.Option(min=0, metavar="N", help="Pixels that neighbouring tiles share.")] = 64,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")] = False,
) -> None:
    """Restore damaged photos. What is wrong is found out, within what --task, --degree, ... (all repeatable) say."""
    from unirestorer.cli.targets import plan_jobs
    from unirestorer.core.reports import Outcome, write_report

    outcomes: list[Outcome] = []
    instruction = Instruction.of(task, degree, level, expert, exclude)

    def failed(path: Path, error: ImageError) -> None:
        complain(error)
        outcomes.append(Outcome(path, error=str(error), instruction=instruction))

    jobs = plan_jobs(paths, out, failed)
    if report is not None:
        _check_report(report, jobs, overwrite)
    if jobs:
        outcomes += _run(
            jobs, _restorer(model, Treatment(tile=tile, overlap=overlap), instruction), instruction, overwrite
        )
    if report is not None:
        write_report(report, outcomes)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(FAILED)


def _restorer(model: Path | None, treatment: Treatment, instruction: Instruction) -> Restorer:
    """Loads the model; raises before any image is touched if what is said or the tiles are impossible."""
    from unirestorer import api

    restorer = api.load(model, treatment=treatment)
    restorer.mixture.allowed(instruction)
    return restorer


def _run(jobs: Sequence[Job], restorer: Restorer, instruction: Instruction, overwrite: bool) -> list[Outcome]:
    from unirestorer.core.reports import Outcome, outcome_line

    outcomes = []
    for job in jobs:
        try:
            done = _restore_file(job, restorer, instruction, overwrite)
            outcome = Outcome(job.source, job.target, done, instruction=instruction)
            say(outcome_line(outcome))
        except (UniRestorerError, OSError) as error:
            complain(error)
            outcome = Outcome(job.source, job.target, error=str(error), instruction=instruction)
        outcomes.append(outcome)
    return outcomes


def _restore_file(job: Job, restorer: Restorer, instruction: Instruction, overwrite: bool) -> Restoration:
    """Restore one file; an unchanged image of the same format is copied byte by byte."""
    from unirestorer.cli.targets import check_free
    from unirestorer.core.files import copy_bytes
    from unirestorer.core.images import format_of, load

    check_free(job.target, overwrite)
    picture = load(job.source)
    restoration = restorer.restore(picture, instruction)
    if restoration.unchanged and picture.format == format_of(job.target):
        copy_bytes(job.source, job.target)
    else:
        restoration.save(job.target)
    return restoration


def _check_report(report: Path, jobs: Sequence[Job], overwrite: bool) -> None:
    from unirestorer.cli.targets import check_free

    taken = {path.resolve() for job in jobs for path in (job.source, job.target)}
    if report.resolve() in taken:
        raise ImageError(f"{report}: the report would overwrite an image; choose another name")
    check_free(report, overwrite)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(restore)
