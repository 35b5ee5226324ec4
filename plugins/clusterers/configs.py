"""Configurations of the built-in clusterers; free of torch and scikit-learn, so that plugins can be listed quickly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from unirestorer.core import Config


def _growing(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if sizes[:1] != (1,) or any(coarse > fine for coarse, fine in pairwise(sizes)):
        raise ValueError("sizes must begin with 1 and never shrink, for example [1, 7, 19]")
    return sizes


Sizes = Annotated[tuple[PositiveInt, ...], AfterValidator(_growing)]
"""Nodes per level, the first is 1."""
Sample = Annotated[int, Field(ge=50)]
"""How many DRs a slow method looks at; the others go to the nearest of the leaves that it finds."""
C = TypeVar("C", bound=Config)


def _for_all_leaves(config: C, field: str, sizes: tuple[int, ...]) -> C:
    """``config``, whose ``field`` says how many DRs are looked at together: refused where leaves are more."""
    given = getattr(config, field)
    if given < sizes[-1]:
        raise ValueError(f"{field} {given} must be at least the number of leaves, {sizes[-1]}")
    return config


class DRConfig(Config):
    """``normalize``: DRs are scaled to unit length first. ``seed``: of everything that is drawn."""

    normalize: bool = True
    seed: int = Field(default=0, ge=0, lt=2**32)


class KMeansConfig(DRConfig):
    """Nodes per level, and k-means restarts of which the best is taken."""

    sizes: Sizes = (1, 7, 19)
    restarts: PositiveInt = 10


class MiniBatchConfig(KMeansConfig):
    """``batch``: DRs per step. ``passes``: how often all of them are looked at."""

    batch: PositiveInt = 4096
    passes: PositiveInt = 5

    @model_validator(mode="after")
    def _enough(self) -> MiniBatchConfig:
        return _for_all_leaves(self, "batch", self.sizes)


class AgglomerativeConfig(DRConfig):
    """Nodes per level, how the distance of two clusters is measured, and how many DRs are merged."""

    sizes: Sizes = (1, 7, 19)
    linkage: Literal["ward", "complete", "average", "single"] = "ward"
    sample: Sample = 5000

    @model_validator(mode="after")
    def _enough(self) -> AgglomerativeConfig:
        return _for_all_leaves(self, "sample", self.sizes)


class BisectingConfig(KMeansConfig):
    """``strategy``: which node is divided next, the one of the largest sum of squares or of the most samples."""

    strategy: Literal["biggest_inertia", "largest_cluster"] = "biggest_inertia"
    sample: Sample = 20000

    @model_validator(mode="after")
    def _enough(self) -> BisectingConfig:
        return _for_all_leaves(self, "sample", self.sizes)


class MixtureConfig(KMeansConfig):
    """``covariance`` of the Gaussians: one variance per dimension each, or one full matrix that all share.

    ``floor`` is added to every variance.
    """

    covariance: Literal["diag", "tied"] = "diag"
    floor: PositiveFloat = 1e-6
    sample: Sample = 20000

    @model_validator(mode="after")
    def _enough(self) -> MixtureConfig:
        return _for_all_leaves(self, "sample", self.sizes)


class DensityConfig(DRConfig):
    """HDBSCAN: how many leaves there are is its result; ``coarser`` are the levels above them.

    ``fewest``: samples that make a cluster. ``neighbours``: how many make a dense place, by default ``fewest``.
    ``epsilon``: clusters nearer to each other than this stay one. ``restarts``: of the k-means that joins leaves.
    """

    coarser: Sizes = (1, 7)
    fewest: int = Field(default=10, ge=2)
    neighbours: PositiveInt | None = None
    epsilon: NonNegativeFloat = 0.0
    restarts: PositiveInt = 10
    sample: Sample = 5000


class ManualConfig(DRConfig):
    """``groups``: a level between the root and the types, for example ``{weather: [rain, snow, haze]}``."""

    groups: Mapping[str, tuple[str, ...]] = {}

    @field_validator("groups")
    @classmethod
    def _disjoint(cls, groups: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        named = Counter(kind for group in groups.values() for kind in group)
        often = [kind for kind, times in named.items() if times > 1]
        if often:
            raise ValueError(f"a type belongs to one group, once; {often[0]} is there more often")
        empty = [name for name, kinds in groups.items() if not kinds]
        if empty:
            raise ValueError(f"the group {empty[0]} is empty")
        return groups


class AutoConfig(DRConfig):
    """``most``: the largest number of nodes that is tried at each level; the first is 1.

    ``criterion``: the largest mean silhouette, or the first large gap to evenly spread DRs, with ``references`` sets of
    these. ``method``: the clusterer that the numbers are for. ``sample``: how many DRs are looked at to choose.
    """

    most: Sizes = (1, 12, 30)
    criterion: Literal["silhouette", "gap"] = "silhouette"
    method: Literal["kmeans-topdown", "kmeans"] = "kmeans-topdown"
    restarts: PositiveInt = 10
    references: int = Field(default=10, ge=2)
    sample: Sample = 2000
