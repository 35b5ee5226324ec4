"""Try every expert on every sample once: the matrix that the routers learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..catalogue import Catalogue
from ..contracts import Record
from ..errors import RegistryError
from ..models import load_expert, load_extractor, load_hierarchy
from ..photos import CALIBRATION, HELDOUT, TRAIN, Photos
from ..recipe import Recipe
from ..rendering import Truths, render
from ..run import Run
from ..samples import SampleSet, draw
from ..training.batches import centre_pairs
from .extractor import represent
from .synthesize import resolve, split_of

BATCH = 16


def costs(run: Run, stamp: str) -> None:
    """Write L1 and squared error (n, M) of each expert on patches, with their DRs: training samples and extra ones."""
    tree, names, _, _ = load_hierarchy(run.store, run.name)
    extractor = load_extractor(run.store, run.catalogue, run.name)
    trials = joined(_recorded(run, extractor), *_extra(run, stamp, extractor))
    l1, mse = np.zeros((len(trials), len(tree)), np.float32), np.zeros((len(trials), len(tree)), np.float32)
    for node in range(len(tree)):
        network, _ = load_expert(run.store, run.catalogue, f"{run.name}/{node}")
        l1[:, node], mse[:, node] = errors(network, trials.damaged, trials.clean)
        run.watch("costs", node + 1, len(tree), names[node])
    attributes = {"dr_set": run.name, "hierarchy": run.name, "experts": run.name}
    best, root = mean_psnr(mse.min(1)), mean_psnr(mse[:, 0])
    summary = f"{len(tree)} experts on {len(trials)} samples; mean PSNR: best {best:.2f} dB, root {root:.2f} dB"
    record = costs_record(trials, l1, mse, attributes)
    run.commit("costs", stamp, {("costs", run.name): record}, summary, {"oracle psnr": best, "root psnr": root})


@dataclass(frozen=True)
class Trials:
    """n samples that experts are tried on.

    sample: (n,) int32 number in the DR set, -1 for one drawn for the routers alone. kind: (n,) damage types.
    split: (n,) int32 of the photo. dr: (n, D) float32. damaged, clean: patches (n, 3, patch, patch) uint8.
    """

    sample: NDArray[np.int32]
    kind: NDArray[np.str_]
    split: NDArray[np.int32]
    dr: NDArray[np.float32]
    damaged: NDArray[np.uint8]
    clean: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.sample)

    def take(self, rows: NDArray[Any]) -> Trials:
        """Those of a mask or index ``rows``."""
        return Trials(*(getattr(self, field.name)[rows] for field in fields(self)))


def joined(*parts: Trials) -> Trials:
    """One after the other."""
    return Trials(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Trials)))


def trials_of(
    samples: SampleSet,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.integer],
    *,
    truths: Truths,
    catalogue: Catalogue,
    extractor: nn.Module,
    patch: int,
    recorded: bool = False,
) -> Trials:
    """``samples`` of numbers ``rows`` with centre patches of ``pixels``; ``recorded``: they are those of the DR set."""
    damaged, clean = centre_pairs(samples, pixels, truths, rows, patch)
    kind = np.array(samples.prompts.types)[samples.type_labels[rows]]
    harmless = [name for name, spec in catalogue.synthesizers.items() if spec.undamaged]
    undamaged = np.isin(kind, harmless)
    clean[undamaged] = damaged[undamaged]
    dr = represent(extractor, pixels, rows) if samples.dr is None else samples.dr[rows]
    sample = rows.astype(np.int32) if recorded else np.full(len(rows), -1, dtype=np.int32)
    return Trials(sample, kind, samples.split[rows], dr, damaged, clean)


def costs_record(
    trials: Trials, l1: NDArray[np.float32], mse: NDArray[np.float32], attributes: Mapping[str, Any]
) -> Record:
    """The costs (n, M) of ``trials`` as a registry keeps them."""
    kinds, kind = np.unique(trials.kind, return_inverse=True)
    arrays = {"l1": l1, "mse": mse, "sample": trials.sample, "dr": trials.dr, "kind": kind.astype(np.int32)}
    return Record(arrays, {**attributes, "kinds": kinds.tolist()})


def recorded_rows(samples: SampleSet, count: int, seed: int) -> NDArray[np.int32]:
    """All calibration samples and ``count`` training samples."""
    some = np.random.default_rng(seed).permutation(samples.rows(TRAIN))[:count]
    return np.sort(np.concatenate([some, samples.rows(CALIBRATION)])).astype(np.int32)


def draw_extra(
    catalogue: Catalogue, photos: Photos, recipe: Recipe, number: int, count: int
) -> tuple[SampleSet, NDArray[np.intp]]:
    """``count`` samples as extra ``number`` of the recipe says, and which of them are not of held-out photos."""
    plan, choice = recipe.synthesize, recipe.costs.extra[number]
    split = split_of(photos, recipe)
    choices = [(choice.degradation, resolve(catalogue, choice.degradation, choice), 1.0)]
    drawn = draw(catalogue, choices, photos, split, count, plan.crop, recipe.seed + 100 + number)
    return drawn, np.flatnonzero(drawn.split != HELDOUT)


def _recorded(run: Run, extractor: nn.Module) -> Trials:
    samples, section = run.samples(), run.recipe.costs
    if samples.dr is None:
        raise RegistryError(f"dr_sets/{run.name}: has no DRs yet; run the extract stage first")
    rows = recorded_rows(samples, section.samples, run.recipe.seed)
    return _tried(run, extractor, samples, run.pixels(samples), run.truths(samples), rows, recorded=True)


def _extra(run: Run, stamp: str, extractor: nn.Module) -> Iterator[Trials]:
    """The extra samples of the recipe, of every photo that is not held out."""
    for number, choice in enumerate(run.recipe.costs.extra):
        drawn, rows = draw_extra(run.catalogue, run.photos, run.recipe, number, choice.samples)
        pixels = render(drawn, run.photos, run.catalogue, run.work / f"extra-{stamp[:16]}-{number}.npy")
        yield _tried(run, extractor, drawn, pixels, Truths(drawn, run.photos), rows)


def _tried(
    run: Run,
    extractor: nn.Module,
    samples: SampleSet,
    pixels: NDArray[np.uint8],
    truths: Truths,
    rows: NDArray[np.integer],
    *,
    recorded: bool = False,
) -> Trials:
    return trials_of(
        samples,
        pixels,
        rows,
        truths=truths,
        catalogue=run.catalogue,
        extractor=extractor,
        patch=run.recipe.costs.patch,
        recorded=recorded,
    )


@torch.inference_mode()
def errors(
    network: nn.Module, damaged: NDArray[np.uint8], clean: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean absolute and mean squared error (n,) of ``network`` on patches (n, 3, patch, patch)."""
    l1, mse = [], []
    for start in range(0, len(damaged), BATCH):
        images = torch.from_numpy(damaged[start : start + BATCH]).float().div_(255)
        truth = torch.from_numpy(clean[start : start + BATCH]).float().div_(255)
        gap = network(images.contiguous(memory_format=torch.channels_last)).clamp(0, 1) - truth
        l1.append(gap.abs().mean((1, 2, 3)).numpy())
        mse.append(gap.square().mean((1, 2, 3)).numpy())
    return np.concatenate(l1), np.concatenate(mse)


def mean_psnr(mse: NDArray[np.float32]) -> float:
    """Mean PSNR in dB of squared errors (n,), at most 60."""
    return float((-10 * np.log10(mse + 1e-6)).mean())
