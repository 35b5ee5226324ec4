"""Train the extractor on type and degree of the training photos' samples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..catalogue import validate_config
from ..errors import ConfigError
from ..models import extractor_record
from ..photos import CALIBRATION, TRAIN
from ..recipe import fingerprint
from ..run import Run
from ..samples import SampleSet
from ..training.batches import LabelledCrops
from ..training.loop import fit, seeded


def extractor(run: Run, stamp: str) -> None:
    """Write the extractor; one without an objective is written as its plugin builds it."""
    section = run.recipe.extractor
    spec = run.catalogue.extractor(section.name)
    config = validate_config(spec.config, section.config, "extractor.config")
    network: torch.nn.Module = seeded(lambda: spec.build(config), run.recipe.seed)
    samples = run.samples()
    figures = {}
    summary = f"{spec.name} as it is (not trainable)"
    make_objective = spec.objective
    if make_objective is not None:
        if section.training is None:
            raise ConfigError(f"extractor.training: missing, and the extractor '{spec.name}' is trained by its recipe")
        objective = seeded(lambda: make_objective(network, samples.prompts), run.recipe.seed + 1)
        pixels = run.pixels(samples)
        side = samples.side if spec.training_side is None else spec.training_side(config)
        training = section.training
        batches = LabelledCrops(
            samples, pixels, samples.rows(TRAIN), side=side, batch=training.batch, seed=run.recipe.seed
        )
        checkpoint = run.work / f"extractor-{stamp[:16]}.safetensors"
        fit(objective, batches, training, checkpoint=checkpoint, progress=run.losses("extractor"))
        figures["type accuracy"] = nearest_type_accuracy(network, samples, pixels)
        found = f"type accuracy on unseen photos {figures['type accuracy']:.3f}"
        summary = f"{spec.name} trained for {training.steps} steps; {found}"
    record = extractor_record(network.eval(), spec.name, config.model_dump(mode="json"), fingerprint(stamp))
    run.commit("extractor", stamp, {("extractors", run.name): record}, summary, figures)


@torch.inference_mode()
def represent(network: torch.nn.Module, pixels: NDArray[np.uint8], rows: NDArray[np.integer]) -> NDArray[np.float32]:
    """DRs (n, D) of the rendered samples ``rows``."""
    network.eval()
    parts = [
        network(torch.from_numpy(pixels[rows[i : i + 32]]).float().div_(255)).numpy() for i in range(0, len(rows), 32)
    ]
    return np.concatenate(parts).astype(np.float32)


def nearest_type_accuracy(network: torch.nn.Module, samples: SampleSet, pixels: NDArray[np.uint8]) -> float:
    """Share of calibration samples whose nearest prompt centre (of training samples) is of their type."""
    rng = np.random.default_rng(0)
    train = rng.permutation(samples.rows(TRAIN))[:3000]
    test = samples.rows(CALIBRATION)
    known, unknown = represent(network, pixels, train), represent(network, pixels, test)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    unknown /= np.linalg.norm(unknown, axis=1, keepdims=True)
    present = np.unique(samples.prompt[train])
    centres = np.stack([known[samples.prompt[train] == p].mean(0) for p in present])
    nearest = present[(unknown @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(1)]
    types = np.array(samples.prompts.type_of)
    return float((types[nearest] == samples.type_labels[test]).mean())
