"""Draw the training samples: photos, crops, degradations and their parameters. No pixels are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..catalogue import Catalogue, validate_config
from ..errors import ConfigError
from ..photos import split_photos
from ..recipe import DegradationChoice
from ..run import Run
from ..samples import draw


def synthesize(run: Run, stamp: str) -> None:
    """Write the DR set (without DRs yet)."""
    config = run.recipe.synthesize
    choices = [
        (name, resolve(run.catalogue, name, choice), choice.weight) for name, choice in config.degradations.items()
    ]
    split = split_photos(len(run.photos.names), config.calibration, config.heldout, run.recipe.seed)
    samples = draw(run.catalogue, choices, run.photos, split, config.samples, config.crop, run.recipe.seed)
    if len(np.unique(samples.split)) < 3:
        total = len(run.photos.names)
        raise ConfigError(
            f"synthesize.samples: {config.samples} samples of {total} photos leave a split empty; draw more"
        )
    labels = f"{len(choices)} types, {len(samples.prompts.pairs)} prompts"
    summary = f"{len(samples)} samples of {len(run.photos.names)} photos, {labels}"
    run.commit("synthesize", stamp, {("dr_sets", run.name): samples.to_record()}, summary, {"samples": len(samples)})


def resolve(catalogue: Catalogue, name: str, choice: DegradationChoice) -> Mapping[str, Any]:
    """The preset of a degradation with the recipe's fields put over it, as JSON values."""
    spec = catalogue.synthesizer(name)
    values = {**spec.presets[choice.preset].model_dump(mode="json"), **choice.set}
    return validate_config(spec.config, values, f"synthesize.degradations.{name}.set").model_dump(mode="json")
