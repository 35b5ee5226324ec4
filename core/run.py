"""What every stage of the pipeline gets: the recipe, the store, photos and pairs, and how to commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .catalogue import Catalogue
from .contracts import Record, RecordKey, Store
from .pairs import Given
from .photos import Photos
from .recipe import ExtractorRecipe, Recipe, fingerprint
from .rendering import Truths, render, truths
from .samples import SampleSet
from .training.loop import Progress


class Watcher(Protocol):
    """Told what the pipeline is doing; the command line shows bars."""

    def __call__(self, task: str, done: int, total: int, note: str) -> None:
        """``done`` of ``total`` units of ``task``; ``note`` is a loss or a count."""
        ...


def _silent(task: str, done: int, total: int, note: str) -> None:
    """The default watcher."""


def data_stamp(photos: Photos, given: Given) -> str:
    """Fingerprint of the photos and, where there are any, of the given pairs."""
    return fingerprint(photos.hashes, given.stamp) if given.sources else fingerprint(photos.hashes)


@dataclass(frozen=True)
class ExtractorRun:
    """What the stages up to the DRs get.

    ``work``: scratch folder for rendered pixels and checkpoints, removed at the end. ``reports``: plots and tables.
    """

    recipe: ExtractorRecipe
    store: Store
    catalogue: Catalogue
    photos: Photos
    work: Path
    reports: Path
    watch: Watcher = _silent
    given: Given = field(default_factory=Given)

    @property
    def name(self) -> str:
        """Records of this run are called like its recipe."""
        return self.recipe.name

    @cached_property
    def data_stamp(self) -> str:
        """Fingerprint of photos and pairs."""
        return data_stamp(self.photos, self.given)

    def samples(self) -> SampleSet:
        """The recorded samples."""
        return SampleSet.from_record(self.store.read("dr_sets", self.name))

    def pixels(self, samples: SampleSet) -> NDArray[np.uint8]:
        """Rendered samples (N, 3, side, side) uint8, mapped from a file."""
        target = self.work / f"pixels-{self.stamp('synthesize')[:16]}.npy"
        return render(samples, self.photos, self.catalogue, target, self.given)

    def truths(self, samples: SampleSet) -> Truths:
        """What the samples would be undamaged."""
        return truths(samples, self.photos, self.given, self.work / f"truths-{self.stamp('synthesize')[:16]}.npy")

    def stamp(self, stage: str) -> str:
        """Recorded fingerprint of a finished stage; empty when it is not finished."""
        key = f"{self.name}.{stage}"
        if not self.store.exists("stages", key):
            return ""
        return str(self.store.attributes("stages", key)["fingerprint"])

    def forget(self, stages: Sequence[str]) -> None:
        """Mark finished ``stages`` as not done, in one commit."""
        blank = Record({}, {"fingerprint": "", "report": {}})
        done = {("stages", f"{self.name}.{stage}"): blank for stage in stages if self.stamp(stage)}
        if done:
            self.store.write(done, message=f"{self.name}: {stages[0]} begins anew", author=stages[0])

    def losses(self, task: str) -> Progress:
        """Progress of a training run that reports to the watcher."""
        return lambda step, steps, loss: self.watch(task, step, steps, f"loss {loss:.4f}")

    def commit(
        self,
        stage: str,
        stamp: str,
        records: Mapping[RecordKey, Record],
        summary: str,
        figures: Mapping[str, float],
    ) -> None:
        """Write the stage's records and its fingerprint as one commit."""
        done = Record({}, {"fingerprint": stamp, "report": {"summary": summary, "figures": dict(figures)}})
        everything = {**records, ("stages", f"{self.name}.{stage}"): done}
        self.store.write(everything, message=f"{self.name}: {summary}", author=stage)


@dataclass(frozen=True)
class Run(ExtractorRun):
    """What every stage gets: a run of a whole recipe."""

    recipe: Recipe


ExtractorStage = Callable[[ExtractorRun, str], None]
Stage = Callable[[Run, str], None]
"""Does the work of a stage and commits it under the given fingerprint."""
