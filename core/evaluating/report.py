"""What an evaluation found: one row an image and peer, and what it was measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .suite import Suite


@dataclass(frozen=True)
class Row:
    """Scores of one peer on one image, by "convention.metric", for example "standard.psnr".

    node, level: the expert that was run, by name, and the name of its level; leaf_probability, level_probability: of
    the chosen leaf and level; found: the estimated damage type. None for peers without a tree. seconds: wall time.
    """

    part: str
    image: str
    task: str | None
    peer: str
    scores: Mapping[str, float]
    seconds: float
    node: str | None = None
    level: str | None = None
    found: str | None = None
    leaf_probability: float | None = None
    level_probability: float | None = None


@dataclass(frozen=True)
class Report:
    """All rows of a suite. ``missing``: a line for each part that could not be measured. ``facts``: versions, seeds,
    hashes of models, as JSON values; nothing that differs between two equal runs.
    """

    suite: Suite
    peers: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
