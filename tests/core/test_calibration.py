"""Temperatures, what they are fitted to, and what the stage writes about them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unirestorer.core.calibration import TOLERANCE, Judged, draw, fit_temperature, judged, reliability
from unirestorer.core.hierarchy import Hierarchy
from unirestorer.core.photos import CALIBRATION, TRAIN
from unirestorer.core.routing import RouterOptions, Routers, Temperatures
from unirestorer.core.run import Run
from unirestorer.core.stages.routers import Apart, Rows, calibrate, folds_of, judged_apart, photos_of

from .tiny_world import make_run

ANCESTORS = np.array([[0, 1, 3], [0, 1, 4], [0, 2, 5]])


def synthetic(temperature: float, classes: int = 4, rows: int = 6000) -> Judged:
    """Logits that are right when divided by ``temperature``."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (rows, classes)).astype(np.float32)
    odds = np.exp(logits / temperature)
    true = (odds.cumsum(1) / odds.sum(1, keepdims=True) > rng.random((rows, 1))).argmax(1)
    return Judged(logits, true[:, None] == np.arange(classes))


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
@pytest.mark.parametrize("classes", [2, 4, 17])
def test_a_known_temperature_is_found_again(temperature: float, classes: int) -> None:
    assert fit_temperature(synthetic(temperature, classes)) == pytest.approx(temperature, rel=0.08)


def test_where_several_choices_are_right_their_probability_together_is_what_is_fitted() -> None:
    rows = np.tile(np.array([[1.0, 1.0, 0.0, 0.0]], np.float32), (1000, 1))
    right = np.tile([True, True, False, False], (1000, 1))
    right[:200] = [False, False, True, False]
    found = float(Judged(rows, right).confidence(fit_temperature(Judged(rows, right)))[0])
    # 800 times ln(2 p), 200 times ln(1/2 - p) is greatest at p = 0.4
    assert found == pytest.approx(0.4, abs=0.002)


def test_rows_in_which_everything_is_right_say_nothing() -> None:
    said = synthetic(2.0, rows=3000)
    more = Judged(np.concatenate([said.logits, -said.logits]), np.concatenate([said.right, said.right | True]))
    assert fit_temperature(more) == fit_temperature(said)


def test_the_same_fit_in_other_units_of_the_logits() -> None:
    said = synthetic(2.0)
    double = Judged(2 * said.logits, said.right)
    assert fit_temperature(double, 2.0) == pytest.approx(2 * fit_temperature(said), rel=1e-6)


def test_a_few_rows_that_are_all_right_do_not_drive_the_temperature_to_its_end() -> None:
    few = Judged(np.array([[1.0, 0.0, 0.0]] * 5, np.float32), np.array([[True, False, False]] * 5))
    assert np.exp(-2.5) < fit_temperature(few) < 1


def test_a_router_with_nothing_to_choose_keeps_its_temperature() -> None:
    assert fit_temperature(Judged(np.zeros((3, 1), np.float32), np.ones((3, 1), np.bool_)), 1.7) == 1.7


def test_confidence_is_the_softmax_of_the_choice_also_far_out() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1000.0, 0.0, -1000.0]], np.float32)
    wanted = torch.tensor(logits).div(0.5).softmax(1).amax(1).numpy()
    said = Judged(logits, np.eye(3, dtype=np.bool_))
    assert np.allclose(said.confidence(0.5), wanted)
    assert said.credit(0.5).tolist() == [1.0, 0.0, 0.0]
    assert np.isfinite(said.surprise(0.05))


def test_a_choice_that_is_one_of_several_best_gets_its_share_of_them() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.2]] * 4, np.float32))
    right = np.array([[True, False, False], [True, True, False], [True, True, True], [False, True, True]])
    assert np.allclose(Judged(logits, right).credit(1.0), [1, 5 / 8, 1 / 2, 0])


def test_right_is_what_comes_within_the_tolerance_of_the_best_expert() -> None:
    lost = np.array([[3.0, 2.0, 2.0, 1.0, 1.0 + TOLERANCE / 2, 5.0], [1.0, 2.0, 2.0, 9.0, 9.0, 9.0]], np.float32)
    leaf = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    level = np.zeros((2, 3), np.float32)
    of_leaf, of_level = judged(leaf, level, ANCESTORS, lost)
    assert of_leaf.right.tolist() == [[True, True, False], [True, True, True]]  # root best: any path holds it
    assert of_level.right.tolist() == [[False, False, True], [True, False, False]]


def test_levels_are_judged_on_the_path_of_the_leaf_that_was_chosen() -> None:
    lost = np.array([[5.0, 5.0, 0.0, 5.0, 4.0, 5.0]], np.float32)  # best: node 2, which the choice cannot reach
    of_leaf, of_level = judged(np.array([[1.0, 0.0, 0.0]], np.float32), np.zeros((1, 3), np.float32), ANCESTORS, lost)
    assert of_leaf.right.tolist() == [[False, False, True]]
    assert of_level.right.tolist() == [[True, True, True]]  # all lose 5 dB on that path


def test_the_expected_calibration_error_by_hand() -> None:
    found = reliability(np.array([0.95, 0.97, 0.55, 0.55, 1.0]), np.array([1.0, 0.0, 1.0, 1.0, 1.0]))
    assert found.images.tolist() == [2, 3]
    assert np.allclose(found.confidence, [0.55, 2.92 / 3])
    assert np.allclose(found.credit, [1.0, 2 / 3])
    assert found.error == pytest.approx((2 * 0.45 + 3 * (2.92 / 3 - 2 / 3)) / 5)
    assert reliability(np.array([0.75] * 4), np.array([1.0, 1.0, 1.0, 0.0])).error == 0


