"""What is done with one picture of a batch: reading, estimating, restoring, writing. Several threads do it at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import torch

from ..errors import UniRestorerError
from ..images import Picture, Saving, header_of, load_frames
from ..images.streaming import wants_streaming
from ..instruction import AUTO, Instruction
from ..provenance import describe
from ..restoring import Restoration, Restorer
from ..restoring.files import deliver, deliver_frames, is_copy, load_source, restore_frames
from .planning import Job

if TYPE_CHECKING:
    from ..mixture import Estimate

PER_PIXEL = 8
"""Bytes that a picture takes while it is decoded, or restored and encoded."""


@dataclass(frozen=True)
class Settings:
    """How a batch is restored. all_frames: of animations and pages. workers: pictures restored at the same time."""

    instruction: Instruction = AUTO
    saving: Saving = field(default_factory=Saving)
    all_frames: bool = False
    workers: int = 1


@dataclass(eq=False)
class Item:
    """A picture on its way. cost: bytes that it takes, None: it stays on disk. frames: it is several pictures."""

    job: Job
    cost: int | None
    frames: bool
    source: Any = None
    estimate: Estimate | None = None
    routing: float = 0.0
    restoration: Restoration | None = None
    lost: tuple[str, ...] = ()

    @property
    def node(self) -> int | None:
        """The node that its estimate leads to."""
        return None if self.estimate is None else self.estimate.node


@dataclass(frozen=True)
class Work:
    """The work on items; each raises what can go wrong with a file."""

    restorer: Restorer
    settings: Settings

    def measure(self, job: Job) -> Item:
        """The item of ``job``, by the header of its file."""
        header = header_of(job.source)
        frames = header.frames if self.settings.all_frames else 1
        if frames == 1 and wants_streaming(job.source, self.restorer.treatment.max_memory):
            return Item(job, None, False)
        return Item(job, PER_PIXEL * header.height * header.width * frames, frames > 1)

    def load(self, item: Item) -> None:
        """Read it; frames are read one after the other while they are restored."""
        source = item.job.source
        item.source = load_frames(source) if item.frames else load_source(source, self.restorer.treatment)

    def route(self, item: Item, threads: int) -> None:
        """Estimate what is wrong with it, with so many threads."""
        torch.set_num_threads(threads)  # of this thread, and of those that begin later
        start = perf_counter()
        item.estimate = self.restorer.diagnose(item.source, self.settings.instruction)
        item.routing = perf_counter() - start

    def restore(self, item: Item, threads: int) -> None:
        """Restore it, with so many threads."""
        torch.set_num_threads(threads)
        if item.frames:
            item.restoration, item.source = restore_frames(item.source, self.restorer, self.settings.instruction)
            return
        done = self.restorer.restore(item.source, self.settings.instruction, first=item.estimate)
        first, *others = done.route
        seconds = {**first.seconds, "route": first.seconds["route"] + item.routing}
        item.source, item.restoration = None, replace(done, routes=((replace(first, seconds=seconds), *others),))

    def save(self, item: Item) -> None:
        """Write what became of it, with its provenance."""
        job, saving, done = item.job, self.settings.saving, cast(Restoration, item.restoration)
        if item.frames:
            text = self._described(item, item.source.format)
            item.lost = deliver_frames(done, item.source, job.source, job.target, saving, text)
        else:
            text = self._described(item, cast(Picture, done.image).format)
            item.lost = deliver(done, job.source, job.target, saving, text)

    def _described(self, item: Item, kind: str | None) -> str | None:
        """How the target is made, None where it is the source itself."""
        job, said, saving, done = item.job, self.settings.instruction, self.settings.saving, item.restoration
        assert done is not None
        if is_copy(done.unchanged, kind, job.target, saving):
            return None
        return describe(done, self.restorer, said, job.source, job.target, saving, all_frames=item.frames)


def told(job: Job, error: BaseException) -> str:
    """What went wrong, in one line that names the file."""
    if isinstance(error, UniRestorerError):
        named = any(str(path) in str(error) for path in (job.source, job.target))
        return str(error) if named else f"{job.source}: {error}"
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"{job.source}: not enough memory; give less to it (--max-memory) or do less at once (--jobs 1)"
    if isinstance(error, OSError):
        return f"{job.source}: {error.strerror or text}"
    logging.getLogger(__name__).debug("%s", job.source, exc_info=error)
    return f"{job.source}: {type(error).__name__}: {text}; this is a mistake of the program, please report it"
