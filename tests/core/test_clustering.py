"""What the stage ``cluster`` writes: the tree of any clusterer, its names, figures, tables and map."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from unirestorer.core.clustering.map import draw_map, flattened, hues, leaf_colours
from unirestorer.core.clustering.naming import named
from unirestorer.core.clustering.quality import measure, purity
from unirestorer.core.clustering.tables import write_tables
from unirestorer.core.contracts import Labels, Prompts, Record
from unirestorer.core.errors import UniRestorerError
from unirestorer.core.hierarchy import Hierarchy, LabelledTree
from unirestorer.core.models import load_hierarchy
from unirestorer.core.photos import TRAIN
from unirestorer.core.pipeline import run_stage
from unirestorer.core.recipe import ClusterConfig
from unirestorer.core.run import Run
from unirestorer.core.stages import STAGES
from unirestorer.core.stages.cluster import cluster

from .tiny_world import make_run

LABELS = Labels(
    np.array([0, 0, 1, 1, 2, 2, 2, 2]),
    Prompts(("rain", "haze"), (("rain", "small"), ("rain", "large"), ("haze", "any"))),
)
DR = np.array([[0, 0], [0, 1], [2, 0], [2, 1], [9, 0], [9, 1], [9, 2], [9, 3]], dtype=np.float32)


def hand_made(leaf: list[int]) -> LabelledTree:
    """A root, two types, and two leaves below the first of them, one below the second."""
    leaves = np.array(leaf)
    tree = Hierarchy(
        parent=np.array([-1, 0, 0, 1, 1, 2], dtype=np.int32),
        level=np.array([0, 1, 1, 2, 2, 2], dtype=np.int32),
        centroid=np.array([[5, 1], [1, 0.5], [9, 1.5], [0, 0.5], [2, 0.5], [9, 1.5]], dtype=np.float32),
        assign=np.stack([np.zeros(8), np.where(leaves < 5, 1, 2), leaves], axis=1).astype(np.int32),
        normalize=False,
    ).validate()
    return named(tree, tree.census(LABELS.prompt, 3), LABELS.prompts)


PERFECT = [3, 3, 4, 4, 5, 5, 5, 5]


def test_a_perfect_tree_has_perfect_figures() -> None:
    figures, silhouette = measure(hand_made(PERFECT), DR, LABELS)
    for name in ("nmi_type", "nmi_prompt", "purity_type", "purity_degree", "agreement"):
        assert figures[name] == pytest.approx(1), name
    assert figures["silhouette_type"] == pytest.approx(silhouette_score(DR, [1] * 4 + [2] * 4))
    assert figures["silhouette_degree"] == pytest.approx(silhouette_score(DR, PERFECT))
    assert np.isnan(silhouette[0])
    assert silhouette[1:3].mean() == pytest.approx(figures["silhouette_type"])


def test_figures_say_what_is_wrong() -> None:
    figures, _ = measure(hand_made([3, 4, 4, 4, 5, 5, 5, 3]), DR, LABELS)
    assert figures["purity_type"] == 7 / 8
    assert figures["purity_degree"] == 6 / 8
    assert figures["agreement"] == 6 / 8
    assert 0 < figures["nmi_type"] < 1


def test_purity_is_the_share_of_majorities() -> None:
    assert purity(np.array([0, 0, 0, 7, 7]), np.array([1, 1, 2, 2, 0])) == 3 / 5


def test_the_tables_have_every_node(tmp_path: Path) -> None:
    labelled = hand_made(PERFECT)
    quality = measure(labelled, DR, LABELS)
    census = labelled.tree.census(LABELS.prompt, 3)
    write_tables(tmp_path, labelled, census, LABELS.prompts, quality, ("level 1: 2 nodes, because",))
    with (tmp_path / "clusters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["all", "rain", "haze", "rain/small", "rain/large", "haze/any"]
    assert (rows[0]["samples"], rows[0]["silhouette"], rows[0]["share"]) == ("8", "", "0.500")
    assert (rows[4]["level"], rows[4]["majority"], rows[4]["rain/large"], rows[4]["haze/any"]) == (
        "DEGREE",
        "rain/large",
        "2",
        "0",
    )
    text = (tmp_path / "clusters.md").read_text()
    assert "# Tree 1-2-3\n" in text
    assert "\nLevel 1: 2 nodes, because.\n" in text
    assert "| purity degree | 1.000 |" in text
    assert len([line for line in text.splitlines() if line.startswith(tuple(f"| {node} |" for node in range(6)))]) == 6


def test_the_map_has_a_colour_for_each_of_many_leaves(tmp_path: Path) -> None:
    labelled = hand_made(PERFECT)
    draw_map(labelled, DR, LABELS, measure(labelled, DR, LABELS).figures, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5000
    colours = dict(zip(LABELS.prompts.types, hues(2), strict=True))
    assert len(set(leaf_colours(labelled, colours).values())) == 3
    assert all(len(set(hues(count))) == count for count in (7, 20, 33))


def test_one_sample_or_one_dimension_can_be_drawn() -> None:
    assert flattened(np.ones((1, 5), dtype=np.float32)).tolist() == [[0, 0]]
    line = flattened(np.array([[1], [2], [4]], dtype=np.float32))
    assert np.allclose(np.abs(np.diff(line, axis=0)), [[1, 0], [2, 0]])


Clustered = Callable[..., tuple[Run, Record]]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A micro run whose samples have DRs."""
    run = make_run(tmp_path_factory.mktemp("extracted"), "registry")
    for name, _, stage in STAGES[:3]:
        run_stage(run, name, stage, name)
    return run


