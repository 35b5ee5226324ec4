"""What a model remembers of its training samples: which of them a photo is like, and whether it is like any at all.

The novelty of a photo is the distance of its DR to the tenth nearest of the remembered ones, over the distance that
98 % of the samples of calibration photos, from which nothing but the routers learnt, stay within: 1 is the edge of what
is known. After Sun et al. (2022), "Out-of-distribution detection with deep nearest neighbors". DRs are compared as the
tree compares them: by their direction where it normalises, else standardised.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .contracts import Record
from .errors import RegistryError
from .hierarchy import Hierarchy, normalised
from .photos import CALIBRATION, TRAIN

SIZE = 2000
"""Samples at most that a newly trained model remembers, as many of every leaf as there are."""
NEIGHBOURS = 10
QUANTILE = 0.98
SHOWN = 5
"""Training samples that an estimate names."""
LABELS, PHOTOS, NOVELTY = "memory_labels", "memory_photos", "novelty"
"""Attributes of a routers record; its arrays are ``memory_dr``, ``memory_label`` and ``memory_photo``."""
Label = tuple[str, str]
"""Damage type and degree."""


class Neighbour(NamedTuple):
    """A training sample: the photo it was made of, its damage type and degree, its distance in units of ``novelty``."""

    photo: str
    type: str
    degree: str
    distance: float


class Seen(NamedTuple):
    """n samples that a model saw: DRs (n, D), of each the label, the name of its photo, and the split of that (n,)."""

    dr: NDArray[np.float32]
    labels: Sequence[Label]
    photos: Sequence[str]
    split: NDArray[np.int32]


@dataclass(frozen=True)
class Memory:
    """R remembered samples.

    dr (R, D) float32, as the extractor gives it. label (R,) int32 indexes ``labels``, photo (R,) int32 ``photos``.
    normalize: compared by direction. edge: the distance to the ``neighbours``-th nearest at which what is known ends.
    """

    dr: NDArray[np.float32]
    label: NDArray[np.int32]
    labels: tuple[Label, ...]
    photo: NDArray[np.int32]
    photos: tuple[str, ...]
    normalize: bool
    edge: float = 1.0
    neighbours: int = NEIGHBOURS

    def __len__(self) -> int:
        return len(self.dr)

    @cached_property
    def _scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation (D,)."""
        return self.dr.mean(0), self.dr.std(0) + np.float32(1e-6)

    def _placed(self, dr: NDArray[np.float32]) -> NDArray[np.float64]:
        """DRs (n, D) where they are compared."""
        centre, spread = self._scale
        return (normalised(dr) if self.normalize else (dr - centre) / spread).astype(np.float64)

    @cached_property
    def _points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The remembered DRs (R, D) where they are compared, and their squared lengths (R,)."""
        points = self._placed(self.dr)
        return points, (points**2).sum(1)

    def distances(self, dr: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, R) Euclidean distances of DRs (n, D) to the remembered ones."""
        points, (known, lengths) = self._placed(dr), self._points
        squares = (points**2).sum(1)[:, None] + lengths - 2 * points @ known.T
        result: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0.0))
        return result

    def novelty(self, dr: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) novelty of DRs (n, D); beyond 1 they are unlike anything the model was trained on."""
        return self._reach(dr) / self.edge

    def _reach(self, dr: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) distance to the ``neighbours``-th nearest, or the farthest of fewer."""
        number = min(self.neighbours, len(self)) - 1
        reach: NDArray[np.float64] = np.partition(self.distances(dr), number, axis=1)[:, number]
        return reach

    def nearest(self, dr: NDArray[np.float32], count: int = SHOWN) -> tuple[Neighbour, ...]:
        """The ``count`` samples nearest to a DR (D,), the nearest first."""
        distance = self.distances(dr[None])[0] / self.edge
        rows = np.argsort(distance, kind="stable")[:count]
        found = []
        for row in rows:
            kind, degree = self.labels[self.label[row]]
            found.append(Neighbour(self.photos[self.photo[row]], kind, degree, float(distance[row])))
        return tuple(found)

    def grown(self, seen: Seen, tree: Hierarchy, size: int, seed: int) -> Memory:
        """With ``size`` training samples of ``seen``, which are of something new, spread over the leaves of ``tree``.

        The edge moves outwards where otherwise more than 2 % of the calibration samples of ``seen`` were beyond it.
        """
        added = remembered(seen, tree, size, seed)
        label, labels = _numbered([*_named(self.label, self.labels), *_named(added.label, added.labels)])
        photo, photos = _numbered([*_named(self.photo, self.photos), *_named(added.photo, added.photos)])
        dr = np.concatenate([self.dr, added.dr])
        both = replace(self, dr=dr, label=label, labels=labels, photo=photo, photos=photos)
        return replace(both, edge=max(self.edge, both.edge_of(seen, seed)))

    def without(self, kinds: Collection[str]) -> Memory:
        """Without the samples of the damage types ``kinds``; all of them where nothing else would be left."""
        rows = np.array([self.labels[number][0] not in kinds for number in self.label], dtype=np.bool_)
        if rows.all() or not rows.any():
            return self
        label, labels = _numbered(_named(self.label[rows], self.labels))
        photo, photos = _numbered(_named(self.photo[rows], self.photos))
        return replace(self, dr=self.dr[rows], label=label, labels=labels, photo=photo, photos=photos)

    def edge_of(self, seen: Seen, seed: int) -> float:
        """The reach that 98 % of the calibration samples of ``seen``, at most ``SIZE``, stay within; 0 without any."""
        rows = np.random.default_rng((seed, 5)).permutation(np.flatnonzero(seen.split == CALIBRATION))[:SIZE]
        if not len(rows):
            return 0.0
        return max(float(np.quantile(self._reach(seen.dr[rows]), QUANTILE)), 1e-6)

    def added_to(self, record: Record) -> Record:
        """``record`` of routers with these samples."""
        arrays = {"memory_dr": self.dr, "memory_label": self.label, "memory_photo": self.photo}
        attributes = {
            LABELS: [list(label) for label in self.labels],
            PHOTOS: list(self.photos),
            NOVELTY: {"normalize": self.normalize, "neighbours": self.neighbours, "edge": self.edge},
        }
        return Record({**record.arrays, **arrays}, {**record.attributes, **attributes})


