"""Everything a plugin can provide. Hooks return lists of frozen specs; the plugin manager calls them once.

Entry-point group: ``unirestorer.plugins``. A plugin implements any subset of these functions::

    from unirestorer.core import ExpertSpec, hookimpl

    @hookimpl
    def register_experts():
        return [ExpertSpec(...)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from .contracts import ClustererSpec, ExpertSpec, ExtractorSpec, StageReport, SynthesizerSpec

PROJECT = "unirestorer"
ENTRY_POINT_GROUP = "unirestorer.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_synthesizers() -> Sequence[SynthesizerSpec[Any]]:  # type: ignore[empty-body]
    """Degradations: sample parameters, apply them to clean images. Called when the catalogue is built."""


@hookspec
def register_extractors() -> Sequence[ExtractorSpec[Any]]:  # type: ignore[empty-body]
    """Networks mapping images (B, 3, H, W) to DRs (B, D). Called when the catalogue is built."""


@hookspec
def register_experts() -> Sequence[ExpertSpec[Any]]:  # type: ignore[empty-body]
    """Restoration networks (B, 3, H, W) -> (B, 3, H, W). Called when the catalogue is built."""


@hookspec
def register_clusterers() -> Sequence[ClustererSpec[Any]]:  # type: ignore[empty-body]
    """Strategies that turn DRs (N, D) into a hierarchy. Called when the catalogue is built."""


@hookspec
def stage_finished(stage: str, report: StageReport) -> None:
    """Called after each pipeline stage with its report; observers only, the result is ignored."""
