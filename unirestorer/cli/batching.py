"""Carrying out what ``restore`` was told, and telling what came of it."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from unirestorer.cli.console import FAILED, complain, plain, say
from unirestorer.core.errors import ImageError
from unirestorer.core.instruction import Instruction
from unirestorer.core.treatment import Treatment

if TYPE_CHECKING:
    from unirestorer.core.batch import Plan
    from unirestorer.core.batch.sharing import Share
    from unirestorer.core.images import Saving
    from unirestorer.core.reports import Outcome
    from unirestorer.core.restoring import Restorer

STOPPED = 130
"""Exit status after Ctrl-C."""
STATES = ("restored", "unchanged", "skipped", "failed")
_NAMED = 10


@dataclass(frozen=True)
class Order:
    """What was told."""

    paths: Sequence[Path]
    out: Path
    instruction: Instruction
    treatment: Treatment
    saving: Saving
    all_frames: bool
    overwrite: bool
    skip_done: bool
    jobs: int | None
    report: Path | None
    model: Path | None
    runtime: str


@dataclass
class Ledger:
    """What became of every image so far; ``entries`` holds the lines of the report, where one is wanted."""

    total: int
    reported: bool
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(STATES, 0)))
    entries: dict[Path, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def note(self, outcome: Outcome) -> None:
        """Count ``outcome``, print it, and keep it for the report."""
        from unirestorer.core.reports import outcome_line, outcome_text

        self.counts[outcome.state] += 1
        if outcome.error is not None:
            self.failed.append(plain(outcome.source.name))
            complain(plain(outcome.error))
        elif outcome.restoration is not None:
            say(plain(outcome_line(outcome)))
            for note in outcome.notes:
                say(f"  note: {plain(note)}")
        if self.reported:
            self.entries[outcome.source] = outcome_text(outcome)

    @property
    def done(self) -> int:
        """How many have an outcome."""
        return self.counts.total()


def carry_out(order: Order) -> None:
    """Restore the images; raises ``typer.Exit`` with status 2 where one failed and with 130 after Ctrl-C."""
    from unirestorer.core.batch import DiskFullError, Rules, plan, share_of

    share = share_of(os.environ)
    rules = Rules(order.saving.suffix, order.overwrite, order.skip_done, share)
    planned = plan(order.paths, order.out, rules)
    report = None if order.report is None else share.named(order.report)
    if report is not None:
        _check_report(report, planned, order)
    ledger = Ledger(len(planned.jobs), report is not None)
    status = 0
    try:
        with _stoppable():
            _restore(order, planned, ledger)
    except DiskFullError as error:
        complain(error)
        status = FAILED
    except KeyboardInterrupt:
        status = STOPPED
    if report is not None:
        _write(report, planned, ledger, order)
    _sum_up(planned, ledger, share, order, status)
    if share.count > 1 and status != STOPPED:
        status = status or _meet(share, ledger)
    if status or ledger.counts["failed"]:
        raise typer.Exit(status or FAILED)


def _restore(order: Order, planned: Plan, ledger: Ledger) -> None:
    """What needs no restoring is told first: what is wrong with a name or an existing file."""
    from unirestorer.cli.progress import counted
    from unirestorer.core.batch import Settings, run
    from unirestorer.core.reports import Outcome

    to_do = planned.to_do
    restorer = _restorer(order) if to_do else None
    for job in planned.jobs:
        if job.error or job.done:
            ledger.note(Outcome(job.source, job.target, error=job.error or None, instruction=order.instruction))
        if job.changed and job.done:
            say(plain(f"{job.source.name}  changed since {job.target} was made; with --overwrite it is restored again"))
    if restorer is not None:
        settings = Settings(order.instruction, order.saving, order.all_frames, _workers(order))
        with counted(len(to_do)) as advance:

            def told(outcome: Outcome) -> None:
                ledger.note(outcome)
                advance()

            run(to_do, restorer, settings, told)


def _restorer(order: Order) -> Restorer:
    """Loads the model; raises before any image is touched if what is said or the output is impossible."""
    from unirestorer import api
    from unirestorer.core.batch import check_writable

    restorer = api.load(order.model, treatment=order.treatment, runtime=order.runtime).restorer
    restorer.mixture.allowed(order.instruction)
    check_writable(order.out)
    return restorer


def _workers(order: Order) -> int:
    """Half of the processors, four at most: a network keeps two busy on a small photo. One where memory is scarce."""
    import torch

    return order.jobs or (1 if order.treatment.max_memory else max(1, min(4, torch.get_num_threads() // 2)))


@contextmanager
def _stoppable() -> Iterator[None]:
    """To be ended by a launcher or a service manager is as good as Ctrl-C."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_report(report: Path, planned: Plan, order: Order) -> None:
    from unirestorer.core.batch import check_free

    taken = {path.resolve() for job in planned.jobs for path in (job.source, job.target)}
    if report.resolve() in taken:
        raise ImageError(f"{report}: the report would overwrite an image; choose another name")
    check_free(report, order.overwrite or order.skip_done)


def _write(report: Path, planned: Plan, ledger: Ledger, order: Order) -> None:
    """In the order of the plan; of what was done before, what the report of that said."""
    from unirestorer.core.reports import read_report, write_report

    known = read_report(report) if order.skip_done else {}

    entries = [
        (known.get(str(job.source)) if job.done else None) or ledger.entries.get(job.source) for job in planned.jobs
    ]
    write_report(report, [entry for entry in entries if entry is not None])


def _sum_up(planned: Plan, ledger: Ledger, share: Share, order: Order, status: int) -> None:
    """The last lines: how many, of what kind, which failed, what was left out, and how to go on."""
    from unirestorer.core.batch import left_out_line

    if left_out := left_out_line(planned.left_out):
        say(left_out)
    if ledger.total > 1 or status or share.count > 1:
        mine = f"process {share.rank} of {share.count}: " if share.count > 1 else ""
        say(f"{mine}{ledger.done} of {ledger.total} files: " + counts_line(ledger.counts))
    if ledger.failed and ledger.total > 1:
        more = len(ledger.failed) - _NAMED
        say(f"failed: {', '.join(ledger.failed[:_NAMED])}" + (f" and {more} more" if more > 0 else ""))
    if status:
        say("stopped: go on with the same command and --skip-done")


def counts_line(counts: Counter[str]) -> str:
    """For example ``180 restored, 20 unchanged``."""
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "nothing done"


def _meet(share: Share, ledger: Ledger) -> int:
    """Wait for the other processes; the exit status that all of them have."""
    from unirestorer.core.batch import total

    counts = Counter(total(share, ledger.counts))
    if share.rank == 0:
        say(f"all {share.count} processes: {counts_line(counts)}")
    sys.stdout.flush()
    return FAILED if counts["failed"] else 0
