"""Progress of a training run: what the watcher of a pipeline shows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unirestorer.core.run import Watcher


@contextmanager
def bars() -> Iterator[Watcher]:
    """Rich progress bars on a terminal; a line every five seconds elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    name, note = TextColumn("{task.description:<28}"), TextColumn("{task.fields[note]}")
    with Progress(name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def watch(task: str, done: int, total: int, note: str) -> None:
            if task not in tasks:
                tasks[task] = progress.add_task(task, total=total, note=note)
            progress.update(
                tasks[task], completed=done, note=note, visible=done < total or task in ("experts", "cells")
            )

        yield watch


def _lines() -> Watcher:
    import time

    last: dict[str, float] = {}

    def watch(task: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if done >= total or now - last.get(task, -5.0) >= 5:
            last[task] = now
            typer.echo(f"{task}: {done}/{total} {note}", err=True)

    return watch
