"""Try every expert on every sample once: the matrix that the routers learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..contracts import Record
from ..errors import RegistryError
from ..models import load_expert, load_extractor, load_hierarchy
from ..photos import CALIBRATION, HELDOUT, TRAIN, split_photos
from ..rendering import render
from ..run import Run
from ..samples import draw
from ..training.batches import centre_pairs
from .extractor import represent
from .synthesize import resolve

BATCH = 16


def costs(run: Run, stamp: str) -> None:
    """Write L1 and squared error (n, M) of each expert on patches, with their DRs: training samples and extra ones.

    ``sample`` (n,) is the number in the DR set, -1 for the extra ones.
    """
    tree, names, _, _ = load_hierarchy(run.store, run.name)
    rows, dr, damaged, clean = _joined(_recorded(run), *_extra(run, stamp))
    l1, mse = np.zeros((len(rows), len(tree)), np.float32), np.zeros((len(rows), len(tree)), np.float32)
    for node in range(len(tree)):
        network, _ = load_expert(run.store, run.catalogue, f"{run.name}/{node}")
        l1[:, node], mse[:, node] = _errors(network, damaged, clean)
        run.watch("costs", node + 1, len(tree), names[node])
    attributes = {"dr_set": run.name, "hierarchy": run.name, "experts": run.name}
    record = Record({"l1": l1, "mse": mse, "sample": rows, "dr": dr}, attributes)
    best, root = _psnr(mse.min(1)), _psnr(mse[:, 0])
    summary = f"{len(tree)} experts on {len(rows)} samples; mean PSNR: best {best:.2f} dB, root {root:.2f} dB"
    run.commit("costs", stamp, {("costs", run.name): record}, summary, {"oracle psnr": best, "root psnr": root})


class Trial(NamedTuple):
    """Sample numbers (n,) int32, DRs (n, D) float32, damaged and clean patches (n, 3, patch, patch) uint8."""

    rows: NDArray[np.int32]
    dr: NDArray[np.float32]
    damaged: NDArray[np.uint8]
    clean: NDArray[np.uint8]


def _joined(*trials: Trial) -> Trial:
    return Trial(*(np.concatenate(parts) for parts in zip(*trials, strict=True)))


def _recorded(run: Run) -> Trial:
    """All calibration samples and some training samples."""
    samples, section = run.samples(), run.recipe.costs
    if samples.dr is None:
        raise RegistryError(f"dr_sets/{run.name}: has no DRs yet; run the extract stage first")
    some = np.random.default_rng(run.recipe.seed).permutation(samples.rows(TRAIN))[: section.samples]
    rows = np.sort(np.concatenate([some, samples.rows(CALIBRATION)])).astype(np.int32)
    patches = centre_pairs(samples, run.pixels(samples), run.photos, rows, section.patch)
    return Trial(rows, samples.dr[rows], *patches)


def _extra(run: Run, stamp: str) -> Iterator[Trial]:
    """The extra samples of the recipe, of every photo that is not held out."""
    plan, section = run.recipe.synthesize, run.recipe.costs
    split = split_photos(len(run.photos.names), plan.calibration, plan.heldout, run.recipe.seed)
    network = load_extractor(run.store, run.catalogue, run.name)
    for number, choice in enumerate(section.extra):
        name, seed = choice.degradation, run.recipe.seed + 100 + number
        choices = [(name, resolve(run.catalogue, name, choice), 1.0)]
        drawn = draw(run.catalogue, choices, run.photos, split, choice.samples, plan.crop, seed)
        pixels = render(drawn, run.photos, run.catalogue, run.work / f"extra-{stamp[:16]}-{number}.npy")
        rows = np.flatnonzero(drawn.split != HELDOUT)
        damaged, clean = centre_pairs(drawn, pixels, run.photos, rows, section.patch)
        truth = damaged if run.catalogue.synthesizer(name).undamaged else clean
        yield Trial(np.full(len(rows), -1, dtype=np.int32), represent(network, pixels, rows), damaged, truth)


@torch.inference_mode()
def _errors(
    network: nn.Module, damaged: NDArray[np.uint8], clean: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    l1, mse = [], []
    for start in range(0, len(damaged), BATCH):
        images = torch.from_numpy(damaged[start : start + BATCH]).float().div_(255)
        truth = torch.from_numpy(clean[start : start + BATCH]).float().div_(255)
        gap = network(images.contiguous(memory_format=torch.channels_last)).clamp(0, 1) - truth
        l1.append(gap.abs().mean((1, 2, 3)).numpy())
        mse.append(gap.square().mean((1, 2, 3)).numpy())
    return np.concatenate(l1), np.concatenate(mse)


def _psnr(mse: NDArray[np.float32]) -> float:
    return float((-10 * np.log10(mse + 1e-6)).mean())
