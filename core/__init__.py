"""The method: contracts, hierarchy, routing, training, restoring. Plugins import what they need from here."""

from __future__ import annotations

from .catalogue import Catalogue
from .contracts import (
    Clusterer,
    ClustererSpec,
    Config,
    ExpertSpec,
    Extractor,
    ExtractorSpec,
    Params,
    Prompts,
    SizeRequirement,
    StageReport,
    Synthesizer,
    SynthesizerSpec,
)
from .hookspecs import hookimpl

__all__ = [
    "Catalogue",
    "Clusterer",
    "ClustererSpec",
    "Config",
    "ExpertSpec",
    "Extractor",
    "ExtractorSpec",
    "Params",
    "Prompts",
    "SizeRequirement",
    "StageReport",
    "Synthesizer",
    "SynthesizerSpec",
    "hookimpl",
]
