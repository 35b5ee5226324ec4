"""Configurations of the built-in clusterers; free of torch and scikit-learn, so that plugins can be listed quickly."""

from __future__ import annotations

from itertools import pairwise

from pydantic import PositiveInt, field_validator

from unirestorer.core import Config


class KMeansConfig(Config):
    """Nodes per level (the first is always 1), k-means restarts and seed."""

    sizes: tuple[PositiveInt, ...] = (1, 7, 19)
    normalize: bool = True
    restarts: PositiveInt = 10
    seed: int = 0

    @field_validator("sizes")
    @classmethod
    def _grows(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes[:1] != (1,) or any(coarse > fine for coarse, fine in pairwise(sizes)):
            raise ValueError("sizes must begin with 1 and never shrink, for example [1, 7, 19]")
        return sizes
