"""The stages of the pipeline, one file each, in order, with the recipe sections each depends on."""

from __future__ import annotations

from ..run import ExtractorStage, Stage
from .cluster import cluster
from .costs import costs
from .evaluate import evaluate
from .experts import experts
from .extract import extract
from .extractor import extractor
from .routers import routers
from .synthesize import synthesize

EXTRACTOR_STAGES: tuple[tuple[str, tuple[str, ...], ExtractorStage], ...] = (
    ("synthesize", ("synthesize",), synthesize),
    ("extractor", ("extractor",), extractor),
    ("extract", (), extract),
)
STAGES: tuple[tuple[str, tuple[str, ...], Stage], ...] = (
    *EXTRACTOR_STAGES,
    ("cluster", ("cluster",), cluster),
    ("experts", ("experts",), experts),
    ("costs", ("costs",), costs),
    ("routers", ("routers",), routers),
    ("evaluate", (), evaluate),
)
