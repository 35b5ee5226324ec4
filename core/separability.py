"""How well DRs tell damage types and degrees apart, on photos that nothing was trained on."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from .hierarchy import nearest, normalised
from .photos import HELDOUT, TRAIN
from .samples import SampleSet

MOST = 5000
"""Training samples at most that centres and groups are made of."""


def separability(samples: SampleSet, dr: NDArray[np.float32]) -> dict[str, float]:
    """Figures in [0, 1] of the DRs (N, D) of held-out samples, all DRs at unit length.

    "type accuracy" and "degree accuracy": share whose nearest prompt, by the mean DR of its training samples, is of
    their type, or their own. "type purity" and "degree purity": share that falls, among as many k-means groups of the
    training samples as there are types or prompts, into one where their own label is the most frequent.
    """
    rows, held = samples.rows(TRAIN), samples.rows(HELDOUT)
    train = np.sort(np.random.default_rng(0).permutation(rows)[:MOST])
    known, unknown = normalised(dr[train]), normalised(dr[held])
    present, prompt = np.unique(samples.prompt[train], return_inverse=True)
    centres = normalised(np.stack([known[prompt == number].mean(0) for number in range(len(present))]))
    found = present[nearest(unknown, centres)]
    types = np.array(samples.prompts.type_of)
    figures = {
        "type accuracy": float((types[found] == samples.type_labels[held]).mean()),
        "degree accuracy": float((found == samples.prompt[held]).mean()),
    }
    for name, labels in (("type", samples.type_labels), ("degree", samples.prompt)):
        figures[f"{name} purity"] = _purity(known, labels[train], unknown, labels[held])
    return figures


def _purity(
    known: NDArray[np.float32], label: NDArray[np.int32], unknown: NDArray[np.float32], wanted: NDArray[np.int32]
) -> float:
    count = min(len(np.unique(label)), len(np.unique(known, axis=0)))
    with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():  # threads add in any order
        warnings.simplefilter("ignore", ConvergenceWarning)
        groups = KMeans(count, n_init=3, random_state=0).fit(known)
    commonest = np.array([np.bincount(label[groups.labels_ == number]).argmax() for number in range(count)])
    found = commonest[nearest(unknown, groups.cluster_centers_.astype(np.float32))]
    return float((found == wanted).mean())
