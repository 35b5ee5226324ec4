"""The images of a batch, one group of an expert after the other, while others are read and written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event

import torch

from ..errors import UniRestorerError
from ..files import sweep
from ..reports import Outcome
from ..restoring import Restorer
from ..runtimes.eager import EAGER
from .planning import Job
from .stopping import DiskFullError, is_full, stoppable
from .working import PER_PIXEL, Item, Settings, Work, told

AHEAD = 192 * 2**20
"""Bytes that pictures take at most which are read, but not yet written; one may be larger."""
MOST = 64
"""Such pictures at most."""
ALONE = 2 * 10**6 * PER_PIXEL
"""Bytes of a picture beyond which no other is restored at the same time: it keeps all processors busy by itself."""

Listener = Callable[[Outcome], None]
"""Hears of every image as it is done or fails; the outcome holds the picture, so keep what is needed of it, not it."""


def run(jobs: Sequence[Job], restorer: Restorer, settings: Settings, listener: Listener) -> None:
    """Restore ``jobs`` with ``restorer`` and tell the outcomes, in the order in which they are done.

    An image that cannot be read, restored or written is an outcome with an error. Raises ``DiskFullError`` where
    nothing more can be written, and ``KeyboardInterrupt``; what is being written then is finished before.
    """
    sweep(job.target for job in jobs)
    with _threads():
        _Batch(jobs, restorer, settings, listener).run()


@contextmanager
def _threads() -> Iterator[None]:
    """Afterwards torch has as many threads as before."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Task:
    """Something that is being done with ``item``, by so many of the workers, and what follows."""

    item: Item
    then: Callable[[Item], None]
    workers: int = 0


class _Batch:
    """Pictures go from ``waiting`` to ``ready``, through the workers and to the disk; only one thread moves them."""

    def __init__(self, jobs: Sequence[Job], restorer: Restorer, settings: Settings, listener: Listener) -> None:
        self._settings, self._listener, self._stop = settings, listener, Event()
        self._work = Work(replace(restorer, mixture=stoppable(restorer.mixture, self._stop)), settings)
        self._runtime = getattr(restorer.mixture, "runtime", EAGER).name
        self._threads = max(1, torch.get_num_threads() // settings.workers)
        most = restorer.treatment.max_memory
        self._limit = AHEAD if most is None else min(AHEAD, most // 8)
        self._waiting, self._next = deque(jobs), list[Item]()
        self._ready: list[Item] = []
        self._node: int | None = None
        self._held = self._ahead = self._busy = 0
        self._tasks: dict[Future[None], _Task] = {}

    def run(self) -> None:
        workers = self._settings.workers
        with ThreadPoolExecutor(workers + 1) as self._disk, ThreadPoolExecutor(workers) as self._compute:
            try:
                self._go_on()
                while self._tasks:
                    for future in wait(self._tasks, return_when=FIRST_COMPLETED).done:
                        self._finish(future)
                    self._go_on()
            except BaseException:
                self._end()
                raise

    def _go_on(self) -> None:
        """Begin whatever can be done now."""
        while self._measured() and self._has_room(self._next[0]):
            item = self._next.pop()
            self._held, self._ahead = self._held + self._cost(item), self._ahead + 1
            self._tasks[self._disk.submit(self._work.load, item)] = _Task(item, self._ready.append)
        while self._ready and self._compute_one(self._chosen()):
            continue

    def _measured(self) -> bool:
        """Whether there is a next picture; its size is known from then on."""
        while not self._next and self._waiting:
            job = self._waiting.popleft()
            try:
                self._next.append(self._work.measure(job))
            except UniRestorerError as error:
                self._fail(job, error)
        return bool(self._next)

    def _cost(self, item: Item) -> int:
        """One that stays on disk takes all there is: there is no room for another on the disk, either."""
        return self._limit if item.cost is None else item.cost

    def _has_room(self, item: Item) -> bool:
        return not self._ahead or (self._ahead < MOST and self._held + self._cost(item) <= self._limit)

    def _chosen(self) -> Item:
        """One without an estimate, else one for the expert that ran last, else the one that waits longest."""
        ready = self._ready
        return next((item for wanted in (None, self._node) for item in ready if item.node == wanted), ready[0])

    def _compute_one(self, item: Item) -> bool:
        """Estimate or restore ``item``, where enough workers are free."""
        all_workers = self._settings.workers
        route = item.estimate is None and not item.frames
        workers = all_workers if not route and (item.frames or self._cost(item) > ALONE) else 1
        if self._busy + workers > all_workers:
            return False
        self._ready.remove(item)
        self._busy += workers
        self._node = self._node if route else item.node
        work, then = (self._work.route, self._ready.append) if route else (self._work.restore, self._write)
        self._tasks[self._compute.submit(work, item, self._threads * workers)] = _Task(item, then, workers)
        return True

    def _write(self, item: Item) -> None:
        self._tasks[self._disk.submit(self._work.save, item)] = _Task(item, self._tell)

    def _tell(self, item: Item) -> None:
        self._release(item)
        job, said = item.job, self._settings.instruction
        self._listener(Outcome(job.source, job.target, item.restoration, None, said, item.lost, self._runtime))

    def _finish(self, future: Future[None]) -> None:
        task = self._tasks.pop(future)
        self._busy -= task.workers
        error = future.exception()
        if error is None:
            task.then(task.item)
            return
        self._release(task.item)
        if is_full(error):
            raise DiskFullError(told(task.item.job, error)) from error
        self._fail(task.item.job, error)

    def _fail(self, job: Job, error: BaseException) -> None:
        said = self._settings.instruction
        self._listener(Outcome(job.source, job.target, error=told(job, error), instruction=said))

    def _release(self, item: Item) -> None:
        self._held, self._ahead = self._held - self._cost(item), self._ahead - 1

    def _end(self) -> None:
        """Nothing new is begun, experts stop after their tile, and what is being written is finished and told."""
        self._stop.set()
        for future in self._tasks:
            future.cancel()
        running = [future for future in self._tasks if not future.cancelled()]
        for future in wait(running).done:
            task = self._tasks[future]
            if task.then == self._tell and future.exception() is None:
                task.then(task.item)
