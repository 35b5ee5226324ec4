"""Draw the training samples: photos, crops, degradations and their parameters, given pairs. No pixels are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue, validate_config
from ..errors import ConfigError
from ..photos import Photos, split_photos
from ..recipe import DegradationChoice, ExtractorRecipe
from ..run import ExtractorRun
from ..samples import draw


def synthesize(run: ExtractorRun, stamp: str) -> None:
    """Write the DR set (without DRs yet)."""
    config = run.recipe.synthesize
    choices = [
        (name, resolve(run.catalogue, name, choice), choice.weight) for name, choice in config.degradations.items()
    ]
    split = split_of(run.photos, run.recipe)
    samples = draw(run.catalogue, choices, run.photos, split, config.samples, config.crop, run.recipe.seed, run.given)
    total = len(samples.images)
    if len(np.unique(samples.split)) < 3:
        raise ConfigError(
            f"synthesize.samples: {config.samples} samples of {total} photos leave a split empty; draw more"
        )
    labels = f"{len(samples.prompts.types)} types, {len(samples.prompts.pairs)} prompts"
    pairs = f" ({len(samples.given)} of {len(samples.pairs)} given pairs)" if samples.sources else ""
    summary = f"{len(samples)} samples of {total} photos{pairs}, {labels}"
    run.commit("synthesize", stamp, {("dr_sets", run.name): samples.to_record()}, summary, {"samples": len(samples)})


def split_of(photos: Photos, recipe: ExtractorRecipe) -> NDArray[np.int32]:
    """(photos,) which of them train, calibrate, or are held out; none of none, where all damage is given."""
    plan, count = recipe.synthesize, len(photos.names)
    return split_photos(count, plan.calibration, plan.heldout, recipe.seed) if count else np.zeros(0, dtype=np.int32)


def resolve(catalogue: Catalogue, name: str, choice: DegradationChoice) -> Mapping[str, Any]:
    """The preset of a degradation with the recipe's fields put over it, as JSON values."""
    spec = catalogue.synthesizer(name)
    values = {**spec.presets[choice.preset].model_dump(mode="json"), **choice.set}
    return validate_config(spec.config, values, f"synthesize.degradations.{name}.set").model_dump(mode="json")
