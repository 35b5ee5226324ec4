"""The built-in clusterers find what is there, nest, and say what they cannot do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from unirestorer.core.contracts import Labels, Prompts
from unirestorer.core.errors import ShapeError, UnknownNameError
from unirestorer.core.hierarchy import Hierarchy
from unirestorer.plugins.clusterers import kmeans, topdown
from unirestorer.plugins.clusterers.agglomerative import cut
from unirestorer.plugins.clusterers.points import Points, checked, distinct
from unirestorer.plugins.manager import load_catalogue

CATALOGUE = load_catalogue()
SIZED = ("kmeans", "kmeans-topdown", "minibatch-kmeans", "agglomerative", "bisecting", "gmm")
PAIRS = tuple((kind, degree) for kind in ("rain", "snow", "noise", "blur") for degree in ("small", "medium", "large"))


def families(each: int = 30, noise: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """DRs (12 each, 16) of four types of three degrees, well apart in direction, and their prompt."""
    draw = np.random.default_rng(seed)
    types = 3 * np.eye(16)[:4].repeat(3, axis=0)
    degrees = 0.8 * np.eye(16)[4:16]
    prompt = np.tile(np.arange(12), each)
    dr = (types + degrees)[prompt] + noise * draw.normal(size=(12 * each, 16))
    return dr.astype(np.float32), prompt.astype(np.int32)


def labels(prompt: np.ndarray) -> Labels:
    return Labels(prompt, Prompts(("rain", "snow", "noise", "blur"), PAIRS))


def fitted(name: str, dr: np.ndarray, prompt: np.ndarray | None = None, **config: Any) -> Any:
    spec = CATALOGUE.clusterer(name)
    clusterer = spec.build(spec.config.model_validate(config))
    return clusterer.fit(dr) if prompt is None else clusterer.fit(dr, labels(prompt))


def tree_of(name: str, dr: np.ndarray, prompt: np.ndarray | None = None, **config: Any) -> Hierarchy:
    tree: Hierarchy = fitted(name, dr, prompt, **config).hierarchy_
    return tree


def check_means(tree: Hierarchy, dr: np.ndarray) -> None:
    """Every centroid is the mean of the samples of its node."""
    for node in range(len(tree)):
        own = dr[tree.assign[:, tree.level[node]] == node].mean(axis=0)
        assert np.abs(own - tree.centroid[node]).max() < 1e-4


@pytest.mark.parametrize("name", [*SIZED, "hdbscan", "auto"])
@pytest.mark.parametrize("normalize", [True, False])
def test_types_and_degrees_are_found(name: str, normalize: bool) -> None:
    dr, prompt = families()
    other: dict[str, dict[str, Any]] = {"hdbscan": {"coarser": (1, 4)}, "auto": {"most": (1, 8, 16), "restarts": 5}}
    config = other.get(name, {"sizes": (1, 4, 12)})
    tree = tree_of(name, dr, normalize=normalize, **config)
    assert tree.sizes == (1, 4, 12)
    assert adjusted_rand_score(prompt // 3, tree.assign[:, 1]) == 1
    assert adjusted_rand_score(prompt, tree.assign[:, 2]) == 1
    assert np.array_equal(tree.assign_dr(dr), tree.assign)
    check_means(tree, dr / np.linalg.norm(dr, axis=1, keepdims=True) if normalize else dr)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("sizes", [(1,), (1, 4), (1, 2, 4, 8), (1, 3, 3, 7)])
def test_every_size_is_reached_at_any_depth(name: str, sizes: tuple[int, ...]) -> None:
    tree = tree_of(name, families(each=8)[0], sizes=sizes)
    assert tree.sizes == sizes
    assert np.bincount(tree.assign[:, -1], minlength=len(tree))[tree.leaves].min() > 0


@pytest.mark.parametrize("name", SIZED)
def test_one_sample_is_a_tree_of_one_leaf(name: str) -> None:
    dr = families(each=1)[0][:1]
    tree = tree_of(name, dr, sizes=(1, 1), normalize=False)
    assert tree.sizes == (1, 1)
    assert np.array_equal(tree.centroid, dr.repeat(2, axis=0))


@pytest.mark.parametrize("name", SIZED)
def test_too_few_distinct_samples_are_one_line(name: str) -> None:
    dr = np.repeat(families(each=1)[0], 9, axis=0)
    with pytest.raises(ShapeError, match=rf"^{name}: got .* at least 13 distinct rows for 13 leaves$"):
        fitted(name, dr, sizes=(1, 4, 13))


@pytest.mark.parametrize("name", [*SIZED, "hdbscan", "auto", "manual"])
def test_what_is_no_number_is_one_line(name: str) -> None:
    dr, prompt = families(each=4)
    dr[[5, 9], 2] = np.nan, np.inf
    with pytest.raises(ShapeError, match=rf"^{name}: got nan or inf in 2 DRs, first in row 5; wanted finite values$"):
        fitted(name, dr, prompt if name == "manual" else None)
    with pytest.raises(ShapeError, match="shape"):
        fitted(name, dr[0], prompt if name == "manual" else None)


def test_trees_of_two_levels_are_the_same_top_down_and_bottom_up() -> None:
    """So that models whose record says ``kmeans``, meaning top down, are extended as before."""
    dr, _ = families(noise=0.4)
    one, two = (tree_of(name, dr, sizes=(1, 5)) for name in ("kmeans", "kmeans-topdown"))
    for part in ("parent", "level", "assign"):
        assert np.array_equal(getattr(one, part), getattr(two, part))
    assert np.allclose(one.centroid, two.centroid, atol=1e-6)


def test_bottom_up_weighs_centres_by_their_samples() -> None:
    """Three spots on a line: unweighted, the two that are nearest would be joined; weighted, the light one moves."""
    places = np.repeat([[0.0, 0.0], [1.0, 0.0], [2.1, 0.0]], [1000, 10, 1000], axis=0)
    dr = (places + 0.001 * np.random.default_rng(0).normal(size=places.shape)).astype(np.float32)
    tree = tree_of("kmeans", dr, sizes=(1, 2, 3), normalize=False)
    assert len(set(tree.assign[[0, 1005], 1])) == 1
    assert tree.centroid[tree.assign[0, 1]][0] == pytest.approx(10 / 1010, abs=1e-3)


def test_a_tight_cluster_stays_whole_top_down() -> None:
    dr, prompt = families(each=40, noise=0.0)
    dr[prompt < 9] += 0.3 * np.random.default_rng(0).normal(size=(360, 16)).astype(np.float32)
    dr[prompt >= 9] = dr[prompt == 9][:1] + 0.001 * dr[prompt >= 9]
    tree = tree_of("kmeans-topdown", dr, sizes=(1, 4, 9))
    assert len(tree.children(int(tree.assign[prompt == 9][0, 1]))) == 1


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts on 60 samples, so that Lloyd's algorithm over all of them is needed."""
    monkeypatch.setattr(kmeans, "SAMPLE", 60)
    monkeypatch.setattr(topdown, "SAMPLE", 60)


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("name", ["kmeans", "kmeans-topdown"])
def test_more_samples_than_are_looked_at_first(name: str) -> None:
    dr, prompt = families(each=600, noise=0.1)  # 7200: two chunks
    tree = tree_of(name, dr, sizes=(1, 4, 12))
    assert adjusted_rand_score(prompt, tree.assign[:, 2]) == 1
    assert np.array_equal(tree.assign_dr(dr), tree.assign)
    check_means(tree, dr / np.linalg.norm(dr, axis=1, keepdims=True))


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("name", [*SIZED, "hdbscan", "auto"])
def test_the_number_of_threads_changes_no_bit(name: str) -> None:
    import torch

    dr, _ = families(each=400, noise=0.6)
    config: dict[str, Any] = {"sizes": (1, 4, 12)} if name in SIZED else {"fewest": 4} if name == "hdbscan" else {}
    if name in ("agglomerative", "bisecting", "hdbscan", "auto"):
        config["sample"] = 300
    trees, before = list[Hierarchy](), torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            trees.append(tree_of(name, dr, **config))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(trees[0].assign, trees[1].assign)
    assert trees[0].centroid.tobytes() == trees[1].centroid.tobytes()


