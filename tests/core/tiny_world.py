"""A micro training run for tests: synthetic photos, three degradations, networks of a few thousand weights, seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from unirestorer.core.contracts import Store
from unirestorer.core.photos import load_photos
from unirestorer.core.recipe import Recipe, load_recipe
from unirestorer.core.run import Run, Watcher
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

RECIPE = """
name: micro
seed: 3
synthesize:
  samples: 72
  crop: 48
  calibration: 0.2
  heldout: 0.1
  degradations: {clean: {}, noise: {}, lowlight: {}}
extractor:
  name: compact
  config: {crop: 48, widths: [8, 8], dim: 8}
  training: {steps: 12, batch: 8, warmup: 2, checkpoint_every: 4}
cluster: {name: kmeans-topdown, config: {sizes: [1, 3, 4], restarts: 2}}
experts:
  name: resunet
  config: {widths: [8, 8], encoder: [1, 1], decoder: [1]}
  patch: 32
  levels:
    - {steps: 12, batch: 2, warmup: 2, checkpoint_every: 4}
costs:
  samples: 16
  patch: 32
  extra:
    - {degradation: tone, samples: 12}
    - {degradation: mixed, set: {links: "noise,jpeg:quality=80..90"}, samples: 12}
routers:
  training: {steps: 60, batch: 16, warmup: 2, checkpoint_every: 20}
"""
KINDS = ("dr_sets", "extractors", "hierarchies", "experts", "costs", "routers", "models", "stages")


def make_photos(folder: Path, count: int = 12) -> Path:
    """Smooth random colour images of 64 x 56 px."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for index in range(count):
        noise = Image.fromarray(rng.integers(0, 256, (56, 64, 3), dtype=np.uint8))
        noise.filter(ImageFilter.GaussianBlur(3)).save(folder / f"photo{index}.png")
    return folder


def make_recipe(folder: Path, text: str = RECIPE) -> Recipe:
    """The micro recipe, read from a file as a user's would be."""
    path = folder / "micro.yaml"
    path.write_text(text)
    return load_recipe(path, load_catalogue())


def make_run(folder: Path, name: str, watch: Watcher | None = None, text: str = RECIPE) -> Run:
    """A run of the recipe ``text`` whose registry is ``folder``/``name``."""
    recipe = make_recipe(folder, text)
    photos = load_photos(make_photos(folder / "photos"), recipe.synthesize.crop)
    store = open_registry(folder / name, create=True)
    extra: dict[str, Any] = {} if watch is None else {"watch": watch}
    return Run(recipe, store, load_catalogue(), photos, folder / name / "work", folder / name / "reports", **extra)


def contents(store: Store) -> dict[str, object]:
    """Everything in the registry but times, comparable with ``==``."""
    everything: dict[str, object] = {}
    for kind in KINDS:
        for name in store.names(kind):
            record = store.read(kind, name)
            arrays = {key: (value.dtype.str, value.shape, value.tobytes()) for key, value in record.arrays.items()}
            attributes = dict(record.attributes)
            if "seconds" in attributes.get("report", {}).get("figures", {}):
                report = attributes["report"]
                figures = {what: value for what, value in report["figures"].items() if what != "seconds"}
                attributes["report"] = {**report, "figures": figures}
            everything[f"{kind}/{name}"] = (arrays, attributes)
    return everything
