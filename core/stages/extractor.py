"""Make the extractor: trained on the training photos' samples, or as given, then calibrated where it asks for that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..captions import read_captions
from ..catalogue import validate_config
from ..contracts import Config, ExtractorSpec, Prompts
from ..models import extractor_record
from ..photos import TRAIN
from ..recipe import TrainingConfig, fingerprint
from ..run import ExtractorRun
from ..samples import SampleSet
from ..training.batches import LabelledCrops
from ..training.loop import fit, seeded

BATCH = 32
CALIBRATED = 2000
"""Training samples at most that an extractor is calibrated on."""


def extractor(run: ExtractorRun, stamp: str) -> None:
    """Write the extractor; one without an objective, or without training in the recipe, is written as it was built."""
    section, seed = run.recipe.extractor, run.recipe.seed
    spec = run.catalogue.extractor(section.name)
    config = validate_config(spec.config, section.config, "extractor.config")
    samples = run.samples()
    network = seeded(lambda: _begun(spec, config), seed)
    summary = f"{spec.name} as given, not trained"
    if spec.objective is not None and section.training is not None:
        _train(run, spec, config, network, samples, section.training, stamp)
        summary = f"{spec.name} trained for {section.training.steps} steps"
    network.eval()
    if spec.calibrate is not None:
        rows = np.sort(np.random.default_rng((seed, 2)).permutation(samples.rows(TRAIN))[:CALIBRATED])
        seeded(lambda: _calibrated(spec, network, run.pixels(samples), rows), seed + 2)
        summary += f", calibrated on {len(rows)} samples"
    files = () if spec.files is None else spec.files(config)
    record = extractor_record(network, spec.name, config.model_dump(mode="json"), fingerprint(stamp), files)
    run.commit("extractor", stamp, {("extractors", run.name): record}, summary, {})


def _begun(spec: ExtractorSpec[Any], config: Config) -> nn.Module:
    """A new extractor, with the weights that ``config`` names if it names any."""
    network: nn.Module = spec.build(config)
    if spec.pretrained is not None:
        spec.pretrained(network, config)
    return network


def _train(
    run: ExtractorRun,
    spec: ExtractorSpec[Any],
    config: Config,
    network: nn.Module,
    samples: SampleSet,
    training: TrainingConfig,
    stamp: str,
) -> None:
    make_objective, prompts = spec.objective, _prompts(run, samples)
    assert make_objective is not None
    objective = seeded(lambda: make_objective(network, prompts), run.recipe.seed + 1)
    batches = LabelledCrops(
        samples,
        run.pixels(samples),
        run.truths(samples) if "clean" in spec.inputs else None,
        samples.rows(TRAIN),
        side=samples.side if spec.training_side is None else spec.training_side(config),
        batch=training.batch,
        seed=run.recipe.seed,
        inputs=spec.inputs,
    )
    checkpoint = run.work / f"extractor-{stamp[:16]}.safetensors"
    fit(objective, batches, training, checkpoint=checkpoint, progress=run.losses("extractor"))


def _prompts(run: ExtractorRun, samples: SampleSet) -> Prompts:
    """The prompts of the samples, with the captions that the recipe names."""
    path = run.recipe.extractor.captions
    if path is None:
        return samples.prompts
    return replace(samples.prompts, captions=read_captions(path, samples.images))


def _calibrated(
    spec: ExtractorSpec[Any], network: nn.Module, pixels: NDArray[np.uint8], rows: NDArray[np.integer]
) -> nn.Module:
    assert spec.calibrate is not None
    with torch.no_grad():
        spec.calibrate(network, _batches(pixels, rows))
    return network


def _batches(pixels: NDArray[np.uint8], rows: NDArray[np.integer]) -> Iterator[Tensor]:
    """The rendered samples ``rows``, float32 (b, 3, side, side) in [0, 1]."""
    for start in range(0, len(rows), BATCH):
        yield torch.from_numpy(pixels[rows[start : start + BATCH]]).float().div_(255)


@torch.inference_mode()
def represent(network: torch.nn.Module, pixels: NDArray[np.uint8], rows: NDArray[np.integer]) -> NDArray[np.float32]:
    """DRs (n, D) of the rendered samples ``rows``, from their pixels."""
    network.eval()
    return np.concatenate([network(images).numpy() for images in _batches(pixels, rows)]).astype(np.float32)