def test_calibrating_lessens_the_error_and_leaves_every_choice(tmp_path: Path) -> None:
    network = Routers(8, torch.from_numpy(ANCESTORS), RouterOptions(temperatures=Temperatures(1.0, 1.0)))
    torch.nn.init.normal_(network.leaf_gate.linear.weight)
    torch.nn.init.normal_(network.level_gate.linear.weight)
    dr = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    before = network.eval()(dr)
    apart = Apart(synthetic(2.0, 3), synthetic(0.5, 3), 0.0)
    figures = calibrate(network, apart, tmp_path / "reports" / "reliability.png")
    after = network(dr)
    assert network.options.temperatures == Temperatures(figures["temperature leaf"], figures["temperature level"])
    assert figures["temperature leaf"] > 1.9
    assert figures["temperature level"] < 0.55
    for name in ("leaf", "level"):
        assert figures[f"ece {name}"] < 0.02 < figures[f"ece {name} before"]
        assert torch.equal(getattr(before, name).argmax(1), getattr(after, name).argmax(1))
    assert bool((after.leaf.amax(1) <= before.leaf.amax(1)).all())
    assert bool((after.level.amax(1) >= before.level.amax(1)).all())
    assert (tmp_path / "reports" / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_of_a_single_router(tmp_path: Path) -> None:
    draw({"leaf": {"one": reliability(np.array([0.5]), np.array([1.0]))}}, tmp_path / "one.png")
    assert (tmp_path / "one.png").exists()


def test_folds_share_no_photo_and_hold_all_rows_of_calibration_photos() -> None:
    photo = np.array(["a", "b", "c", "a", "d", "e", "b"])
    split = np.array([TRAIN if name in "de" else CALIBRATION for name in photo], np.int32)
    first, second = folds_of(photo, split, 0)
    assert not set(photo[first]) & set(photo[second])
    assert set(photo[first]) | set(photo[second]) == {"a", "b", "c"}
    assert (first | second).tolist() == (split == CALIBRATION).tolist()
    assert len(folds_of(photo[:1], split[:1], 0)) == 1


class Spy:
    """Trains nothing; keeps which rows it was given."""

    def __init__(self) -> None:
        self.given: list[NDArray[np.float32]] = []

    def __call__(self, rows: Rows, part: str) -> Routers:
        self.given.append(rows.dr[:, 0])
        return Routers(8, torch.from_numpy(ANCESTORS)).eval()


def test_no_row_is_judged_by_routers_that_were_trained_on_it() -> None:
    dr = np.repeat(np.arange(6, dtype=np.float32)[:, None], 8, axis=1)
    cost = np.ones((6, 6), np.float32)
    cost[:, 3] = 0  # what an undecided router chooses is the root
    rows, train = Rows(dr, cost, cost), Spy()
    folds = [np.arange(6) == 1, np.isin(np.arange(6), [2, 3])]
    tree = Hierarchy(
        np.array([-1, 0, 0, 1, 1, 2], np.int32),
        np.array([0, 1, 1, 2, 2, 2], np.int32),
        np.zeros((6, 8), np.float32),
        np.zeros((0, 3), np.int32),
        normalize=False,
    ).validate()
    apart = judged_apart(train, rows, folds, tree)
    assert [given.tolist() for given in train.given] == [[0, 2, 3, 4, 5], [0, 1, 4, 5]]
    assert len(apart.leaf.logits) == len(apart.level.logits) == 3
    assert apart.regret == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from unirestorer.core.pipeline import run_pipeline

    run = make_run(tmp_path_factory.mktemp("calibrated"), "r")
    run_pipeline(run)
    return run


def test_the_stage_keeps_temperatures_figures_and_a_picture(run: Run) -> None:
    attributes = run.store.attributes("routers", "micro")
    figures = run.store.attributes("stages", "micro.routers")["report"]["figures"]
    assert attributes["temperatures"] == {name: figures[f"temperature {name}"] for name in ("leaf", "level")}
    assert {"ece leaf", "ece leaf before", "ece level", "ece level before", "regret", "regret apart"} <= figures.keys()
    assert figures["seconds"] > 0
    assert (run.reports / "reliability.png").stat().st_size > 5000
    json.dumps(figures)


def test_every_row_of_the_costs_has_the_photo_it_was_made_of(run: Run) -> None:
    sample, samples = run.store.read("costs", "micro").arrays["sample"], run.samples()
    photo, split = photos_of(run, sample)
    assert len(photo) == len(split) == len(sample)
    recorded = sample >= 0
    assert photo[recorded].tolist() == [samples.images[samples.image[number]] for number in sample[recorded]]
    assert (sample < 0).any()
    assert set(photo) <= set(run.photos.names)
    of_photo = dict(zip(photo[recorded], split[recorded], strict=True))
    assert all(of_photo.get(name, part) == part for name, part in zip(photo, split, strict=True))


def test_without_calibration_the_temperature_of_the_recipe_is_kept(run: Run, tmp_path: Path) -> None:
    from unirestorer.core.stages.routers import routers

    section = run.recipe.routers.model_copy(update={"calibrate": False, "temperature": 1.5})
    other = replace(run, recipe=run.recipe.model_copy(update={"routers": section}), reports=tmp_path)
    routers(other, "0" * 64)
    assert other.store.attributes("routers", "micro")["temperatures"] == {"leaf": 1.5, "level": 1.5}
    assert "ece leaf" not in other.store.attributes("stages", "micro.routers")["report"]["figures"]
    assert not (tmp_path / "reliability.png").exists()
