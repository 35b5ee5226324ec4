"""Given pairs to train on: the recipe's data sets opened, their truths split, and their pixels read crop by crop.

Nothing is kept in memory but paths. A drawn file is recorded with its sha256, and read again only if that is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .datasets import OWN, Dataset, Pair, Side, find, open_below, open_dataset
from .errors import ConfigError, DataError
from .files import digest
from .photos import TRAIN, Photos, at_least, enlarged, load_photos, split_photos
from .recipe import ExtractorRecipe, PairsChoice, Recipe, SynthesizeConfig, fingerprint


class Look(NamedTuple):
    """sha256 of the damaged file and of its truth, and the (height, width) of both."""

    lq: str
    gt: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """An entry of ``synthesize.pairs``: its damage type, what a record says of it, its share, and its pairs.

    The degree of every pair is set. ``label``: what records call the data set, of one's own the name of its folder.
    """

    kind: str
    config: Mapping[str, Any]
    weight: float
    data: Dataset
    pairs: tuple[Pair, ...]
    label: str

    def name(self, path: Path) -> str:
        """What a record calls the file: data set and path below its root."""
        return f"{self.label}/{path.relative_to(self.data.root).as_posix()}"

    def path(self, name: str) -> Path:
        """The file that a record calls ``name``."""
        return self.data.root / name.partition("/")[2]

    def look(self, pair: Pair, side: int) -> Look:
        """Hashes, and the size after enlarging to at least ``side``; raises ``DataError`` for unequal sizes."""
        return Look(digest(pair.lq), digest(pair.gt), enlarged(*self.data.size(pair), side))

    def pixels(self, names: tuple[str, str], hashes: tuple[str, str], which: Side, side: int) -> NDArray[np.uint8]:
        """A recorded damaged image or truth, (H, W, 3) uint8, at least ``side`` pixels a side.

        ``names``, ``hashes``: of both files. Raises ``DataError`` where the one that is read is gone or has changed.
        """
        paths = [self.path(name) for name in names]
        number = ("lq", "gt").index(which)
        for path in paths:
            if not path.is_file():
                raise DataError(f"{path}: is gone, and recorded samples are made of it; put it back")
        if digest(paths[number]) != hashes[number]:
            raise DataError(
                f"{paths[number]}: is not the file that samples were drawn from; put that back, or train anew"
            )
        return at_least(self.data.read(Pair(paths[0], paths[1], None), which), side)


@dataclass(frozen=True)
class Given:
    """All pairs of a recipe; ``split``: which part of the data each truth belongs to, with all its damaged images."""

    sources: tuple[Source, ...] = ()
    split: Mapping[Path, int] = field(default_factory=dict)

    @cached_property
    def stamp(self) -> str:
        """Changes with the pairs of every source: names and sizes of their files."""

        @cache
        def size(path: Path) -> int:
            return path.stat().st_size

        listed = [
            [(s.name(p.lq), size(p.lq), s.name(p.gt), size(p.gt), p.degree) for p in s.pairs] for s in self.sources
        ]
        return fingerprint([(s.kind, dict(s.config)) for s in self.sources], listed)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for everything that is odd but usable, such as another number of pairs than published."""
        opened = [(source.data, note) for source in self.sources for note in source.data.notes]
        return tuple(dict.fromkeys(f"{d.root}: {d.about.name} {d.split.name}: {note}" for d, note in opened))

    def of(self, kinds: Collection[str]) -> Given:
        """The pairs of these damage types alone."""
        return replace(self, sources=tuple(source for source in self.sources if source.kind in kinds))

    def shared(self, shares: Mapping[str, float]) -> Given:
        """The pairs of the damage types in ``shares``, which say what weight all sources of a type have together."""
        total = {kind: sum(source.weight for source in self.of([kind]).sources) for kind in shares}
        weighted = [
            replace(source, weight=shares[source.kind] * source.weight / total[source.kind])
            for source in self.of(shares).sources
        ]
        return replace(self, sources=tuple(weighted))

    def names(self) -> set[str]:
        """What records call the files."""
        return {source.name(path) for source in self.sources for pair in source.pairs for path in (pair.lq, pair.gt)}

    def find(self, kind: str, config: Mapping[str, Any]) -> Source:
        """The source of a record; raises ``DataError`` where it was not opened."""
        for source in self.sources:
            if (source.kind, dict(source.config)) == (kind, dict(config)):
                return source
        raise DataError(
            f"samples of '{kind}' were drawn from pairs of {config.get('dataset')} {config.get('split')}, which are "
            f"not given here; name the folder of data sets: --datasets DIR"
        )


