"""DR sets: which photo, crop and damage with which parameters, or which given pair. Recipes, not pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .catalogue import Catalogue, validate_config
from .contracts import Labels, Prompts, Record, Synthesizer
from .pairs import Given, Look, Source
from .photos import Photos


@dataclass(frozen=True)
class SampleSet:
    """N recorded samples.

    image (N,), crop (N, 2) top left y and x, synthesizer (N,) index into ``synthesizers``, prompt (N,) index into
    ``prompts.pairs``, split (N,) of the photo (TRAIN, CALIBRATION, HELDOUT): int32. ``params[name]`` holds the
    parameters of that synthesizer's samples, in order. ``synthesizers`` is a list of (name, configuration). ``dr``
    (N, D) float32 once extracted, with the extractor's name.

    Samples that are crops of given pairs: ``synthesizer`` is ``len(synthesizers)`` and up, and goes on in ``sources``,
    a list of (damage type, where the pairs come from). ``pair`` (N,) int32 indexes ``pairs``, (name, sha256) of
    damaged files, and is -1 for other samples; the truth is the sample's ``image``.
    """

    image: NDArray[np.int32]
    crop: NDArray[np.int32]
    side: int
    synthesizer: NDArray[np.int32]
    prompt: NDArray[np.int32]
    split: NDArray[np.int32]
    prompts: Prompts
    synthesizers: tuple[tuple[str, Mapping[str, Any]], ...]
    params: Mapping[str, Mapping[str, NDArray[Any]]]
    images: tuple[str, ...]
    hashes: tuple[str, ...]
    seed: int
    dr: NDArray[np.float32] | None = None
    extractor: str | None = None
    sources: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    pair: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, split: int) -> NDArray[np.intp]:
        """Row numbers of the samples of a split."""
        return np.flatnonzero(self.split == split)

    def take(self, rows: NDArray[np.integer]) -> SampleSet:
        """The samples ``rows`` (n,), in that order."""
        params: dict[str, dict[str, NDArray[Any]]] = {}
        for number, (name, _) in enumerate(self.synthesizers):
            place = np.cumsum(self.synthesizer == number) - 1  # of each sample among those of its synthesizer
            own = place[rows[self.synthesizer[rows] == number]]
            params[name] = {key: value[own] for key, value in self.params.get(name, {}).items()}
        fields = {key: getattr(self, key)[rows] for key in ("image", "crop", "synthesizer", "prompt", "split")}
        fields |= {key: value[rows] for key in ("dr", "pair") if (value := getattr(self, key)) is not None}
        return replace(self, **fields, params=params)

    @property
    def photos(self) -> int:
        """How many ``images`` of a set as it was drawn are clean photos; the others are truths of given pairs."""
        truths = self.image[self.given]
        return int(truths.min()) if len(truths) else len(self.images)

    @property
    def given(self) -> NDArray[np.intp]:
        """Row numbers of the samples that are crops of given pairs."""
        return np.flatnonzero(self.synthesizer >= len(self.synthesizers))

    def labels(self, rows: NDArray[np.integer]) -> Labels:
        """The true labels of the samples ``rows`` (n,)."""
        return Labels(self.prompt[rows], self.prompts)

    @property
    def type_labels(self) -> NDArray[np.int32]:
        """(N,) index into ``prompts.types``."""
        return np.array(self.prompts.type_of, dtype=np.int32)[self.prompt]

    def to_record(self) -> Record:
        """The form in which a registry keeps it."""
        arrays: dict[str, NDArray[Any]] = {
            "image": self.image,
            "crop": self.crop,
            "synthesizer": self.synthesizer,
            "prompt": self.prompt,
            "split": self.split,
        }
        for name in ("dr", "pair"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        for name, fields in self.params.items():
            arrays.update({f"params/{name}/{key}": value for key, value in fields.items()})
        attributes: dict[str, Any] = {
            "side": self.side,
            "images": [{"name": n, "sha256": h} for n, h in zip(self.images, self.hashes, strict=True)],
            "synthesizers": [{"name": n, "config": dict(c)} for n, c in self.synthesizers],
            "prompts": [list(pair) for pair in self.prompts.pairs],
            "types": list(self.prompts.types),
            "extractor": self.extractor,
            "seed": self.seed,
        }
        if self.sources:
            attributes["sources"] = [{"type": n, "config": dict(c)} for n, c in self.sources]
            attributes["pairs"] = [{"name": n, "sha256": h} for n, h in self.pairs]
        return Record(arrays, attributes)

    @classmethod
    def from_record(cls, record: Record) -> SampleSet:
        """The inverse of ``to_record``."""
        arrays, attributes = record.arrays, record.attributes
        params: dict[str, dict[str, NDArray[Any]]] = {}
        for key, value in arrays.items():
            if key.startswith("params/"):
                _, name, parameter = key.split("/", 2)
                params.setdefault(name, {})[parameter] = value
        return cls(
            image=arrays["image"],
            crop=arrays["crop"],
            side=attributes["side"],
            synthesizer=arrays["synthesizer"],
            prompt=arrays["prompt"],
            split=arrays["split"],
            prompts=Prompts(tuple(attributes["types"]), tuple((t, d) for t, d in attributes["prompts"])),
            synthesizers=tuple((item["name"], item["config"]) for item in attributes["synthesizers"]),
            params=params,
            images=tuple(item["name"] for item in attributes["images"]),
            hashes=tuple(item["sha256"] for item in attributes["images"]),
            seed=attributes["seed"],
            dr=arrays.get("dr"),
            extractor=attributes["extractor"],
            sources=tuple((item["type"], item["config"]) for item in attributes.get("sources", ())),
            pairs=tuple((item["name"], item["sha256"]) for item in attributes.get("pairs", ())),
            pair=arrays.get("pair"),
        )


def build_synthesizer(catalogue: Catalogue, name: str, config: Mapping[str, Any]) -> Synthesizer:
    """The synthesizer of a recorded (name, configuration)."""
    spec = catalogue.synthesizer(name)
    synthesizer: Synthesizer = spec.build(validate_config(spec.config, config, f"degradation {name}"))
    return synthesizer


def draw(
    catalogue: Catalogue,
    choices: Sequence[tuple[str, Mapping[str, Any], float]],
    photos: Photos,
    photo_split: NDArray[np.int32],
    count: int,
    side: int,
    seed: int,
    given: Given | None = None,
) -> SampleSet:
    """Draw ``count`` samples: damages by weight, photos and pairs in turn. Equal arguments, equal samples.

    ``choices`` is a list of (degradation, configuration, weight); the sources of ``given`` come after these.
    """
    rng = np.random.default_rng(seed)
    sources = () if given is None else given.sources
    weights = np.array([*(weight for _, _, weight in choices), *(source.weight for source in sources)])
    bounds = np.round(np.cumsum(weights / weights.sum()) * count).astype(int)
    synthesizer = np.searchsorted(bounds, np.arange(count), side="right").astype(np.int32)
    made = int((synthesizer < len(choices)).sum())
    image = _in_turn(len(photos.pixels), made, rng)
    rng.shuffle(image)
    crop = np.array([_corner(photos.pixels[i].shape, side, rng) for i in image], dtype=np.int32).reshape(-1, 2)
    params: dict[str, dict[str, NDArray[Any]]] = {}
    labels: list[tuple[str, str]] = []
    for number, (name, config, _) in enumerate(choices):
        n = int((synthesizer == number).sum())
        built = build_synthesizer(catalogue, name, config)
        drawn = built.sample(n, torch.Generator().manual_seed(int(rng.integers(2**62))))
        params[name] = {key: value.numpy() for key, value in drawn.items()}
        labels += [(name, degree) for degree in built.degree(drawn)]
    types = tuple(dict.fromkeys([*(name for name, _, _ in choices), *(source.kind for source in sources)]))
    drawing = _Drawing(len(photos.names), side)
    for number, source in enumerate(sources, start=len(choices)):
        labels += drawing.add(source, int((synthesizer == number).sum()), rng)
    pairs = tuple(dict.fromkeys(sorted(set(labels), key=lambda pair: (types.index(pair[0]), pair[1]))))
    truth_split = [given.split[path] for _, path in drawing.truths.numbers] if given else []
    split = np.array([*photo_split, *truth_split], dtype=np.int32)
    image = np.concatenate([image, np.array(drawing.image, dtype=np.int32)])
    return SampleSet(
        image=image,
        crop=np.concatenate([crop, np.array(drawing.crop, dtype=np.int32).reshape(-1, 2)]),
        side=side,
        synthesizer=synthesizer,
        prompt=np.array([pairs.index(label) for label in labels], dtype=np.int32),
        split=split[image],
        prompts=Prompts(types, pairs),
        synthesizers=tuple((name, dict(config)) for name, config, _ in choices),
        params=params,
        images=(*photos.names, *(name for name, _ in drawing.truths.files)),
        hashes=(*photos.hashes, *(sha256 for _, sha256 in drawing.truths.files)),
        seed=seed,
        sources=tuple((source.kind, dict(source.config)) for source in sources),
        pairs=tuple(drawing.damaged.files),
        pair=np.array([-1] * made + drawing.pair, dtype=np.int32) if sources else None,
    )


class _Listed:
    """Files in the order in which they were drawn first, with the name and sha256 that are recorded of them."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[Path, Path], int] = {}
        self.files: list[tuple[str, str]] = []

    def number(self, source: Source, path: Path, sha256: str) -> int:
        """The place of the file in the list, which it is added to if it is new."""
        key = (source.data.root, path)
        if key not in self.numbers:
            self.numbers[key] = len(self.files)
            self.files.append((source.name(path), sha256))
        return self.numbers[key]


