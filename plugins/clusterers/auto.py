"""``auto``: how many nodes a level gets is chosen by a criterion, level by level, and then k-means makes them.

``kmeans-topdown`` chooses from the coarsest level to the finest: from one more than the level before to the most of
this one. ``kmeans`` chooses from the finest to the coarsest: from one more than the most of the level before to the
most of this one. ``criteria`` says what is best. The numbers are chosen on at most ``sample`` DRs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from unirestorer.core.hierarchy import Hierarchy

from .configs import AutoConfig, KMeansConfig
from .criteria import Family, Labelling, choose
from .kmeans import BottomUpKMeans, Clusters, best_of, gathered
from .points import checked, distinct
from .topdown import TopDownKMeans, divisions


class Auto:
    """Scikit-learn style clusterer; ``hierarchy_`` and ``notes_`` after ``fit``."""

    hierarchy_: Hierarchy
    notes_: tuple[str, ...] = ()

    def __init__(self, config: AutoConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> Auto:
        """Cluster ``dr`` (N, D) float32; raises ``ShapeError`` where all are equal, for nan or inf."""
        config = self.config
        points = checked("auto", dr, config.normalize, 2)
        sample = points.take(points.draw(config.sample, config.seed))
        top_down = config.method == "kmeans-topdown"
        with threadpool_limits(1):  # equal figures for any number of threads
            sizes, notes = self._top_down(sample) if top_down else self._bottom_up(sample)
        settings = KMeansConfig(sizes=sizes, **config.model_dump(include={"normalize", "seed", "restarts"}))
        model = (TopDownKMeans if top_down else BottomUpKMeans)(settings)
        self.hierarchy_ = model.fit(dr).hierarchy_
        few = f"; chosen on {len(sample)} of {len(points)} DRs" if len(sample) < len(points) else ""
        self.notes_ = tuple(f"{note}{few}" for note in notes)
        return self

    def _top_down(self, sample: NDArray[np.float32]) -> tuple[tuple[int, ...], list[str]]:
        """Sizes, coarsest first, and a note for every level."""
        sizes, notes = [1], list[str]()
        labels: NDArray[np.integer] = np.zeros(len(sample), dtype=np.intp)
        for level, most in enumerate(self.config.most[1:], start=1):
            groups = [np.flatnonzero(labels == node) for node in range(sizes[-1])]
            choice = choose(self.config, sample, self._below(groups, most), groups)
            notes.append(choice.note(level))
            if choice.divided:
                sizes.append(choice.nodes)
                labels = choice.labels
        return tuple(sizes), notes

    def _bottom_up(self, sample: NDArray[np.float32]) -> tuple[tuple[int, ...], list[str]]:
        sizes, notes = list[int](), list[str]()
        most = self.config.most
        for level in reversed(range(1, len(most))):
            family = self._above(sizes, most[level - 1], min([most[level], *(size - 1 for size in sizes)]))
            choice = choose(self.config, sample, family, [np.arange(len(sample))])
            notes.insert(0, choice.note(level))
            if choice.divided:
                sizes.insert(0, choice.nodes)
        return (1, *sizes), notes

    def _below(self, groups: Sequence[NDArray[np.intp]], most: int) -> Family:
        """Labellings of the points whose rows are ``groups`` in ever more parts of these, ``most`` in all."""

        def family(points: NDArray[np.float32]) -> Iterator[Labelling]:
            samples = [points[rows] for rows in groups]

            def split(group: int, count: int) -> Clusters:
                return best_of(samples[group], count, self.config.restarts, self.config.seed)

            for parts in divisions(samples, split, most):
                labels, count = np.empty(len(points), dtype=np.intp), 0
                for rows, found in zip(groups, parts, strict=True):
                    labels[rows] = found.labels + count
                    count += len(found.centres)
                yield count, labels

        return family

    def _above(self, sizes: Sequence[int], least: int, most: int) -> Family:
        """Labellings in ``least`` to ``most`` clusters: of the points or, if any, of the levels ``sizes``."""
        restarts, seed = self.config.restarts, self.config.seed

        def family(points: NDArray[np.float32]) -> Iterator[Labelling]:
            room = distinct(points, most)
            if room <= least:
                yield least, np.zeros(len(points), dtype=np.intp)
                return
            below = best_of(points, sizes[-1], restarts, seed) if sizes else None
            for count in range(least, room + 1):
                yield count, merged(below, count) if below else best_of(points, count, restarts, seed).labels

        def merged(below: Clusters, count: int) -> NDArray[np.integer]:
            labels: NDArray[np.integer] = below.labels
            weights = np.bincount(labels, minlength=sizes[-1])
            for up in reversed(gathered(below.centres, weights, [count, *sizes], restarts, seed)[1]):
                labels = up[labels]
            return labels

        return family