def open_data(recipe: ExtractorRecipe, data: Path | None, datasets: Path | None) -> tuple[Photos, Given]:
    """What a recipe trains on: clean photos in the folder ``data``, and pairs in the folder ``datasets``.

    Raises ``ConfigError`` where it damages photos and has none, and what ``load_photos`` and ``open_pairs`` raise.
    """
    damaged = [*recipe.synthesize.degradations]
    damaged += [choice.degradation for choice in recipe.costs.extra] if isinstance(recipe, Recipe) else []
    if data is None and damaged:
        raise ConfigError(f"--data: missing, and the recipe damages clean photos ({', '.join(damaged)}); name a folder")
    photos = Photos((), (), ()) if data is None else load_photos(data, recipe.synthesize.crop)
    return photos, open_pairs(recipe.synthesize, recipe.seed, datasets)


def open_pairs(plan: SynthesizeConfig, seed: int, datasets: Path | None) -> Given:
    """The data sets of a recipe, in ``datasets`` where they name no folder of their own; reads names, no pixels.

    Raises ``DataError`` for the first that is missing or does not pair, ``ConfigError`` where no folder is known.
    """
    sources = tuple(
        _open(kind, choice, f"synthesize.pairs.{kind}.{number}", datasets)
        for kind, choices in plan.pairs.items()
        for number, choice in enumerate(choices)
    )
    for number, source in enumerate(sources):
        for other in sources[:number]:
            if (other.kind, other.config) == (source.kind, source.config) and other.data.root != source.data.root:
                raise ConfigError(
                    f"synthesize.pairs.{source.kind}: {other.data.root} and {source.data.root} would be recorded "
                    "alike; rename one folder, or give another `degree`"
                )
    return Given(sources, split_truths(sources, plan.calibration, plan.heldout, seed))


def _open(kind: str, choice: PairsChoice, where: str, datasets: Path | None) -> Source:
    about = find(choice.dataset)
    if choice.root is not None:
        root = choice.root if datasets is None else datasets / choice.root
        data = open_dataset(about.name, root, choice.split)
    elif datasets is not None:
        data = open_below(datasets, about.name, choice.split)
    else:
        raise ConfigError(f"{where}: no folder of {about.name}; name the folder of data sets: --datasets DIR")
    label = data.root.name if about is OWN else about.name
    pairs = [pair._replace(degree=choice.degree or pair.degree or label.lower()) for pair in data.pairs]
    kept = [pair for pair, was in zip(pairs, data.pairs, strict=True) if not choice.only or was.degree in choice.only]
    if not kept:
        degrees = sorted({pair.degree or "" for pair in data.pairs} - {""})
        raise ConfigError(f"{where}.only: no pair is {' or '.join(choice.only)}; known: {', '.join(degrees) or 'none'}")
    config = choice.model_dump(mode="json", include={"split", "degree", "only"})
    return Source(kind, {"dataset": about.name, "label": label, **config}, choice.weight, data, tuple(kept), label)


def split_truths(sources: Sequence[Source], calibration: float, heldout: float, seed: int) -> dict[Path, int]:
    """Split of each truth: drawn at random source by source, and the same for files of equal content.

    So the damaged images of one scene never train one part of a model and measure another.
    """
    first = _equal_files(sorted({pair.gt for source in sources for pair in source.pairs}))
    split: dict[Path, int] = {}
    for source in sources:
        truths = dict.fromkeys(first[pair.gt] for pair in source.pairs)
        if len(truths) < 4:
            raise DataError(
                f"{source.data.root}: {len(truths)} truths of {source.kind} pairs; wanted at least 4 to split"
            )
        fresh = [path for path in truths if path not in split]
        parts = split_photos(len(fresh), calibration, heldout, seed) if len(fresh) >= 4 else [TRAIN] * len(fresh)
        split.update(zip(fresh, map(int, parts), strict=True))
    return {path: split[same] for path, same in first.items()}


def _equal_files(paths: Sequence[Path]) -> dict[Path, Path]:
    """Of every file the first one of equal content; only files of equal size are read."""
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size, []).append(path)
    first: dict[Path, Path] = {}
    for group in by_size.values():
        seen: dict[str, Path] = {}
        for path in group:
            first[path] = seen.setdefault(digest(path), path) if len(group) > 1 else path
    return first