class _Drawing:
    """Drawn crops of given pairs, in order; the images of their truths are numbered from ``photos`` on."""

    def __init__(self, photos: int, side: int) -> None:
        self.photos, self.side = photos, side
        self.image: list[int] = []
        self.pair: list[int] = []
        self.crop: list[tuple[int, int]] = []
        self.truths, self.damaged = _Listed(), _Listed()

    def add(self, source: Source, count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Draw ``count`` crops; returns their labels."""
        looks: dict[int, Look] = {}
        labels = []
        for number in map(int, _in_turn(len(source.pairs), count, rng)):
            pair = source.pairs[number]
            if number not in looks:
                looks[number] = source.look(pair, self.side)
            look = looks[number]
            self.image.append(self.photos + self.truths.number(source, pair.gt, look.gt))
            self.pair.append(self.damaged.number(source, pair.lq, look.lq))
            self.crop.append(_corner(look.size, self.side, rng))
            labels.append((source.kind, str(pair.degree)))
        return labels


def _in_turn(total: int, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """``count`` numbers below ``total``, none a second time before all were drawn once."""
    if not count:
        return np.zeros(0, dtype=np.int32)
    return np.concatenate([rng.permutation(total) for _ in range(count // total + 1)])[:count].astype(np.int32)


def _corner(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(shape[0] - side + 1)), int(rng.integers(shape[1] - side + 1))