def remembered(seen: Seen, tree: Hierarchy, size: int, seed: int) -> Memory:
    """``size`` training samples of ``seen``, as many of every leaf of ``tree`` as there are; and the edge they make."""
    train = np.flatnonzero(seen.split == TRAIN)
    rows = train[spread_over(tree.assign_dr(seen.dr[train])[:, -1], size, seed)]
    label, labels = _numbered([seen.labels[row] for row in rows])
    photo, photos = _numbered([seen.photos[row] for row in rows])
    memory = Memory(seen.dr[rows].astype(np.float32), label, labels, photo, photos, tree.normalize)
    return replace(memory, edge=memory.edge_of(seen, seed) or 1.0)


def spread_over(group: NDArray[np.integer], size: int, seed: int) -> NDArray[np.intp]:
    """At most ``size`` sorted row numbers, drawn so that every group (n,) has equally many, or all that it has."""
    order = np.random.default_rng((seed, 4)).permutation(len(group))
    rank = np.empty(len(group), dtype=np.intp)
    for name in np.unique(group):
        own = order[group[order] == name]
        rank[own] = np.arange(len(own))
    return np.sort(order[np.argsort(rank[order], kind="stable")][:size])


def recorded(record: Record, where: str) -> Memory | None:
    """The samples in the ``record`` of routers; ``None`` in one that has none. Raises ``RegistryError``."""
    if NOVELTY not in record.attributes:
        return None
    arrays, said = record.arrays, record.attributes
    try:
        about: Mapping[str, Any] = said[NOVELTY]
        labels = tuple((str(kind), str(degree)) for kind, degree in said[LABELS])
        memory = Memory(
            arrays["memory_dr"],
            arrays["memory_label"],
            labels,
            arrays["memory_photo"],
            tuple(map(str, said[PHOTOS])),
            bool(about["normalize"]),
            float(about["edge"]),
            int(about["neighbours"]),
        )
        if memory.dr.shape[1:] != (said["dim"],):
            raise ValueError(f"DRs of shape {memory.dr.shape}, the routers take {said['dim']}")
        inside = _inside(memory.label, labels) and _inside(memory.photo, memory.photos)
        if not (inside and len(memory) and memory.edge > 0 and memory.neighbours > 0 and np.isfinite(memory.dr).all()):
            raise ValueError("a number out of range")
    except (KeyError, TypeError, ValueError) as error:
        text = f"{where}: its training samples are damaged ({error}); train the routers again, or restore a copy"
        raise RegistryError(text) from error
    return memory


def _inside(numbers: NDArray[np.int32], names: Sequence[Any]) -> bool:
    return bool(((numbers >= 0) & (numbers < len(names))).all())


def _named(numbers: NDArray[np.int32], names: Sequence[Any]) -> list[Any]:
    return [names[number] for number in numbers]


def _numbered(items: Sequence[Any]) -> tuple[NDArray[np.int32], tuple[Any, ...]]:
    """Numbers (n,) into the sorted distinct ``items``."""
    names = tuple(sorted(set(items)))
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[item] for item in items], dtype=np.int32), names
