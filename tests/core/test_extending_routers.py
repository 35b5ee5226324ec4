"""A model of before gets what new ones have: training samples to compare photos with, calibrated temperatures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from unirestorer.core.contracts import Record, Store
from unirestorer.core.errors import ConfigError, RegistryError
from unirestorer.core.extending.bench import Bench
from unirestorer.core.extending.degradation import add_degradation
from unirestorer.core.extending.finish import Extended
from unirestorer.core.extending.forecast import forecast_routers
from unirestorer.core.extending.options import ExtensionRecipe
from unirestorer.core.extending.redrawing import redraw
from unirestorer.core.extending.remove import remove_node
from unirestorer.core.extending.routers import extend_routers
from unirestorer.core.extending.trained import Trained
from unirestorer.core.memory import SIZE, remembered
from unirestorer.core.mixture import Mixture
from unirestorer.core.photos import HELDOUT, TRAIN, load_photos
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.run import Watcher
from unirestorer.core.stages.routers import choose
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import export_zip, history, import_zip, kept_experts, open_registry, verify
from unirestorer.registry.base import ZarrRegistry

from ..commands import run
from .tiny_world import contents, make_photos, make_run

OPTIONS = ExtensionRecipe(samples=160, tried=24, steps=4, rehearsal=40)
NEW = {"temperatures", "memory_labels", "memory_photos", "novelty"}


def silent(task: str, done: int, total: int, note: str) -> None:
    """Watches nothing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as an earlier version of the program left it, exported."""
    folder = tmp_path_factory.mktemp("world")
    run_pipeline(make_run(folder, "trained"))
    export_zip(open_registry(folder / "trained"), folder / "whole.zip", model="default", half=True)
    import_zip(folder / "whole.zip", folder / "older")
    older = open_registry(folder / "older")
    record = older.read("routers", "micro")
    attributes = {key: value for key, value in record.attributes.items() if key not in NEW}
    del older
    store = open_registry(folder / "older")
    bare = Record({"weights": record.arrays["weights"]}, attributes)
    store.write({("routers", "micro"): bare}, message="as of before", author="test")
    export_zip(store, folder / "model.zip", model="default")
    return folder


@pytest.fixture
def store(world: Path, tmp_path: Path) -> ZarrRegistry:
    import_zip(world / "model.zip", tmp_path / "own")
    return open_registry(tmp_path / "own")


def bench(
    store: ZarrRegistry,
    photos: Path,
    options: ExtensionRecipe = OPTIONS,
    watch: Watcher = silent,
    model: str = "default",
) -> Bench:
    trained = Trained.load(store, load_catalogue(), model)
    return Bench(trained, load_photos(photos, trained.recipe.synthesize.crop), store.path / "work", options, watch)


def extended(store: ZarrRegistry, photos: Path, *, refit: bool = False, watch: Watcher = silent) -> Extended:
    return extend_routers(bench(store, photos, watch=watch), store.path / "reports", refit=refit)


def weights(store: Store, name: str) -> bytes:
    return store.read("routers", name).arrays["weights"].tobytes()


def test_a_model_of_before_remembers_and_all_else_stays(store: ZarrRegistry, world: Path) -> None:
    assert Mixture(store, load_catalogue()).memory is None
    before, commits = contents(store), len(history(store))
    done = extended(store, world / "photos")
    after = contents(store)
    assert done.model == "micro.2"
    assert {key: after[key] for key in before if key != "models/default"} == {
        key: value for key, value in before.items() if key != "models/default"
    }
    assert after.keys() - before.keys() == {"routers/micro.2", "models/micro.2", "models/micro"}
    assert after["models/micro"] == before["models/default"]
    assert len(history(store)) == commits + 1
    assert verify(store) == []
    assert kept_experts(store) == 8
    assert weights(store, "micro.2") == weights(store, "micro")
    old, new = (store.attributes("routers", name) for name in ("micro", "micro.2"))
    assert {key: value for key, value in new.items() if key not in NEW} == dict(old)
    assert not (store.path / "work").exists()
    assert (store.path / "reports" / "reliability-micro.2.png").read_bytes()[:4] == b"\x89PNG"


def test_it_says_how_like_its_training_samples_a_photo_is_and_decides_as_before(
    store: ZarrRegistry, world: Path
) -> None:
    old = Trained.load(store, load_catalogue()).routers()
    done = extended(store, world / "photos")
    mixture = Mixture(store, load_catalogue())
    estimate = mixture.estimate(torch.rand(1, 3, 48, 48))
    assert estimate.novelty is not None
    assert {neighbour.photo for neighbour in estimate.nearest} <= {f"photo{number}.png" for number in range(12)}
    dr = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    assert np.array_equal(choose(mixture.routers, dr), choose(old, dr))
    assert mixture.routers.options.temperatures != old.options.temperatures
    said = "\n".join(done.notes)
    assert "training photos remembered" in said
    assert "held-out samples are taken for something unknown" in said
    assert "calibration error on " in said
    assert "warning" not in said


def test_the_memory_is_that_of_the_routers_stage_over_samples_drawn_anew(store: ZarrRegistry, world: Path) -> None:
    plan = bench(store, world / "photos")
    drawn = redraw(plan, 160)
    assert {kind for kind, _ in drawn.seen.labels} == {"clean", "noise", "lowlight", "tone", "mixed"}
    assert len(drawn.trials) == pytest.approx(160, abs=3)
    wanted = remembered(drawn.seen, plan.trained.labelled.tree, SIZE, plan.trained.recipe.seed)
    extended(store, world / "photos")
    memory = Mixture(store, load_catalogue()).memory
    assert memory is not None
    assert np.array_equal(memory.dr, wanted.dr)
    assert (memory.labels, memory.photos, memory.edge) == (wanted.labels, wanted.photos, wanted.edge)
    train = {drawn.seen.photos[row] for row in drawn.rows(TRAIN)}
    assert set(memory.photos) == train
    assert not train & {drawn.seen.photos[row] for row in drawn.rows(HELDOUT)}
    stage = {
        values.tobytes() for values in open_registry(world / "trained").read("routers", "micro").arrays["memory_dr"]
    }
    assert not stage & {values.tobytes() for values in memory.dr}


def test_equal_registries_get_equal_routers(world: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        import_zip(world / "model.zip", tmp_path / name)
        store = open_registry(tmp_path / name)
        extended(store, world / "photos", refit=True)
        found.append(contents(store))
    assert found[0] == found[1]


@pytest.mark.parametrize("moment", ["render extra tone", "costs", "routers apart 1"])
def test_an_interruption_changes_nothing(store: ZarrRegistry, world: Path, moment: str) -> None:
    def stop(task: str, done: int, total: int, note: str) -> None:
        if task == moment:
            raise KeyboardInterrupt

    before = contents(store)
    with pytest.raises(KeyboardInterrupt):
        extended(store, world / "photos", refit=True, watch=stop)
    assert contents(store) == before
    assert extended(store, world / "photos", refit=True).model == "micro.2"


def test_fitted_again_the_weights_are_new_and_follow_the_recipe(store: ZarrRegistry, world: Path) -> None:
    before = contents(store)
    section = Trained.load(store, load_catalogue()).recipe.routers.model_copy(update={"norm": "batch", "top_k": 2})
    plan = bench(store, world / "photos", OPTIONS.model_copy(update={"routers": section}))
    done = extend_routers(plan, store.path / "reports", refit=True)
    after = contents(store)
    assert {key: after[key] for key in before if key != "models/default"} == {
        key: value for key, value in before.items() if key != "models/default"
    }
    assert weights(store, "micro.2") != weights(store, "micro")
    mixture = Mixture(store, load_catalogue())
    assert (mixture.routers.options.norm, mixture.routers.options.top_k) == ("batch", 2)
    assert len(mixture.estimate(torch.rand(1, 3, 48, 48)).experts) == 2
    assert {kind.kind for kind in done.kinds} >= {"clean", "noise", "lowlight"}
    table = store.read("costs", "micro.2").arrays
    assert np.isfinite(table["mse"]).all()
    assert store.attributes("models", "default")["costs"] == "micro.2"
    assert verify(store) == []


def test_it_takes_part_in_what_comes_before_and_after(store: ZarrRegistry, world: Path, tmp_path: Path) -> None:
    add_degradation(bench(store, world / "photos"), "rain")
    extended(store, world / "photos")
    memory = Mixture(store, load_catalogue()).memory
    assert memory is not None
    assert "rain" in {kind for kind, _ in memory.labels}
    remove_node(Trained.load(store, load_catalogue()), "rain", OPTIONS, store.path / "work", silent)
    extended(store, world / "photos")
    memory = Mixture(store, load_catalogue()).memory
    assert memory is not None
    assert "rain" not in {kind for kind, _ in memory.labels}
    export_zip(store, tmp_path / "again.zip", model="default", half=True)
    again = open_registry(tmp_path / "again.zip")
    assert verify(again) == []
    kept = Mixture(again, load_catalogue()).memory
    assert kept is not None
    assert np.array_equal(kept.dr, memory.dr)


def test_false_alarms_of_a_model_that_remembers_are_compared(store: ZarrRegistry, world: Path) -> None:
    first, second = (extended(store, world / "photos").notes for _ in range(2))
    assert not any("% before" in note for note in first)
    assert any("% before" in note for note in second)


def test_other_photos_are_warned_of_and_too_few_samples_refused(
    store: ZarrRegistry, world: Path, tmp_path: Path
) -> None:
    done = extended(store, make_photos(tmp_path / "others", 9))
    assert any(note.startswith("warning: these are not the photos") for note in done.notes)
    before = contents(store)
    few = bench(store, world / "photos", OPTIONS.model_copy(update={"samples": 1}))
    with pytest.raises(ConfigError, match="leave a split of the photos empty"):
        extend_routers(few, store.path / "reports")
    assert contents(store) == before


def test_a_model_that_changed_meanwhile_is_not_overwritten(store: ZarrRegistry, world: Path) -> None:
    slow = bench(store, world / "photos")
    remove_node(Trained.load(store, load_catalogue()), "1", OPTIONS, store.path / "other", silent)
    before = contents(store)
    with pytest.raises(RegistryError, match="changed while it was being extended"):
        extend_routers(slow, store.path / "reports")
    assert contents(store) == before


def test_a_forecast_names_the_parts_and_changes_nothing(store: ZarrRegistry, world: Path) -> None:
    before, plan = contents(store), bench(store, world / "photos")
    short, long = forecast_routers(plan), forecast_routers(plan, refit=True)
    drawn = [int(part.what.split()[1]) for part in short if part.what.startswith("draw ")]
    assert sum(drawn) == len(redraw(plan, 160).trials)
    assert short[-1].what.startswith("costs: 8 experts on ")
    assert long[-1].what == "routers: 60 steps, 3 times"
    assert all(part.seconds >= 0 for part in long)
    assert contents(store) == before


def test_the_command(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own"
    assert run("registry", "import", world / "model.zip", own) == 0
    options = ("--registry", own, "--data", world / "photos", "--samples", "160")
    assert run("extend", "routers", *options, "--refit", "--dry-run") == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert run("extend", "routers", *options) == 0
    assert "models/micro.2 (redraw " in capsys.readouterr().out
    assert run("registry", "verify", own) == 0
    assert "8 experts have the sha256 that they had before" in capsys.readouterr().out
    photo = tmp_path / "photo.png"
    shutil.copy(world / "photos" / "photo0.png", photo)
    assert run("diagnose", photo, "--model", own) == 0
    assert run("registry", "use", own, "micro") == 0
    assert "memory_dr" not in open_registry(own).read("routers", "micro").arrays
    assert run("extend", "routers", *options, "--refit") == 0
    assert "models/micro.3 (redraw " in capsys.readouterr().out
