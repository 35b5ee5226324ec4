"""DR sets: which photo, crop and damage with which parameters. Recipes, not pixels; those are made on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .catalogue import Catalogue, validate_config
from .contracts import Prompts, Record, Synthesizer
from .photos import Photos


@dataclass(frozen=True)
class SampleSet:
    """N recorded samples.

    image (N,), crop (N, 2) top left y and x, synthesizer (N,) index into ``synthesizers``, prompt (N,) index into
    ``prompts.pairs``, split (N,) of the photo (TRAIN, CALIBRATION, HELDOUT): int32. ``params[name]`` holds the
    parameters of that synthesizer's samples, in order. ``synthesizers`` is a list of (name, configuration). ``dr``
    (N, D) float32 once extracted, with the extractor's name.
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
        return replace(self, **fields, params=params, dr=None if self.dr is None else self.dr[rows])

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
        if self.dr is not None:
            arrays["dr"] = self.dr
        for name, fields in self.params.items():
            arrays.update({f"params/{name}/{key}": value for key, value in fields.items()})
        attributes = {
            "side": self.side,
            "images": [{"name": n, "sha256": h} for n, h in zip(self.images, self.hashes, strict=True)],
            "synthesizers": [{"name": n, "config": dict(c)} for n, c in self.synthesizers],
            "prompts": [list(pair) for pair in self.prompts.pairs],
            "types": list(self.prompts.types),
            "extractor": self.extractor,
            "seed": self.seed,
        }
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
) -> SampleSet:
    """Draw ``count`` samples: degradations in proportion to weight, photos in turn. Equal arguments, equal samples.

    ``choices`` is a list of (degradation, configuration, weight).
    """
    rng = np.random.default_rng(seed)
    weights = np.array([weight for _, _, weight in choices])
    bounds = np.round(np.cumsum(weights / weights.sum()) * count).astype(int)
    synthesizer = np.searchsorted(bounds, np.arange(count), side="right").astype(np.int32)
    total = len(photos.pixels)
    image = np.concatenate([rng.permutation(total) for _ in range(count // total + 1)])[:count].astype(np.int32)
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
    pairs = tuple(
        dict.fromkeys(sorted(set(labels), key=lambda pair: ([c[0] for c in choices].index(pair[0]), pair[1])))
    )
    return SampleSet(
        image=image,
        crop=crop,
        side=side,
        synthesizer=synthesizer,
        prompt=np.array([pairs.index(label) for label in labels], dtype=np.int32),
        split=photo_split[image],
        prompts=Prompts(tuple(name for name, _, _ in choices), pairs),
        synthesizers=tuple((name, dict(config)) for name, config, _ in choices),
        params=params,
        images=photos.names,
        hashes=photos.hashes,
        seed=seed,
    )


def _corner(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(shape[0] - side + 1)), int(rng.integers(shape[1] - side + 1))
