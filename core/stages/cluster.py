"""Cluster the training DRs into the hierarchy; name its nodes; measure and draw how well it matches the true types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

from ..catalogue import validate_config
from ..contracts import Prompts
from ..errors import RegistryError
from ..files import atomic
from ..hierarchy import Hierarchy, level_names, normalised
from ..models import hierarchy_record
from ..photos import TRAIN
from ..run import Run
from ..samples import SampleSet


def cluster(run: Run, stamp: str) -> None:
    """Write the hierarchy: nodes from the training photos' DRs, every sample assigned."""
    samples = run.samples()
    if samples.dr is None:
        raise RegistryError(f"dr_sets/{run.name}: has no DRs yet; run the extract stage first")
    section = run.recipe.cluster
    spec = run.catalogue.clusterer(section.name)
    config = validate_config(spec.config, section.config, "cluster.config")
    train = samples.rows(TRAIN)
    fitted: Hierarchy = spec.build(config).fit(samples.dr[train]).hierarchy_
    census = fitted.census(samples.prompt[train], len(samples.prompts.pairs))
    figures = quality(fitted, samples, train)
    tree = replace(fitted, assign=fitted.assign_dr(samples.dr))
    names, types = name_nodes(fitted, census, samples.prompts)
    attributes = {
        "stamp": stamp,
        "clusterer": spec.name,
        "config": config.model_dump(mode="json"),
        "dr_set": run.name,
        "node_names": names,
        "node_types": types,
        "level_names": level_names(tree.depth),
        "figures": figures,
    }
    draw_map(samples, fitted, train, names, figures, run.reports / "hierarchy.png")
    summary = f"tree {tree.sizes}; NMI of level 1 with the true types {figures['nmi_type']:.3f}"
    run.commit(
        "cluster", stamp, {("hierarchies", run.name): hierarchy_record(tree, attributes, census)}, summary, figures
    )


def quality(tree: Hierarchy, samples: SampleSet, rows: NDArray[np.intp]) -> dict[str, float]:
    """NMI of the type level with types and of the leaves with prompts; purity; silhouette of the type level."""
    dr, types = samples.dr, samples.type_labels[rows]
    nodes = tree.assign[:, min(1, tree.depth - 1)]
    figures = {
        "nmi_type": float(normalized_mutual_info_score(types, nodes)),
        "nmi_prompt": float(normalized_mutual_info_score(samples.prompt[rows], tree.assign[:, -1])),
        "purity_type": sum(int(np.bincount(types[nodes == n]).max()) for n in np.unique(nodes)) / len(rows),
    }
    if dr is not None and 1 < len(np.unique(nodes)) < len(rows):
        points = normalised(dr[rows])
        figures["silhouette_type"] = float(
            silhouette_score(points, nodes, sample_size=min(2000, len(rows)), random_state=0)
        )
    return figures


def name_nodes(tree: Hierarchy, census: NDArray[np.int32], prompts: Prompts) -> tuple[list[str], list[str]]:
    """A unique name for each node after its majority prompt ("noise", "noise/small"), and its majority type."""
    of = np.array(prompts.type_of)
    by_type = np.stack([census[:, of == t].sum(1) for t in range(len(prompts.types))], axis=1)  # (M, T)
    types = [prompts.types[t] for t in by_type.argmax(1)]
    names: list[str] = []
    for node in range(len(tree)):
        inside = np.where(of == by_type[node].argmax(), census[node], -1)
        degree = prompts.pairs[int(inside.argmax())][1]
        level = int(tree.level[node])
        name = "all" if level == 0 else types[node] if level == 1 else f"{types[node]}/{degree}" + "+" * (level - 2)
        same = sum(1 for n in names if n == name or n.startswith(f"{name}#"))
        names.append(f"{name}#{same + 1}" if same else name)
    return names, ["all", *types[1:]]


def draw_map(
    samples: SampleSet, tree: Hierarchy, rows: NDArray[np.intp], names: list[str], figures: dict[str, float], path: Path
) -> None:
    """A 2-D map (principal components) of the training DRs, coloured by true type and by node of the type level."""
    from matplotlib.figure import Figure

    assert samples.dr is not None
    pick = np.random.default_rng(0).permutation(len(rows))[:3000]
    flat = PCA(2, random_state=0).fit_transform(normalised(samples.dr[rows][pick]))
    figure = Figure(figsize=(13, 6), layout="constrained")
    nodes = tree.assign[pick, min(1, tree.depth - 1)]
    sides = (
        ("true type", samples.type_labels[rows][pick], list(samples.prompts.types)),
        (f"node (NMI {figures['nmi_type']:.3f})", nodes, names),
    )
    for axes, (title, labels, legend) in zip(figure.subplots(1, 2), sides, strict=True):
        for number, label in enumerate(np.unique(labels)):
            here = labels == label
            colour = f"C{number % 10}"
            axes.scatter(flat[here, 0], flat[here, 1], s=4, color=colour, label=legend[int(label)])
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(markerscale=3, fontsize=8)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=110)
