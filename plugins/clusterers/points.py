"""DRs as they are clustered: refused where they cannot be, looked at in chunks, sampled.

A million DRs of width 512 are 2 GB, so they are never copied as a whole. Chunks go over a pool of as many threads as
torch has, each with one thread of the BLAS, and their results are added in order: equal bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from unirestorer.core.errors import ShapeError
from unirestorer.core.hierarchy import CHUNK, nearest, normalised

T = TypeVar("T")
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Points:
    """``dr`` (N, D) float32, of unit length where ``normalize``; ``name`` is that of the clusterer, for errors."""

    name: str
    dr: NDArray[np.float32]
    normalize: bool

    def __len__(self) -> int:
        return len(self.dr)

    def take(self, rows: Rows | slice) -> NDArray[np.float32]:
        """The points ``rows`` (n, D); to be read only."""
        chosen = self.dr[rows]
        return normalised(chosen) if self.normalize else chosen.astype(np.float32, copy=False)

    def chunks(self, work: Callable[[NDArray[np.float32], slice], T], rows: Rows | None = None) -> Iterator[T]:
        """``work`` of the points (all, or ``rows``) a chunk at a time, and of where that chunk lies, in order."""
        count = len(self) if rows is None else len(rows)
        spans = [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]

        def one(span: slice) -> T:
            return work(self.take(span if rows is None else rows[span]), span)

        with threadpool_limits(1):
            if len(spans) < 2:
                yield from map(one, spans)
                return
            with ThreadPoolExecutor(torch.get_num_threads(), initializer=partial(threadpool_limits, 1)) as pool:
                yield from pool.map(one, spans)

    def draw(self, count: int, seed: int, rows: Rows | None = None) -> Rows:
        """``count`` of ``rows`` (None: all row numbers) in their order; all of them where there are no more."""
        among = np.arange(len(self)) if rows is None else rows
        if len(among) <= count:
            return among
        return among[np.sort(np.random.default_rng(seed).choice(len(among), count, replace=False))]

    def nearest(self, centres: NDArray[np.float32], rows: Rows | None = None) -> NDArray[np.int32]:
        """Number of the nearest of ``centres`` (K, D) for each point."""
        found = list(self.chunks(lambda part, _: nearest(part, centres).astype(np.int32), rows))
        return np.concatenate([np.zeros(0, dtype=np.int32), *found])

    def counts(self, labels: NDArray[np.int32], count: int) -> NDArray[np.intp]:
        """Points (count,) of each label (N,); raises ``ShapeError`` where one has none."""
        sizes = np.bincount(labels, minlength=count)
        if not sizes.all():
            raise ShapeError(f"{self.name}: {int((sizes == 0).sum())} of {count} leaves have no samples; ask for fewer")
        return sizes

    def means(self, labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
        """Mean (count, D) of the points of each label (N,); raises ``ShapeError`` where one has no points."""
        sizes = self.counts(labels, count)
        total = np.zeros((count, self.dr.shape[1]))
        for part in self.chunks(lambda part, span: sums(part, labels[span], count)):
            total += part
        return (total / sizes[:, None]).astype(np.float32)


def sums(points: NDArray[np.float32], labels: NDArray[np.integer], count: int) -> NDArray[np.float32]:
    """Sum (count, D) of ``points`` (n, D) of each label (n,)."""
    member = (labels == np.arange(count)[:, None]).astype(np.float32)
    added: NDArray[np.float32] = member @ points
    return added


def checked(name: str, dr: NDArray[np.float32], normalize: bool, leaves: int = 1) -> Points:
    """``dr`` as points. Raises ``ShapeError`` for another shape, nan or inf, or fewer distinct rows than ``leaves``."""
    if dr.ndim != 2 or not len(dr) or not dr.shape[1]:
        raise ShapeError(f"{name}: got DRs of shape {dr.shape}, wanted (samples, width), at least one of each")
    raw = Points(name, dr, normalize=False)
    bad = np.concatenate(list(raw.chunks(lambda part, _: ~np.isfinite(part).all(axis=1))))
    if bad.any():
        raise ShapeError(
            f"{name}: got nan or inf in {int(bad.sum())} DRs, first in row {int(bad.argmax())}; wanted finite values"
        )
    if distinct(dr, leaves) < leaves:
        raise ShapeError(
            f"{name}: got DRs of shape {dr.shape}, wanted at least {leaves} distinct rows for {leaves} leaves"
        )
    return Points(name, dr, normalize)


def distinct(points: NDArray[np.float32], enough: int) -> int:
    """How many different rows there are, counted up to ``enough``."""
    seen: set[bytes] = set()
    for row in points:
        seen.add((row + 0).tobytes())  # -0 is 0
        if len(seen) >= enough:
            break
    return len(seen)
