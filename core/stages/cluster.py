"""Cluster the training DRs into the hierarchy; name its nodes; measure and draw how well it matches the true types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..clustering.fitting import fit
from ..clustering.map import MAP, draw_map
from ..clustering.naming import named
from ..clustering.quality import measure
from ..clustering.tables import write_tables
from ..errors import RegistryError
from ..models import hierarchy_record
from ..photos import TRAIN
from ..run import Run


def cluster(run: Run, stamp: str) -> None:
    """Write the hierarchy: nodes from the training photos' DRs, every sample assigned.

    Training samples stay where the clusterer put them; the others go from the root to the nearest child.
    """
    samples = run.samples()
    if samples.dr is None:
        raise RegistryError(f"dr_sets/{run.name}: has no DRs yet; run the extract stage first")
    section, prompts = run.recipe.cluster, samples.prompts
    train = samples.rows(TRAIN)
    dr, labels = samples.dr[train], samples.labels(train)
    fitted = fit(run.catalogue, section, dr, labels)
    census = fitted.tree.census(labels.prompt, len(prompts.pairs))
    labelled = fitted.labelled or named(fitted.tree, census, prompts)
    quality = measure(labelled, dr, labels)
    assign = np.empty((len(samples), fitted.tree.depth), dtype=np.int32)
    rest = np.setdiff1d(np.arange(len(samples)), train)
    assign[train], assign[rest] = fitted.tree.assign, fitted.tree.assign_dr(samples.dr[rest])
    attributes = {
        "stamp": stamp,
        "clusterer": section.name,
        "config": fitted.config.model_dump(mode="json"),
        "dr_set": run.name,
        "node_names": labelled.names,
        "node_types": labelled.types,
        "level_names": labelled.level_names,
        "figures": quality.figures,
        "notes": fitted.notes,
    }
    write_tables(run.reports, labelled, census, prompts, quality, fitted.notes)
    draw_map(labelled, dr, labels, quality.figures, run.reports / MAP)
    figures = quality.figures
    summary = "; ".join(
        [
            f"tree {fitted.tree.sizes}",
            f"NMI of types {figures['nmi_type']:.3f}",
            f"purity of degrees {figures['purity_degree']:.3f}",
            *fitted.notes,
        ]
    )
    record = hierarchy_record(replace(fitted.tree, assign=assign), attributes, census)
    run.commit("cluster", stamp, {("hierarchies", run.name): record}, summary, figures)
