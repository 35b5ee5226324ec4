"""Built-in DR extractors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unirestorer.core import ExtractorSpec, Prompts, hookimpl

from .classic_specs import classic_extractors
from .clip_specs import clip_extractors
from .configs import CompactConfig

if TYPE_CHECKING:
    from torch import nn

    from .compact import CompactExtractor


def _compact(config: CompactConfig) -> CompactExtractor:
    from .compact import CompactExtractor

    return CompactExtractor(config)


def _contrast(extractor: Any, prompts: Prompts) -> nn.Module:
    from .compact import PromptContrast

    return PromptContrast(extractor, prompts)


@hookimpl
def register_extractors() -> Sequence[ExtractorSpec[Any]]:
    """The compact extractor, those that the paper compares, and those made of CLIP."""
    summary = "small convolutional network, contrastive on type and degree, native-resolution centre crop"
    compact = ExtractorSpec("compact", summary, CompactConfig, _compact, _contrast, lambda config: config.crop)
    return [compact, *classic_extractors(), *clip_extractors()]
