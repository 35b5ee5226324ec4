"""The built-in observer: one line per finished stage on the logger ``unirestorer.progress``, level INFO.

As with every library logger, the line is seen where the program has set logging up, for example with
``logging.basicConfig(level="INFO")``; without that the library stays silent.
"""

from __future__ import annotations

import logging

from unirestorer.core import StageReport, hookimpl

logger = logging.getLogger("unirestorer.progress")


@hookimpl
def stage_finished(stage: str, report: StageReport) -> None:
    """Log what the stage did and its wall time in seconds, or that it was up to date."""
    state = "up to date" if report.skipped else f"{report.seconds:.1f} s"
    logger.info("%s: %s (%s)", stage, report.summary, state)