def test_lloyd_gives_an_empty_cluster_the_farthest_point() -> None:
    dr = np.array([[0, 0], [0.1, 0], [5, 0], [5.1, 0], [9, 9]], dtype=np.float32)
    start = np.array([[0, 0], [5, 0], [-50, -50]], dtype=np.float32)
    found = kmeans.lloyd(Points("test", dr, normalize=False), start, 1e-9)
    assert np.allclose(found, np.array([[0.05, 0], [5.05, 0], [9, 9]]))


def test_the_others_go_to_the_nearest_leaf_where_not_all_are_looked_at() -> None:
    dr, prompt = families(each=60)
    for name in ("agglomerative", "bisecting"):
        clusterer = fitted(name, dr, sizes=(1, 4, 12), sample=200)
        assert adjusted_rand_score(prompt, clusterer.hierarchy_.assign[:, 2]) == 1
        assert clusterer.notes_ == (f"{name} looked at 200 of 720 DRs; the others went to the nearest leaf",)
    assert fitted("agglomerative", dr, sizes=(1, 4)).notes_ == ()


def test_merges_are_cut_so_that_levels_nest() -> None:
    merges = np.array([[0, 1], [3, 4], [2, 5], [6, 7]])  # of five samples
    whole, two, three = ([set(np.flatnonzero(level == n)) for n in set(level)] for level in cut(merges, 5, [1, 2, 3]))
    assert whole == [{0, 1, 2, 3, 4}]
    assert sorted(map(sorted, two)) == [[0, 1, 2], [3, 4]]
    assert sorted(map(sorted, three)) == [[0, 1], [2], [3, 4]]


