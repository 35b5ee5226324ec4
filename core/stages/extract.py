"""Map every sample to its degradation representation, and say how well these tell damages apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import ExtractorSpec
from ..errors import PluginError
from ..models import load_extractor
from ..photos import TRAIN
from ..run import ExtractorRun
from ..samples import SampleSet
from ..separability import separability
from .extractor import represent


def extract(run: ExtractorRun, stamp: str) -> None:
    """Write the DRs (N, D) into the DR set: of their pixels, or of training samples' labels where the extractor can."""
    samples, spec = run.samples(), run.catalogue.extractor(run.recipe.extractor.name)
    network = load_extractor(run.store, run.catalogue, run.name)
    dr = np.zeros((len(samples), network.dim), dtype=np.float32)
    looked_at = np.arange(len(samples))
    if spec.labelled is not None:
        train = samples.rows(TRAIN)
        dr[train] = _of_prompts(spec, network, samples)[samples.prompt[train]]
        looked_at = np.flatnonzero(samples.split != TRAIN)
    pixels = run.pixels(samples)
    for start in range(0, len(looked_at), 512):
        rows = looked_at[start : start + 512]
        dr[rows] = represent(network, pixels, rows)
        run.watch("extract", start + len(rows), len(looked_at), "samples")
    figures = separability(samples, dr)
    record = replace(samples, dr=dr, extractor=run.name).to_record()
    found = f"type accuracy {figures['type accuracy']:.3f}, degree accuracy {figures['degree accuracy']:.3f}"
    summary = f"{len(dr)} DRs of width {dr.shape[1]}; on held-out photos {found}"
    run.commit("extract", stamp, {("dr_sets", run.name): record}, summary, figures)


@torch.inference_mode()
def _of_prompts(spec: ExtractorSpec[Any], network: Any, samples: SampleSet) -> NDArray[np.float32]:
    """DR (P, D) of every prompt; raises ``PluginError`` when the extractor gives something else."""
    assert spec.labelled is not None
    codes = spec.labelled(network, samples.prompts)
    wanted = (len(samples.prompts.pairs), network.dim)
    if tuple(codes.shape) != wanted or not torch.isfinite(codes).all():
        raise PluginError(
            f"extractor '{spec.name}': labelled: got {tuple(codes.shape)}, wanted finite DRs {wanted}; mend the plugin"
        )
    return codes.numpy().astype(np.float32)
