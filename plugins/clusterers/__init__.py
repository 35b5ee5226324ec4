"""Built-in clustering strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unirestorer.core import ClustererSpec, hookimpl

from .configs import KMeansConfig

if TYPE_CHECKING:
    from .kmeans import TopDownKMeans


def _kmeans(config: KMeansConfig) -> TopDownKMeans:
    from .kmeans import TopDownKMeans

    return TopDownKMeans(config)


@hookimpl
def register_clusterers() -> Sequence[ClustererSpec[Any]]:
    """Top-down k-means."""
    return [ClustererSpec("kmeans", "k-means at every level, top down, nested by construction", KMeansConfig, _kmeans)]