@pytest.fixture
def clustered(extracted: Run, tmp_path: Path) -> Clustered:
    """``clustered(name, **config)``: the run, and the hierarchy that the stage wrote with that clusterer."""

    def make(name: str, **config: Any) -> tuple[Run, Record]:
        recipe = extracted.recipe.model_copy(update={"cluster": ClusterConfig(name=name, config=config)})
        run = replace(extracted, recipe=recipe, reports=tmp_path)
        run_stage(run, "cluster", cluster, f"{name} {config}")
        return run, run.store.read("hierarchies", run.name)

    return make


CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "kmeans": {"sizes": [1, 3, 5]},
    "agglomerative": {"sizes": [1, 3, 5]},
    "gmm": {"sizes": [1, 3, 5], "restarts": 2},
    "hdbscan": {"coarser": [1, 2], "fewest": 3},
    "manual": {"groups": {"dim": ["clean", "lowlight"]}},
    "auto": {"most": [1, 4, 6], "restarts": 2},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_stage_writes_what_any_clusterer_finds(name: str, clustered: Clustered) -> None:
    run, record = clustered(name, **CONFIGS[name])
    samples, tree = run.samples(), load_hierarchy(run.store, run.name).tree
    train = samples.rows(TRAIN)
    assert tree.assign.shape == (len(samples), tree.depth)
    assert np.array_equal(
        record.arrays["census"][0], np.bincount(samples.prompt[train], minlength=len(samples.prompts.pairs))
    )
    assert samples.dr is not None
    others = np.setdiff1d(np.arange(len(samples)), train)
    assert np.array_equal(tree.assign[others], tree.assign_dr(samples.dr[others]))
    assert {path.name for path in run.reports.iterdir()} == {"hierarchy.png", "clusters.md", "clusters.csv"}
    assert record.attributes["clusterer"] == name
    report = run.store.attributes("stages", f"{run.name}.cluster")["report"]
    assert {"nmi_type", "nmi_prompt", "purity_type", "purity_degree", "agreement"} <= report["figures"].keys()
    for note in record.attributes["notes"]:
        assert note in report["summary"]
    assert bool(record.attributes["notes"]) == (name in ("auto", "hdbscan"))


def test_labels_name_the_nodes_of_a_manual_tree_and_its_training_samples_stay_there(clustered: Clustered) -> None:
    run, record = clustered("manual", groups={"dim": ["clean", "lowlight"]})
    labelled, samples = load_hierarchy(run.store, run.name), run.samples()
    assert labelled.level_names == ("ALL", "GROUP", "TYPE", "DEGREE")
    assert labelled.names[:2] == ("all", "dim")
    train = samples.rows(TRAIN)
    kinds = [labelled.types[leaf] for leaf in labelled.tree.assign[train, -1]]
    assert kinds == [samples.prompts.types[kind] for kind in samples.type_labels[train]]
    figures = record.attributes["figures"]
    assert (figures["purity_type"], figures["purity_degree"]) == (1, 1)
    assert figures["agreement"] < 1  # the extractor of a few steps knows little
    assert figures.keys() >= {"silhouette_group", "silhouette_type", "silhouette_degree"}


def test_what_a_clusterer_refuses_leaves_nothing_behind(clustered: Clustered, extracted: Run) -> None:
    _, before = clustered("kmeans", sizes=[1, 3])
    with pytest.raises(UniRestorerError, match="did you mean 'clean'"):
        clustered("manual", groups={"a": ["claen", "noise"]})
    after = extracted.store.read("hierarchies", extracted.name)
    assert dict(after.attributes) == dict(before.attributes)