def test_hdbscan_finds_the_number_of_leaves_and_gives_noise_to_the_nearest() -> None:
    dr, prompt = families()
    stray = 0.6 * dr[prompt == 3][:2] + 0.4 * dr[prompt == 4][:2]  # nearer to the first
    clusterer = fitted("hdbscan", np.concatenate([dr, stray]), coarser=(1, 4, 50))
    tree = clusterer.hierarchy_
    assert tree.sizes == (1, 4, 12)
    assert adjusted_rand_score([*prompt, 3, 3], tree.assign[:, 2]) == 1
    assert clusterer.notes_[0].startswith("hdbscan found 12 leaves; ")
    with pytest.raises(ShapeError, match=r"no dense place among 360 DRs; lower fewest \(now 300\)"):
        fitted("hdbscan", dr, fewest=300)
    with pytest.raises(ShapeError, match=r"no dense place among 360 DRs; .* or neighbours"):
        fitted("hdbscan", dr, fewest=2, neighbours=361)


def test_manual_is_the_tree_of_the_labels() -> None:
    dr, prompt = families(each=5)
    there = prompt != 7  # no sample of noise/medium
    clusterer = fitted("manual", dr[there], prompt[there])
    names, types = clusterer.labelled_.names, clusterer.labelled_.types
    tree = clusterer.hierarchy_
    assert clusterer.labelled_.level_names == ("ALL", "TYPE", "DEGREE")
    assert names[:5] == ("all", "rain", "snow", "noise", "blur")
    assert "noise/medium" not in names
    assert [names[node] for node in tree.assign[0]] == ["all", "rain", "rain/small"]
    assert [types[node] for node in tree.assign[3]] == ["all", "snow", "snow"]
    check_means(tree, (dr / np.linalg.norm(dr, axis=1, keepdims=True))[there])


def test_manual_groups_are_a_level_more() -> None:
    dr, prompt = families(each=5)
    clusterer = fitted("manual", dr, prompt, groups={"weather": ("rain", "snow"), "lonely": ("blur",)})
    labelled, tree = clusterer.labelled_, clusterer.hierarchy_
    assert labelled.level_names == ("ALL", "GROUP", "TYPE", "DEGREE")
    assert "lonely" not in labelled.names
    paths = {PAIRS[p][0]: [labelled.names[node] for node in tree.assign[prompt == p][0]] for p in (0, 6)}
    assert paths == {
        "rain": ["all", "weather", "rain", "rain/small"],
        "noise": ["all", "all", "noise", "noise/small"],
    }
    assert labelled.types[labelled.names.index("weather")] == "weather"


def test_manual_of_one_type_has_no_level_of_types() -> None:
    dr, prompt = families(each=5)
    clusterer = fitted("manual", dr[prompt < 3], prompt[prompt < 3])
    assert clusterer.labelled_.names == ("all", "rain/small", "rain/medium", "rain/large")
    assert clusterer.hierarchy_.sizes == (1, 3)


