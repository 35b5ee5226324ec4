"""Coloured, patchy haze for UniRestorer, and an expert made for it. Listing them imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unirestorer.core import ExpertSpec, SizeRequirement, Synthesizer, SynthesizerSpec, hookimpl

from .configs import ColouredHazeConfig, HazeGridConfig

if TYPE_CHECKING:
    from torch import nn


def _coloured_haze(config: ColouredHazeConfig) -> Synthesizer:
    from .coloured_haze import ColouredHaze

    return ColouredHaze(config)


def _haze_grid(config: HazeGridConfig) -> nn.Module:
    from .haze_grid import HazeGrid

    return HazeGrid(config)


COLOURED_HAZE = SynthesizerSpec(
    name="coloured-haze",
    summary="patchy smog, sunset or dusk haze of varying density and colour",
    config=ColouredHazeConfig,
    build=_coloured_haze,
    presets={"in": ColouredHazeConfig(), "out": ColouredHazeConfig(beta=(2.8, 3.6))},
    identity=ColouredHazeConfig(beta=(0.0, 0.0)),
    recipe=Path(__file__).with_name("extension.yaml"),
)
HAZE_GRID = ExpertSpec(
    name="haze-grid",
    summary="solves the haze model with a local transmission and airlight",
    config=HazeGridConfig,
    build=_haze_grid,
    size=SizeRequirement(multiple=16, minimum=16),
)


@hookimpl
def register_synthesizers() -> Sequence[SynthesizerSpec[Any]]:
    """One degradation, with the recipe that ``unirestorer extend degradation`` trains it by."""
    return [COLOURED_HAZE]


@hookimpl
def register_experts() -> Sequence[ExpertSpec[Any]]:
    """One architecture."""
    return [HAZE_GRID]
