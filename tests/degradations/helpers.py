"""Shared by the tests of this room: the registered degradations, images, and drawing."""

from __future__ import annotations

from typing import Any

import torch

from unirestorer.core.contracts import Params, Preset, Synthesizer, SynthesizerSpec
from unirestorer.core.testing import clean_images
from unirestorer.plugins.degradations import register_synthesizers

images = clean_images
SPECS: dict[str, SynthesizerSpec[Any]] = {spec.name: spec for spec in register_synthesizers()}
NAMES = sorted(SPECS)


def build(name: str, preset: Preset = "in", **values: Any) -> Synthesizer:
    """A degradation from a preset, with some fields replaced."""
    spec = SPECS[name]
    return spec.build(spec.config.model_validate({**spec.presets[preset].model_dump(), **values}))


def generator(seed: int = 0) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def rows(params: Params, index: int) -> Params:
    """The parameters of one item."""
    return {name: value[index : index + 1] for name, value in params.items()}
