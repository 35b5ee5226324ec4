"""The method: contracts, hierarchy, routing, training, restoring. Plugins import what they need from here."""

from __future__ import annotations

from .catalogue import Catalogue
from .contracts import (
    Adapter,
    Clusterer,
    ClustererSpec,
    Config,
    ExpertSpec,
    Extractor,
    ExtractorSpec,
    LabelledClusterer,
    Labels,
    Params,
    Prompts,
    Published,
    SizeRequirement,
    StageReport,
    Synthesizer,
    SynthesizerSpec,
)
from .hookspecs import hookimpl

__all__ = [
    "Adapter",
    "Catalogue",
    "Clusterer",
    "ClustererSpec",
    "Config",
    "ExpertSpec",
    "Extractor",
    "ExtractorSpec",
    "LabelledClusterer",
    "Labels",
    "Params",
    "Prompts",
    "Published",
    "SizeRequirement",
    "StageReport",
    "Synthesizer",
    "SynthesizerSpec",
    "hookimpl",
]
