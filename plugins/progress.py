"""The built-in observer: one log line per finished stage, on the logger ``unirestorer.progress`` at level INFO.

The library stays silent unless its caller wants to hear it; the command line attaches a rich handler to the logger.
"""

from __future__ import annotations

import logging

from unirestorer.core import StageReport, hookimpl

logger = logging.getLogger("unirestorer.progress")


@hookimpl
def stage_finished(stage: str, report: StageReport) -> None:
    """Log the name of the stage, what it did or that nothing had to be done, and its wall time in seconds."""
    state = "up to date" if report.skipped else f"{report.seconds:.1f} s"
    logger.info("%s: %s (%s)", stage, report.summary, state)
