"""Run the micro recipe and die without any clean-up at a given moment: ``python -m ... FOLDER NAME EVENT COUNT``.

EVENT ``batch:CLASS`` counts training batches of a kind, ``render`` rendered degradations, ``step:STAGE`` progress
reports of a stage, ``before:STAGE`` and ``after:STAGE`` its commits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unirestorer.core import rendering
from unirestorer.core.contracts import Record, RecordKey, Store
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.stages.routers import CostBatches
from unirestorer.core.training.batches import LabelledCrops, PatchPairs

from .tiny_world import make_run


class Bomb:
    """Kills the process when ``event`` has happened ``count`` times."""

    def __init__(self, event: str, count: int) -> None:
        self.event, self.left = event, count

    def happen(self, event: str) -> None:
        if event == self.event:
            self.left -= 1
            if self.left == 0:
                os._exit(9)


class MinedStore:
    """A store that tells the bomb about every commit."""

    def __init__(self, store: Store, bomb: Bomb) -> None:
        self.store, self.bomb = store, bomb

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def write(self, records: Mapping[RecordKey, Record], *, message: str, author: str) -> str:
        self.bomb.happen(f"before:{author}")
        commit = self.store.write(records, message=message, author=author)
        self.bomb.happen(f"after:{author}")
        return commit


def mine(owner: Any, method: str, bomb: Bomb, event: str) -> None:
    """Tell the bomb of every call of ``owner.method``."""
    original = getattr(owner, method)

    def called(*args: Any, **options: Any) -> Any:
        bomb.happen(event)
        return original(*args, **options)

    setattr(owner, method, called)


def main(folder: str, name: str, event: str, count: str) -> None:
    bomb = Bomb(event, int(count))
    for kind in (PatchPairs, LabelledCrops, CostBatches):
        mine(kind, "__call__", bomb, f"batch:{kind.__name__}")
    mine(rendering, "_render_one", bomb, "render")
    run = make_run(Path(folder), name, lambda task, done, total, note: bomb.happen(f"step:{task.split()[0]}"))
    run_pipeline(replace(run, store=MinedStore(run.store, bomb)))


if __name__ == "__main__":
    main(*sys.argv[1:])
