"""What a model remembers: drawn evenly, kept through the registry and extensions, and far from what is unlike it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from unirestorer.core.contracts import Record
from unirestorer.core.errors import RegistryError
from unirestorer.core.extending.bench import Bench
from unirestorer.core.extending.degradation import add_degradation
from unirestorer.core.extending.options import ExtensionRecipe
from unirestorer.core.extending.remove import remove_node
from unirestorer.core.extending.trained import Trained
from unirestorer.core.hierarchy import Hierarchy
from unirestorer.core.memory import Memory, Seen, recorded, remembered, spread_over
from unirestorer.core.mixture import Mixture
from unirestorer.core.photos import CALIBRATION, HELDOUT, TRAIN, load_photos
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.samples import SampleSet
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import export_zip, import_zip, open_registry

from .tiny_world import make_run

KINDS = ("rain", "snow", "haze")


def tree(normalize: bool = True) -> Hierarchy:
    """A root with a leaf on each of three axes."""
    centres = np.vstack([np.zeros(8), np.eye(8)[:3]]).astype(np.float32)
    parent, level = np.array([-1, 0, 0, 0], np.int32), np.array([0, 1, 1, 1], np.int32)
    return Hierarchy(parent, level, centres, np.zeros((0, 2), np.int32), normalize).validate()


def seen(counts: tuple[int, ...] = (300, 300, 60), seed: int = 0, offset: int = 0) -> Seen:
    """Samples around the axes: of every six four train, one calibrates, one is held out."""
    rng = np.random.default_rng(seed)
    axis = np.repeat(np.arange(len(counts)), counts)
    dr = np.eye(8)[axis + offset] * 5 + rng.normal(size=(len(axis), 8)) * 0.4
    split = np.array([TRAIN, TRAIN, TRAIN, TRAIN, CALIBRATION, HELDOUT], np.int32)[np.arange(len(axis)) % 6]
    labels = [(KINDS[number], "heavy" if row % 2 else "light") for row, number in enumerate(axis)]
    return Seen(dr.astype(np.float32), labels, [f"photo{row % 40}.png" for row in range(len(axis))], split)


def strange(count: int = 100) -> NDArray[np.float32]:
    """DRs on an axis of their own."""
    noise = np.random.default_rng(9).normal(size=(count, 8))
    dr: NDArray[np.float32] = (np.eye(8)[np.full(count, 5)] * 5 + noise * 0.4).astype(np.float32)
    return dr


def test_rows_are_drawn_evenly_and_the_same_each_time() -> None:
    group = np.repeat([4, 7, 9], [500, 30, 200])
    rows = spread_over(group, 150, seed=3)
    assert Counter(group[rows].tolist()) == {4: 60, 7: 30, 9: 60}
    assert len(set(rows.tolist())) == 150
    assert np.array_equal(rows, spread_over(group, 150, seed=3))
    assert not np.array_equal(rows, spread_over(group, 150, seed=4))
    assert np.array_equal(spread_over(group, 10_000, seed=3), np.arange(730))


def test_only_training_samples_are_remembered_with_their_labels_and_photos() -> None:
    all_of_them = seen()
    memory = remembered(all_of_them, tree(), 120, seed=1)
    assert len(memory) == 120
    place = {values.tobytes(): row for row, values in enumerate(all_of_them.dr)}
    rows = [place[values.tobytes()] for values in memory.dr]
    assert set(all_of_them.split[rows]) == {TRAIN}
    assert [memory.labels[number] for number in memory.label] == [all_of_them.labels[row] for row in rows]
    assert [memory.photos[number] for number in memory.photo] == [all_of_them.photos[row] for row in rows]
    assert Counter(kind for kind, _ in (memory.labels[number] for number in memory.label)) == dict.fromkeys(KINDS, 40)


@pytest.mark.parametrize("normalize", [True, False])
def test_two_percent_of_what_is_known_is_beyond_the_edge_and_what_is_strange_is(normalize: bool) -> None:
    known = seen((3000, 3000, 3000))
    memory = remembered(known, tree(normalize), 900, seed=1)
    novelty = memory.novelty(known.dr)
    assert (novelty[known.split == CALIBRATION] > 1).mean() == pytest.approx(0.02, abs=0.002)
    assert (novelty[known.split == HELDOUT] > 1).mean() < 0.04
    assert (memory.novelty(strange()) > 1).all()


@pytest.mark.parametrize("normalize", [True, False])
def test_distances_are_those_of_scikit_learn(normalize: bool) -> None:
    memory = remembered(seen(), tree(normalize), 200, seed=1)
    points, asked = memory.dr.astype(np.float64), strange(20).astype(np.float64)
    if normalize:
        points, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (points, asked))
    else:
        points, asked = ((x - memory.dr.mean(0)) / memory.dr.std(0) for x in (points, asked))
    distance, rows = NearestNeighbors(n_neighbors=10).fit(points).kneighbors(asked)
    assert memory.novelty(strange(20)) == pytest.approx(distance[:, -1] / memory.edge, rel=1e-4)
    near = memory.nearest(strange(20)[0])
    assert [neighbour.photo for neighbour in near] == [memory.photos[memory.photo[row]] for row in rows[0, :5]]
    assert [(n.type, n.degree) for n in near] == [memory.labels[memory.label[row]] for row in rows[0, :5]]
    assert [neighbour.distance for neighbour in near] == pytest.approx(distance[0, :5] / memory.edge, rel=1e-4)


def test_fewer_samples_than_neighbours_will_do() -> None:
    few = seen((6, 6, 6))
    memory = remembered(few, tree(), 3, seed=0)
    assert np.isfinite(memory.novelty(few.dr)).all()
    assert len(memory.nearest(few.dr[0])) == 3


def test_samples_of_something_new_join_and_become_known() -> None:
    memory = remembered(seen(), tree(), 120, seed=1)
    new = Seen(strange(600), [("fog", "thick")] * 600, ["new.png"] * 600, seen((600,)).split)
    grown = memory.grown(new, tree(), 30, seed=2)
    assert len(grown) == 150
    assert (memory.novelty(new.dr) > 1).all()
    assert (grown.novelty(new.dr[new.split == CALIBRATION]) > 1).mean() <= 0.02
    assert (grown.novelty(new.dr[new.split == HELDOUT]) > 1).mean() < 0.05
    assert grown.nearest(new.dr[0])[0][:3] == ("new.png", "fog", "thick")
    known = [grown.labels[number] for number in grown.label[:120]]
    assert known == [memory.labels[number] for number in memory.label]
    assert grown.edge >= memory.edge


def test_samples_of_a_removed_damage_are_forgotten() -> None:
    memory = remembered(seen(), tree(), 120, seed=1)
    left = memory.without(["snow"])
    assert len(left) == 80
    assert {kind for kind, _ in left.labels} == {"rain", "haze"}
    assert left.edge == memory.edge
    assert memory.without(KINDS) is memory
    assert memory.without(["fog"]) is memory


def record_of(memory: Memory) -> Record:
    return memory.added_to(Record({"weights": np.zeros(3, np.uint8)}, {"dim": 8}))


def test_a_record_gives_the_memory_back() -> None:
    memory = remembered(seen(), tree(), 50, seed=1)
    back = recorded(record_of(memory), "routers x")
    assert back is not None
    assert np.array_equal(back.dr, memory.dr)
    assert (back.labels, back.photos, back.edge, back.neighbours) == (memory.labels, memory.photos, memory.edge, 10)
    assert np.array_equal(back.novelty(strange()), memory.novelty(strange()))
    assert recorded(Record({}, {"dim": 8}), "routers x") is None


@pytest.mark.parametrize(
    ("array", "attribute", "value"),
    [
        ("memory_label", "", 99),
        ("memory_photo", "", -1),
        ("memory_dr", "", np.nan),
        ("", "memory_labels", [["rain"]]),
        ("", "dim", 9),
        ("", "novelty", {"normalize": True, "neighbours": 10}),
        ("", "novelty", {"normalize": True, "neighbours": 10, "edge": 0}),
        ("", "novelty", {"normalize": True, "neighbours": 0, "edge": 1}),
    ],
)
def test_a_damaged_record_is_refused_in_one_line(array: str, attribute: str, value: object) -> None:
    record = record_of(remembered(seen(), tree(), 50, seed=1))
    if array:
        values = record.arrays[array].copy()
        values[3] = value
        record = replace(record, arrays={**record.arrays, array: values})
    else:
        record = replace(record, attributes={**record.attributes, attribute: value})
    with pytest.raises(RegistryError, match="routers x: its training samples are damaged") as caught:
        recorded(record, "routers x")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    run_pipeline(make_run(folder, "trained"))
    return folder


def memory_in(path: Path, model: str = "default") -> Memory:
    memory = Mixture(open_registry(path), load_catalogue(), model).memory
    assert memory is not None
    return memory


def test_a_trained_model_remembers_its_samples_and_the_extra_ones_of_the_routers(world: Path) -> None:
    store = open_registry(world / "trained")
    samples, costs = SampleSet.from_record(store.read("dr_sets", "micro")), store.read("costs", "micro")
    memory, known = memory_in(world / "trained"), {}
    assert samples.dr is not None
    for row in samples.rows(TRAIN):
        known[samples.dr[row].tobytes()] = (
            samples.prompts.pairs[samples.prompt[row]],
            samples.images[samples.image[row]],
        )
    extra = costs.arrays["sample"] < 0
    kinds = np.array(costs.attributes["kinds"])[costs.arrays["kind"]][extra]
    others = dict(zip((values.tobytes() for values in costs.arrays["dr"][extra]), kinds, strict=True))
    found: Counter[bool] = Counter()
    for values, label, photo in zip(memory.dr, memory.label, memory.photo, strict=True):
        place = values.tobytes()
        if place in known:
            assert known[place] == (memory.labels[label], memory.photos[photo])
        else:
            assert others[place] == memory.labels[label][0]
        found[place in known] += 1
    assert found[True] == len(samples.rows(TRAIN))
    assert 0 < found[False] <= extra.sum()


def test_an_export_keeps_the_memory_as_it_is_also_at_half_precision(world: Path, tmp_path: Path) -> None:
    export_zip(open_registry(world / "trained"), tmp_path / "half.zip", model="default", half=True)
    import_zip(tmp_path / "half.zip", tmp_path / "imported")
    for path in (tmp_path / "half.zip", tmp_path / "imported"):
        kept, was = memory_in(path), memory_in(world / "trained")
        assert kept.dr.dtype == np.float32
        assert np.array_equal(kept.dr, was.dr)
        assert (kept.edge, kept.labels, kept.photos) == (was.edge, was.labels, was.photos)


def test_an_extended_model_carries_the_memory_on(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "trained", tmp_path / "own")
    store = open_registry(tmp_path / "own")
    old = memory_in(tmp_path / "own")
    trained = Trained.load(store, load_catalogue())
    options = ExtensionRecipe(samples=64, steps=6, rehearsal=40, tried=24)
    photos = load_photos(world / "photos", trained.recipe.synthesize.crop)
    add_degradation(Bench(trained, photos, tmp_path / "work", options, lambda *_: None), "rain")
    new = memory_in(tmp_path / "own")
    assert np.array_equal(new.dr[: len(old)], old.dr)
    kinds = [new.labels[number][0] for number in new.label]
    assert set(kinds[len(old) :]) == {"rain"}
    assert "rain" not in kinds[: len(old)]
    assert np.array_equal(memory_in(tmp_path / "own", "micro").dr, old.dr)
    remove_node(Trained.load(store, load_catalogue()), "rain", options, tmp_path / "gone", lambda *_: None)
    assert np.array_equal(memory_in(tmp_path / "own").dr, old.dr)


def without_memory(world: Path, target: Path) -> Path:
    """The trained model as one of before there were memories."""
    shutil.copytree(world / "trained", target)
    store = open_registry(target)
    record = store.read("routers", "micro")
    arrays = {name: array for name, array in record.arrays.items() if not name.startswith("memory_")}
    attributes = {key: value for key, value in record.attributes.items() if key[:6] not in ("memory", "novelt")}
    store.write({("routers", "micro"): Record(arrays, attributes)}, message="older", author="test")
    return target


def test_an_older_model_goes_on_working_and_growing_without_one(world: Path, tmp_path: Path) -> None:
    store = open_registry(without_memory(world, tmp_path / "older"))
    mixture = Mixture(store, load_catalogue())
    estimate = mixture.estimate(torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)))
    assert (mixture.memory, estimate.novelty, estimate.unknown, estimate.nearest) == (None, None, False, ())
    options = ExtensionRecipe(samples=64, steps=6, rehearsal=40, tried=24)
    remove_node(Trained.load(store, load_catalogue()), "noise/large", options, tmp_path / "work", lambda *_: None)
    assert Mixture(store, load_catalogue()).memory is None
