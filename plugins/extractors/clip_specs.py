"""Registration of ``daclip`` and ``finegrained``; free of torch and open_clip, which take seconds to import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unirestorer.core import ExtractorSpec, Prompts

from .configs import DaClipConfig, FineGrainedConfig, TowerConfig

if TYPE_CHECKING:
    from torch import nn

SMALL = TowerConfig(
    embed_dim=32,
    vision_cfg={"image_size": 32, "patch_size": 8, "width": 64, "head_width": 32, "layers": 2},
    text_cfg={"width": 32, "heads": 2, "layers": 1},
)
"""A CLIP for checks: no published one is built for them."""


def _daclip(config: DaClipConfig) -> nn.Module:
    from .daclip import DaClip

    return DaClip(config)


def _finegrained(config: FineGrainedConfig) -> nn.Module:
    from .finegrained import FineGrained

    return FineGrained(config)


def _daclip_objective(extractor: Any, prompts: Prompts) -> nn.Module:
    from .daclip_losses import DaClipObjective

    return DaClipObjective(extractor, prompts)


def _finegrained_objective(extractor: Any, prompts: Prompts) -> nn.Module:
    from .daclip_losses import FineGrainedObjective

    return FineGrainedObjective(extractor, prompts)


def _side(config: FineGrainedConfig) -> int:
    from .towers import side_of

    return side_of(config.tower)


def _pretrained(extractor: Any, config: DaClipConfig) -> None:
    from .daclip_weights import load_pretrained

    load_pretrained(extractor, config)


def _files(config: DaClipConfig) -> Sequence[Path]:
    from .daclip_weights import files

    return files(config)


def clip_extractors() -> list[ExtractorSpec[Any]]:
    """DA-CLIP as published, and the paper's for type and degree."""
    return [
        ExtractorSpec(
            "daclip",
            "DA-CLIP: CLIP's vision tower as a controller, contrastive on types, image resized",
            DaClipConfig,
            _daclip,
            _daclip_objective,
            inputs=("images", "prompt", "photo"),
            pretrained=_pretrained,
            files=_files,
            trial=DaClipConfig(tower=SMALL),
        ),
        ExtractorSpec(
            "finegrained",
            "the paper's: DA-CLIP contrastive on type and degree, multi-positive, native-resolution centre crop",
            FineGrainedConfig,
            _finegrained,
            _finegrained_objective,
            _side,
            inputs=("images", "prompt", "photo"),
            pretrained=_pretrained,
            files=_files,
            trial=FineGrainedConfig(tower=SMALL),
        ),
    ]
