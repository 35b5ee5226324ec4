"""Map every sample to its degradation representation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..models import load_extractor
from ..run import Run
from .extractor import represent


def extract(run: Run, stamp: str) -> None:
    """Write the DRs (N, D) into the DR set."""
    samples = run.samples()
    network = load_extractor(run.store, run.catalogue, run.name)
    pixels = run.pixels(samples)
    parts = []
    for start in range(0, len(samples), 512):
        rows = np.arange(start, min(start + 512, len(samples)))
        parts.append(represent(network, pixels, rows))
        run.watch("extract", int(rows[-1]) + 1, len(samples), "samples")
    dr = np.concatenate(parts)
    record = replace(samples, dr=dr, extractor=run.name).to_record()
    run.commit("extract", stamp, {("dr_sets", run.name): record}, f"{len(dr)} DRs of width {dr.shape[1]}", {})