@pytest.mark.parametrize(
    ("groups", "error", "said"),
    [
        ({"weather": ("rain", "snoww")}, UnknownNameError, "did you mean 'snow'"),
        ({"noise": ("rain", "snow")}, ShapeError, "groups.noise: the root or a type has this name"),
    ],
)
def test_manual_groups_that_cannot_be_are_one_line(groups: Any, error: type[Exception], said: str) -> None:
    dr, prompt = families(each=2)
    with pytest.raises(error) as caught:
        fitted("manual", dr, prompt, groups=groups)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_manual_wants_a_label_for_every_sample() -> None:
    dr, prompt = families(each=2)
    with pytest.raises(ShapeError, match="got 23 labels for 24 DRs"):
        fitted("manual", dr, prompt[1:])


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("kmeans", {"sizes": (1, 5, 3)}, "never shrink"),
        ("kmeans-topdown", {"sizes": (2, 5)}, "begin with 1"),
        ("auto", {"most": (1, 9, 3)}, "never shrink"),
        ("auto", {"criterion": "elbow"}, "'silhouette' or 'gap'"),
        ("manual", {"groups": {"a": ("rain", "snow"), "b": ("snow",)}}, "snow is there more often"),
        ("manual", {"groups": {"a": ()}}, "the group a is empty"),
        ("gmm", {"covariance": "full"}, "'diag' or 'tied'"),
        ("kmeans", {"seed": -1}, "greater than or equal to 0"),
        ("minibatch-kmeans", {"sizes": (1, 50), "batch": 49}, "batch 49 must be at least the number of leaves, 50"),
        ("agglomerative", {"sizes": (1, 51), "sample": 50}, "sample 50 must be at least the number of leaves, 51"),
        ("bisecting", {"sizes": (1, 51), "sample": 50}, "sample 50 must be at least the number of leaves, 51"),
        ("gmm", {"sizes": (1, 51), "sample": 50}, "sample 50 must be at least the number of leaves, 51"),
    ],
)
def test_a_bad_configuration_says_why(name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CATALOGUE.clusterer(name).config.model_validate(config)


@pytest.mark.parametrize("method", ["kmeans-topdown", "kmeans"])
@pytest.mark.parametrize("criterion", ["silhouette", "gap"])
def test_auto_finds_the_number_of_types_and_degrees(method: str, criterion: str) -> None:
    dr, prompt = families(noise=0.1)
    clusterer = fitted("auto", dr, method=method, criterion=criterion, most=(1, 8, 15), restarts=3, references=3)
    assert clusterer.hierarchy_.sizes == (1, 4, 12)
    assert adjusted_rand_score(prompt, clusterer.hierarchy_.assign[:, 2]) == 1
    one, two = clusterer.notes_
    assert one.startswith(f"level 1: 4 nodes, {criterion} ")
    assert two.startswith(f"level 2: 12 nodes, {criterion} ")
    assert one.endswith(" (2 to 8 tried)" if criterion == "silhouette" else " (1 to 8 tried)")
    if criterion == "silhouette":
        assert ", next best " in one


@pytest.mark.parametrize("method", ["kmeans-topdown", "kmeans"])
def test_the_gap_leaves_out_a_level_that_is_not_there(method: str) -> None:
    draw = np.random.default_rng(4)
    centres = 4 * np.eye(6)[:4]
    dr = (centres.repeat(50, axis=0) + 0.3 * draw.normal(size=(200, 6))).astype(np.float32)
    clusterer = fitted(
        "auto", dr, method=method, criterion="gap", most=(1, 7, 12), normalize=False, restarts=2, references=3
    )
    assert clusterer.hierarchy_.sizes == (1, 4)
    assert sum("left out" in note for note in clusterer.notes_) == 1


def test_the_gap_leaves_evenly_spread_samples_together() -> None:
    dr = np.random.default_rng(0).uniform(size=(300, 3)).astype(np.float32)
    clusterer = fitted("auto", dr, criterion="gap", most=(1, 6), normalize=False, restarts=2)
    assert clusterer.hierarchy_.sizes == (1,)
    assert clusterer.notes_[0].startswith("level 1: left out, gap ")


def test_auto_says_how_many_it_looked_at() -> None:
    dr, _ = families(each=20)
    clusterer = fitted("auto", dr, most=(1, 6), sample=100, restarts=2)
    assert clusterer.notes_[0].endswith("; chosen on 100 of 240 DRs")


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("method", ["kmeans-topdown", "kmeans"])
def test_auto_of_a_few_samples_has_few_nodes(method: str, count: int) -> None:
    dr = families(each=1)[0][:count]
    for criterion in ("silhouette", "gap"):
        tree = tree_of("auto", dr, method=method, criterion=criterion, most=(1, 2, 4, 9), restarts=1, references=2)
        assert len(tree.leaves) <= count


def test_distinct_rows_are_counted_up_to_what_is_enough() -> None:
    rows = np.array([[0, 1], [-0.0, 1], [2, 3], [0, 1], [4, 5]], dtype=np.float32)
    assert distinct(rows, 99) == 3
    assert distinct(rows, 2) == 2
    assert len(checked("test", rows, normalize=True, leaves=3)) == 5
