"""Progress of a training run, what the watcher of a pipeline shows, and of a batch of images."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


@contextmanager
def counted(total: int) -> Iterator[Callable[[], None]]:
    """A bar with rate and time left on a terminal, which the given function moves by one; nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if total < 2 or not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    beside = sys.stdout.isatty()  # else the lines of a redirected stdout would come out beside the bar
    with Progress(*columns, console=console, transient=True, redirect_stdout=beside) as progress:
        task, start = progress.add_task("", total=total, rate=""), monotonic()

        def advance() -> None:
            progress.advance(task)
            done = progress.tasks[0].completed
            progress.update(task, rate=f"{done / max(monotonic() - start, 1e-3):.1f} images/s")

        yield advance


def _lines() -> Watcher:
    last: dict[str, float] = {}

    def watch(task: str, done: int, total: int, note: str) -> None:
        now = monotonic()
        if done >= total or now - last.get(task, -5.0) >= 5:
            last[task] = now
            typer.echo(f"{task}: {done}/{total} {note}", err=True)

    return watch
