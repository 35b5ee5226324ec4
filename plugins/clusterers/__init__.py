"""Built-in clustering strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unirestorer.core import ClustererSpec, hookimpl

from .configs import (
    AgglomerativeConfig,
    AutoConfig,
    BisectingConfig,
    DensityConfig,
    KMeansConfig,
    ManualConfig,
    MiniBatchConfig,
    MixtureConfig,
)

if TYPE_CHECKING:
    from .agglomerative import Agglomerative
    from .auto import Auto
    from .bisecting import Bisecting
    from .density import Density
    from .kmeans import BottomUpKMeans
    from .manual import Manual
    from .minibatch import MiniBatch
    from .mixture import Mixture
    from .topdown import TopDownKMeans


def _kmeans(config: KMeansConfig) -> BottomUpKMeans:
    from .kmeans import BottomUpKMeans

    return BottomUpKMeans(config)


def _topdown(config: KMeansConfig) -> TopDownKMeans:
    from .topdown import TopDownKMeans

    return TopDownKMeans(config)


def _minibatch(config: MiniBatchConfig) -> MiniBatch:
    from .minibatch import MiniBatch

    return MiniBatch(config)


def _agglomerative(config: AgglomerativeConfig) -> Agglomerative:
    from .agglomerative import Agglomerative

    return Agglomerative(config)


def _bisecting(config: BisectingConfig) -> Bisecting:
    from .bisecting import Bisecting

    return Bisecting(config)


def _mixture(config: MixtureConfig) -> Mixture:
    from .mixture import Mixture

    return Mixture(config)


def _density(config: DensityConfig) -> Density:
    from .density import Density

    return Density(config)


def _manual(config: ManualConfig) -> Manual:
    from .manual import Manual

    return Manual(config)


def _auto(config: AutoConfig) -> Auto:
    from .auto import Auto

    return Auto(config)


_TRIAL = AutoConfig(most=(1, 6, 12), restarts=2)


@hookimpl
def register_clusterers() -> Sequence[ClustererSpec[Any]]:
    """The two of the paper, and what they are compared with."""
    return [
        ClustererSpec("kmeans", "k-means, the finest level first, coarser ones of its centres", KMeansConfig, _kmeans),
        ClustererSpec("kmeans-topdown", "k-means inside every node, the coarsest level first", KMeansConfig, _topdown),
        ClustererSpec("minibatch-kmeans", "as kmeans, on small random batches", MiniBatchConfig, _minibatch),
        ClustererSpec("agglomerative", "samples merged pair by pair (Ward)", AgglomerativeConfig, _agglomerative),
        ClustererSpec("bisecting", "k-means that divides one node in two at a time", BisectingConfig, _bisecting),
        ClustererSpec("gmm", "a mixture of Gaussians, its components merged", MixtureConfig, _mixture),
        ClustererSpec("hdbscan", "dense places; finds out how many leaves there are", DensityConfig, _density),
        ClustererSpec("manual", "the data set's labels: types, degrees, groups", ManualConfig, _manual, True),
        ClustererSpec("auto", "k-means; chooses how many nodes by silhouette or gap", AutoConfig, _auto, trial=_TRIAL),
    ]
