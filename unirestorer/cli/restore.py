"""``unirestorer restore``: files and folders in, restored files out."""

from __future__ import annotations

from pathlib import Path

import typer

from unirestorer.cli import options
from unirestorer.cli.instructing import Degrees, Exclude, Experts, Levels, Tasks
from unirestorer.core.instruction import Instruction
from unirestorer.core.treatment import Treatment


def restore(
    paths: options.Paths,
    out: options.Out = Path("restored"),
    task: Tasks = None,
    degree: Degrees = None,
    level: Levels = None,
    expert: Experts = None,
    exclude: Exclude = None,
    license_: options.License = None,
    strength: options.Strength = 1.0,
    steps: options.Steps = 1,
    route_per_tile: options.RoutePerTile = False,
    no_guards: options.NoGuards = False,
    format_: options.Format = None,
    quality: options.Quality = None,
    all_frames: options.AllFrames = False,
    overwrite: options.Overwrite = False,
    skip_done: options.SkipDone = False,
    jobs: options.Jobs = None,
    report: options.Report = None,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    max_memory: options.MaxMemory = None,
    model: options.Model = None,
    runtime: options.Runtime = "auto",
) -> None:
    """Restore damaged photos. What is wrong is found out, within what --task, --degree, ... (all repeatable) say."""
    from unirestorer.cli.batching import Order, carry_out
    from unirestorer.core.images import Saving

    order = Order(
        paths=paths,
        out=out,
        instruction=Instruction.of(task, degree, level, expert, exclude, license_),
        treatment=Treatment(strength, steps, tile, overlap, max_memory, route_per_tile, guards=not no_guards),
        saving=Saving(format_, quality),
        all_frames=all_frames,
        overwrite=overwrite,
        skip_done=skip_done,
        jobs=jobs,
        report=report,
        model=model,
        runtime=runtime,
    )
    carry_out(order)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(restore)
