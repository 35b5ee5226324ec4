"""Shared by the tests of this room: the registered degradations, images, and drawing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unirestorer.core.contracts import Params, Preset, Synthesizer, SynthesizerSpec
from unirestorer.plugins.degradations import register_synthesizers

SPECS: dict[str, SynthesizerSpec[Any]] = {spec.name: spec for spec in register_synthesizers()}
NAMES = sorted(SPECS)


def build(name: str, preset: Preset = "in", **values: Any) -> Synthesizer:
    """A degradation from a preset, with some fields replaced."""
    spec = SPECS[name]
    return spec.build(spec.config.model_validate({**spec.presets[preset].model_dump(), **values}))


def generator(seed: int = 0) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def images(n: int, height: int = 40, width: int = 48, seed: int = 1) -> Tensor:
    """Smooth random images with some texture, (n, 3, H, W) in [0, 1]."""
    draw = generator(seed)
    coarse = torch.rand(n, 3, 5, 5, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    return (0.9 * smooth + 0.1 * torch.rand(n, 3, height, width, generator=draw)).clamp(0, 1)


def rows(params: Params, index: int) -> Params:
    """The parameters of one item."""
    return {name: value[index : index + 1] for name, value in params.items()}
