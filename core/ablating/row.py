"""One row of a sweep's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """What is known of a cell.

    state: waiting, unfinished, done or failed (``reason``: one line, ``trace``: where). tree: nodes per level.
    figures: "stage.figure" -> value. seconds: of its own work, without runs that were killed. shared: how many stages
    came from the cell ``source``. stamp: fingerprint of its last stage.
    """

    cell: str
    choices: Mapping[str, str]
    stamp: str
    state: str = "waiting"
    reason: str = ""
    tree: tuple[int, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    shared: int = 0
    source: str = ""
    trace: str = ""
