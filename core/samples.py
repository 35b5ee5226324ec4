"""DR sets: which photo, crop and damage with which parameters. Recipes, not pixels; those are made on demand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .catalogue import Catalogue, validate_config
from .contracts import Params, Prompts, Record, Synthesizer
from .errors import ImageError
from .images import find_images, load

RENDER_BATCH = 8
TRAIN, CALIBRATION, HELDOUT = 0, 1, 2


@dataclass(frozen=True)
class Photos:
    """Clean photos in memory: uint8 (H, W, 3) arrays, at least ``crop`` pixels on each side, with names and hashes."""

    names: tuple[str, ...]
    hashes: tuple[str, ...]
    pixels: tuple[NDArray[np.uint8], ...]

    def crop(self, image: int, corner: NDArray[np.integer], side: int) -> NDArray[np.uint8]:
        """The (side, side, 3) crop with its top left at ``corner`` (y, x)."""
        y, x = int(corner[0]), int(corner[1])
        return self.pixels[image][y : y + side, x : x + side]


def load_photos(folder: Path, crop: int) -> Photos:
    """Every image under ``folder``, enlarged where a side is shorter than ``crop``; raises ``ImageError``."""
    names, hashes, pixels = [], [], []
    for path, relative in find_images([folder]):
        picture = load(path)
        names.append(relative.as_posix())
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
        pixels.append(_at_least(picture.pixels, crop))
    if len(names) < 4:
        raise ImageError(f"{folder}: got {len(names)} photos, wanted at least 4 clean photos to train on")
    return Photos(tuple(names), tuple(hashes), tuple(pixels))


def _at_least(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    if scale <= 1:
        return pixels
    size = (max(side, round(width * scale)), max(side, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


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


def render(samples: SampleSet, photos: Photos, catalogue: Catalogue, target: Path) -> NDArray[np.uint8]:
    """The damaged crops (N, 3, side, side) uint8, in memory; kept in the file ``target`` and reused while it exists."""
    shape = (len(samples), 3, samples.side, samples.side)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for number, (name, config) in enumerate(samples.synthesizers):
            _render_one(samples, photos, build_synthesizer(catalogue, name, config), number, pixels)
        pixels.flush()
        os.replace(temporary, target)
    loaded: NDArray[np.uint8] = np.load(target)
    return loaded


def _render_one(
    samples: SampleSet, photos: Photos, synthesizer: Synthesizer, number: int, pixels: NDArray[np.uint8]
) -> None:
    rows = np.flatnonzero(samples.synthesizer == number)
    fields = samples.params.get(samples.synthesizers[number][0], {})
    for start in range(0, len(rows), RENDER_BATCH):
        part = rows[start : start + RENDER_BATCH]
        clean = to_float(np.stack([photos.crop(samples.image[i], samples.crop[i], samples.side) for i in part]))
        params: Params = {
            k: torch.from_numpy(np.ascontiguousarray(v[start : start + len(part)])) for k, v in fields.items()
        }
        with torch.inference_mode():
            pixels[part] = to_bytes(synthesizer.apply(clean, params))


def to_float(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, H, W, 3) to float32 (n, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).contiguous().float().div_(255)


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """float (n, 3, H, W) to rounded uint8 of the same layout."""
    array: NDArray[np.uint8] = images.clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return array


def split_photos(count: int, calibration: float, heldout: float, seed: int) -> NDArray[np.int32]:
    """(count,) split of each photo, drawn at random; every split has at least one photo."""
    order = np.random.default_rng(seed).permutation(count)
    held, kept = max(1, round(heldout * count)), max(1, round(calibration * count))
    split = np.full(count, TRAIN, dtype=np.int32)
    split[order[:held]] = HELDOUT
    split[order[held : held + kept]] = CALIBRATION
    return split


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
