"""Try every expert on every sample once: the matrix that the routers learn from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..contracts import Record
from ..models import load_expert, load_hierarchy
from ..photos import CALIBRATION, TRAIN
from ..pipeline import Run
from ..training.batches import centre_pairs

BATCH = 16


def costs(run: Run, stamp: str) -> None:
    """Write L1 and squared error (n, M) of each expert on patches of all calibration and some training samples."""
    tree, names, _, _ = load_hierarchy(run.store, run.name)
    samples, section = run.samples(), run.recipe.costs
    some = np.random.default_rng(run.recipe.seed).permutation(samples.rows(TRAIN))[: section.samples]
    rows = np.sort(np.concatenate([some, samples.rows(CALIBRATION)])).astype(np.int32)
    damaged, clean = centre_pairs(samples, run.pixels(samples), run.photos, rows, section.patch)
    l1, mse = np.zeros((len(rows), len(tree)), np.float32), np.zeros((len(rows), len(tree)), np.float32)
    for node in range(len(tree)):
        network, _ = load_expert(run.store, run.catalogue, f"{run.name}/{node}")
        l1[:, node], mse[:, node] = _errors(network, damaged, clean)
        run.watch("costs", node + 1, len(tree), names[node])
    attributes = {"dr_set": run.name, "hierarchy": run.name, "experts": run.name}
    record = Record({"l1": l1, "mse": mse, "sample": rows}, attributes)
    best, root = _psnr(mse.min(1)), _psnr(mse[:, 0])
    summary = (
        f"{len(tree)} experts on {len(rows)} samples; mean PSNR of the best {best:.2f} dB, of the root {root:.2f} dB"
    )
    run.commit("costs", stamp, {("costs", run.name): record}, summary, {"oracle psnr": best, "root psnr": root})


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
