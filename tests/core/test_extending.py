"""Extending the micro model: nothing older changes, what is new is used, an interruption costs nothing."""

from __future__ import annotations

import importlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from unirestorer.core.contracts import Record
from unirestorer.core.errors import ConfigError, RegistryError, UnknownNameError, WeightsError
from unirestorer.core.extending import costing
from unirestorer.core.extending.bench import Bench
from unirestorer.core.extending.costing import tabulate
from unirestorer.core.extending.degradation import add_degradation
from unirestorer.core.extending.expert import replace_expert
from unirestorer.core.extending.forecast import forecast_degradation, forecast_expert, forecast_group, forecast_split
from unirestorer.core.extending.growth import Grown
from unirestorer.core.extending.level import group_nodes, split_node
from unirestorer.core.extending.options import ExpertsChoice, ExtensionRecipe
from unirestorer.core.extending.refit import Counterparts, KeepObjective, best_choice, grown_routers
from unirestorer.core.extending.remove import remove_node
from unirestorer.core.extending.trained import Trained
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Mixture
from unirestorer.core.photos import HELDOUT, load_photos
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.recipe import code_stamp
from unirestorer.core.run import Watcher
from unirestorer.core.stages.costs import errors
from unirestorer.core.weights import pack
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import export_zip, history, import_zip, kept_experts, open_registry, verify
from unirestorer.registry.base import ZarrRegistry

from .tiny_world import RECIPE, contents, make_run

OPTIONS = ExtensionRecipe(samples=64, steps=6, rehearsal=40, tried=24)


def silent(task: str, done: int, total: int, note: str) -> None:
    """Watches nothing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    run_pipeline(make_run(folder, "trained"))
    export_zip(open_registry(folder / "trained"), folder / "model.zip", model="default", half=True)
    return folder


@pytest.fixture
def store(world: Path, tmp_path: Path) -> ZarrRegistry:
    """A registry of one's own, as training left it."""
    shutil.copytree(world / "trained", tmp_path / "own")
    return open_registry(tmp_path / "own")


@pytest.fixture
def imported(world: Path, tmp_path: Path) -> ZarrRegistry:
    """A registry made of an export: no DR set, no costs."""
    import_zip(world / "model.zip", tmp_path / "imported")
    return open_registry(tmp_path / "imported")


def bench(store: ZarrRegistry, world: Path, options: ExtensionRecipe = OPTIONS, watch: Watcher = silent) -> Bench:
    trained = Trained.load(store, load_catalogue())
    photos = load_photos(world / "photos", trained.recipe.synthesize.crop)
    return Bench(trained, photos, store.path / "work", options, watch)


def experts_of(store: ZarrRegistry) -> dict[str, tuple[object, bytes]]:
    """Digest and bytes of every expert."""
    found = {}
    for name in store.names("experts"):
        record = store.read("experts", name)
        found[name] = (record.attributes["sha256"], record.arrays.get("weights", np.empty(0)).tobytes())
    return found


def test_a_new_degradation_leaves_every_older_record_as_it_was(store: ZarrRegistry, world: Path) -> None:
    before, commits = contents(store), len(history(store))
    done = add_degradation(bench(store, world), "rain")
    after = contents(store)
    assert {key: after[key] for key in before if key != "models/default"} == {
        key: value for key, value in before.items() if key != "models/default"
    }
    assert len(history(store)) == commits + 1
    assert verify(store) == []
    assert kept_experts(store) == 8
    assert done.nodes[0] == "rain"
    assert {kind.kind for kind in done.kinds} >= {"rain", "clean", "noise"}
    assert not (store.path / "work").exists()


def test_the_extended_model_restores_and_knows_the_new_damage(store: ZarrRegistry, world: Path) -> None:
    add_degradation(bench(store, world), "rain")
    mixture = Mixture(store, load_catalogue())
    assert "rain" in mixture.tasks
    estimate = mixture.estimate(torch.rand(1, 3, 48, 48), mixture.allowed(Instruction(("rain",))))
    assert estimate.path[:2] == ("all", "rain")
    image = torch.rand(1, 3, 48, 48)
    assert mixture.expert(estimate.node).module(image).shape == image.shape
    assert (
        Mixture(store, load_catalogue(), "micro").tasks
        == Mixture(open_registry(store.path), load_catalogue(), "micro").tasks
    )


def test_two_extensions_of_equal_registries_are_equal(world: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        shutil.copytree(world / "trained", tmp_path / name)
        store = open_registry(tmp_path / name)
        add_degradation(bench(store, world), "rain")
        found.append(contents(store))
    assert found[0] == found[1]


@pytest.mark.parametrize(("moment", "count"), [("expert rain", 1), ("costs", 2), ("routers", 1), ("render", 3)])
def test_an_interrupted_extension_changes_nothing_and_goes_on(
    store: ZarrRegistry, world: Path, tmp_path: Path, moment: str, count: int
) -> None:
    shutil.copytree(store.path, tmp_path / "whole")
    add_degradation(bench(open_registry(tmp_path / "whole"), world), "rain")
    seen: list[str] = []

    def stop(task: str, done: int, total: int, note: str) -> None:
        seen.append(task)
        if sum(name.startswith(moment) for name in seen) == count:
            raise KeyboardInterrupt

    before = contents(store)
    with pytest.raises(KeyboardInterrupt):
        add_degradation(bench(store, world, watch=stop), "rain")
    assert contents(store) == before
    add_degradation(bench(store, world), "rain")
    assert contents(store) == contents(open_registry(tmp_path / "whole"))


def test_known_costs_are_used_again_for_the_same_photos(
    store: ZarrRegistry, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench(store, world)
    table = store.read("costs", "micro").arrays
    grown = Grown(first.trained.labelled, np.arange(8, dtype=np.int32))
    rehearsal = first.rehearsal()
    trials = rehearsal.trials
    assert np.array_equal(trials.sample[: len(table["sample"])], table["sample"])
    need = np.ones((len(trials), 8), dtype=np.bool_)
    found = tabulate(first, grown, {}, trials, need)
    assert np.array_equal(found.mse[: len(table["mse"])], table["mse"])
    asked: list[int] = []

    def counted(network: nn.Module, damaged: NDArray[np.uint8], clean: NDArray[np.uint8]) -> object:
        asked.append(len(damaged))
        return errors(network, damaged, clean)

    monkeypatch.setattr(costing, "errors", counted)
    tabulate(first, grown, {}, trials, need)
    assert set(asked) == {len(trials) - len(table["mse"])}  # the held-out ones, which no table keeps


def test_a_second_extension_builds_on_the_first(store: ZarrRegistry, world: Path) -> None:
    add_degradation(bench(store, world), "rain")
    known = {dr.tobytes() for dr in store.read("costs", "micro.2").arrays["dr"]}
    second = bench(store, world)
    again = second.rehearsal().trials
    assert "rain" in again.kind
    assert all(dr.tobytes() in known for dr in again.dr[again.split != HELDOUT])
    add_degradation(second, "blur")
    assert {"rain", "blur"} < set(Mixture(store, load_catalogue()).tasks)
    assert store.attributes("models", "default")["version"] == 3
    assert verify(store) == []


def test_an_imported_export_can_be_extended_and_exported_again(
    imported: ZarrRegistry, world: Path, tmp_path: Path
) -> None:
    before = experts_of(imported)
    add_degradation(bench(imported, world), "rain")
    after = experts_of(imported)
    assert {name: after[name] for name in before} == before
    assert imported.exists("costs", "micro.2")
    export_zip(imported, tmp_path / "again.zip", model="default", half=True)
    again = open_registry(tmp_path / "again.zip")
    assert verify(again) == []
    assert {name: experts_of(again)[name] for name in before} == before
    assert "rain" in Mixture(again, load_catalogue()).tasks


def test_an_export_with_half_precision_still_proves_its_older_experts(
    store: ZarrRegistry, world: Path, tmp_path: Path
) -> None:
    add_degradation(bench(store, world), "rain")
    export_zip(store, tmp_path / "half.zip", model="default", half=True)
    assert verify(open_registry(tmp_path / "half.zip")) == []


def test_verify_finds_an_expert_that_was_replaced(store: ZarrRegistry, world: Path) -> None:
    add_degradation(bench(store, world), "rain")
    old = store.read("experts", "micro/1")
    weights = old.arrays["weights"].copy()
    weights[-1] ^= 1
    attributes = {key: value for key, value in old.attributes.items() if key != "sha256"}
    store.write({("experts", "micro/1"): Record({"weights": weights}, attributes)}, message="tampered", author="test")
    problems = verify(store)
    assert problems
    assert all("experts/micro/1: sha256 is" in problem for problem in problems)


def test_a_split_leaf_has_experts_that_are_reachable(store: ZarrRegistry, world: Path) -> None:
    before = experts_of(store)
    leaf = Trained.load(store, load_catalogue()).labelled
    name = leaf.names[leaf.tree.leaves[0]]
    done = split_node(bench(store, world, replace_options(samples=120)), name, 2)
    assert done.nodes == (f"{name}/1", f"{name}/2")
    mixture = Mixture(store, load_catalogue())
    assert mixture.level_names[-1] == "LEVEL3"
    assert {name: experts_of(store)[name] for name in before} == before
    table = store.read("costs", "micro.2").arrays["mse"]
    assert table.shape[1] == 10
    assert np.isfinite(table[:, 8:]).all()  # the new experts are tried on every sample


def replace_options(**values: object) -> ExtensionRecipe:
    return OPTIONS.model_copy(update=values)


def test_a_group_is_a_coarser_fallback_that_an_instruction_may_name(store: ZarrRegistry, world: Path) -> None:
    labelled = Trained.load(store, load_catalogue()).labelled
    names = [labelled.names[node] for node in labelled.tree.children(0)[:2]]
    group_nodes(bench(store, world), names, "camera")
    mixture = Mixture(store, load_catalogue())
    assert mixture.level_names == ("ALL", "GROUP", "TYPE", "DEGREE")
    allowed = mixture.allowed(Instruction(("camera",)))
    assert allowed is not None
    assert {mixture.node_names[node] for node in np.flatnonzero(allowed)} >= {"camera", *names}
    assert not allowed[0]
    remove_node(Trained.load(store, load_catalogue()), "camera", OPTIONS, store.path / "work", silent)
    assert Mixture(store, load_catalogue()).node_names == labelled.names


def test_an_expert_that_does_not_help_is_not_kept(store: ZarrRegistry, world: Path, tmp_path: Path) -> None:
    trained = Trained.load(store, load_catalogue())
    node = trained.labelled.tree.children(0)[-1]
    network = load_catalogue().expert("resunet")
    assert network.build is not None
    broken = network.build(network.config.model_validate(trained.recipe.experts.config))
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.fill_(0.5)
    pack(broken).tofile(tmp_path / "bad.safetensors")
    before = contents(store)
    refused = replace_expert(bench(store, world), str(node), tmp_path / "bad.safetensors")
    assert refused.model == ""
    assert contents(store) == before
    forced = replace_expert(bench(store, world), str(node), tmp_path / "bad.safetensors", force=True)
    assert forced.model == "micro.2"
    assert Mixture(store, load_catalogue())._experts[node] == f"micro/{node}.2"
    assert verify(store) == []


def test_more_training_goes_on_from_the_old_expert(store: ZarrRegistry, world: Path) -> None:
    trained = Trained.load(store, load_catalogue())
    replace_expert(bench(store, world), "1", force=True)
    record = store.attributes("experts", "micro/1.2")
    assert record["parent"] == "micro/1"
    assert record["sha256"] != store.attributes("experts", "micro/1")["sha256"]
    assert trained.labelled.names == Mixture(store, load_catalogue()).node_names


def test_a_node_of_another_architecture_starts_anew(store: ZarrRegistry, world: Path) -> None:
    other = ExpertsChoice(name="resunet", config={"widths": [8], "encoder": [1], "decoder": []}, patch=32)
    replace_expert(bench(store, world, replace_options(experts=other)), "1", force=True)
    assert store.attributes("experts", "micro/1.2")["parent"] is None


def test_weights_that_do_not_fit_are_refused_before_anything_is_drawn(
    store: ZarrRegistry, world: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    for path in (tmp_path / "text.safetensors", tmp_path / "none.safetensors"):
        with pytest.raises(WeightsError, match=path.name):
            replace_expert(bench(store, world), "1", path)


def test_a_removed_type_is_gone_and_its_experts_stay(store: ZarrRegistry, world: Path) -> None:
    before = experts_of(store)
    add_degradation(bench(store, world), "rain")
    remove_node(Trained.load(store, load_catalogue()), "rain", OPTIONS, store.path / "work", silent)
    mixture = Mixture(store, load_catalogue())
    assert "rain" not in mixture.tasks
    assert {name: experts_of(store)[name] for name in before} == before
    kinds = store.read("costs", "micro.3")
    assert "rain" not in np.array(kinds.attributes["kinds"])[kinds.arrays["kind"]]
    add_degradation(bench(store, world), "rain")  # and it may come back
    assert store.exists("models", "micro.4")


def test_removing_works_without_costs(imported: ZarrRegistry) -> None:
    trained = Trained.load(imported, load_catalogue())
    leaf = trained.labelled.names[trained.labelled.tree.leaves[-1]]
    remove_node(trained, leaf, OPTIONS, imported.path / "work", silent)
    mixture = Mixture(imported, load_catalogue())
    assert leaf not in mixture.node_names
    assert abs(sum(mixture.estimate(torch.rand(1, 3, 48, 48)).leaves.values()) - 1) < 1e-5


def test_grown_routers_decide_as_the_old_ones(store: ZarrRegistry) -> None:
    trained = Trained.load(store, load_catalogue())
    old, tree = trained.routers(), trained.labelled.tree
    same = Counterparts(np.arange(len(tree.leaves)), np.arange(tree.depth), np.arange(len(tree.leaves)))
    new = grown_routers(old, Grown(trained.labelled, np.arange(len(tree), dtype=np.int32)), same)
    dr = torch.randn(16, len(old.centre))
    assert torch.allclose(new(dr).leaf, old(dr).leaf, atol=1e-6)
    assert torch.allclose(new(dr).level, old(dr).level, atol=1e-6)


def test_keeping_pulls_the_new_routers_to_the_old_ones(store: ZarrRegistry) -> None:
    trained = Trained.load(store, load_catalogue())
    old, tree = trained.routers(), trained.labelled.tree
    same = Counterparts(np.arange(len(tree.leaves)), np.arange(tree.depth), np.arange(len(tree.leaves)))
    dr, (leaves, levels) = torch.randn(16, len(old.centre)), old.ancestors.shape
    rest = (torch.zeros(16, len(tree)), dr, torch.zeros(16, leaves), torch.zeros(16, levels))
    found = []
    for disturbance in (0.0, 3.0):
        new = grown_routers(old, Grown(trained.labelled, np.arange(len(tree), dtype=np.int32)), same)
        with torch.no_grad():
            new.leaf_gate.linear.weight.add_(disturbance * torch.randn_like(new.leaf_gate.linear.weight))
        losses = [KeepObjective(new, trained.recipe.routers, old, same, keep) for keep in (0.0, 1.0)]
        without, with_keep = (float(loss(dr, *rest, torch.ones(16)).detach()) for loss in losses)
        found.append(with_keep - without)
    assert found[0] == pytest.approx(0, abs=1e-5)
    assert found[1] > 0.01


def test_the_best_choice_prefers_the_cheapest_node() -> None:
    ancestors = torch.tensor([[0, 1, 3], [0, 1, 4], [0, 2, 5]])
    cost = torch.tensor([[1.0, 0.9, 0.9, 0.9, 0.1, 0.9], [0.2, 0.9, 0.9, 0.9, 0.9, 0.9]])
    leaf, level = best_choice(cost, ancestors, 0.05)
    assert leaf[0].argmax() == 1
    assert level[0].argmax() == 2
    assert level[1].argmax() == 0


def test_a_model_that_changed_meanwhile_is_not_overwritten(store: ZarrRegistry, world: Path) -> None:
    slow = bench(store, world)
    remove_node(Trained.load(store, load_catalogue()), "1", OPTIONS, store.path / "other", silent)
    before = contents(store)
    with pytest.raises(RegistryError, match="changed while it was being extended"):
        add_degradation(slow, "rain")
    assert contents(store) == before


def test_what_cannot_be_added_is_said_in_one_line(store: ZarrRegistry, world: Path, imported: ZarrRegistry) -> None:
    plan = bench(store, world)
    with pytest.raises(UnknownNameError, match="unknown degradation 'fog'"):
        add_degradation(plan, "fog")
    with pytest.raises(ConfigError, match="noise: the model has this degradation or node already"):
        add_degradation(plan, "noise")
    with pytest.raises(ConfigError, match="tone: counts as undamaged"):
        add_degradation(plan, "tone")
    with pytest.raises(ConfigError, match="needs a multiple of"):
        add_degradation(replace(plan, options=replace_options(experts=ExpertsChoice(name="resunet", patch=30))), "rain")
    with pytest.raises(ConfigError, match="identity has nothing to train"):
        add_degradation(replace(plan, options=replace_options(experts=ExpertsChoice(name="identity"))), "rain")
    with pytest.raises(RegistryError, match="read-only"):
        Trained.load(open_registry(world / "model.zip"), load_catalogue())
    with pytest.raises(RegistryError, match="holds a registry already"):
        import_zip(world / "model.zip", store.path)
    with pytest.raises(ConfigError, match="too few for 9 parts"):
        split_node(plan, plan.trained.labelled.names[plan.trained.labelled.tree.leaves[0]], 9)


def test_an_expert_of_a_missing_plugin_names_the_plugin(store: ZarrRegistry, world: Path) -> None:
    record = store.read("experts", "micro/1")
    attributes = {**record.attributes, "arch": "acme-net", "plugin": "acme-dist 1.2"}
    store.write({("experts", "micro/1"): Record(record.arrays, attributes)}, message="another", author="test")
    with pytest.raises(
        RegistryError, match=re.escape("needs the architecture 'acme-net' of acme-dist 1.2; pip install acme-dist==1.2")
    ):
        Mixture(store, load_catalogue()).expert(1)


def test_a_damage_of_a_missing_plugin_names_the_plugin(store: ZarrRegistry, world: Path) -> None:
    add_degradation(bench(store, world), "rain")
    ties = store.attributes("models", "default")
    provenance = {**ties["provenance"], "extensions": [dict(ties["provenance"]["extensions"][0])]}
    provenance["extensions"][0] |= {"name": "acme-fog", "plugin": "acme-dist 1.2"}
    model = Record({}, {**ties, "provenance": provenance})
    store.write({("models", "default"): model}, message="as another machine left it", author="test")
    with pytest.raises(
        RegistryError, match=re.escape("knows 'acme-fog', which is not installed; pip install acme-dist==1.2")
    ):
        add_degradation(bench(store, world), "blur")


def test_rows_that_were_tried_on_nothing_that_is_left_go(imported: ZarrRegistry, world: Path) -> None:
    """An import has few rows with all costs; removing two damages leaves some with none."""
    add_degradation(bench(imported, world), "rain")
    for name in ("rain", "clean"):
        trained = Trained.load(imported, load_catalogue())
        remove_node(trained, name, OPTIONS, imported.path / "work", silent)
    mixture = Mixture(imported, load_catalogue())
    assert not {"rain", "clean"} & set(mixture.node_names)
    assert np.isfinite(imported.read("costs", "micro.4").arrays["mse"]).any(axis=1).all()


def test_a_cost_table_of_before_kinds_were_recorded_serves(store: ZarrRegistry, world: Path) -> None:
    old = store.read("costs", "micro")
    arrays = {key: value for key, value in old.arrays.items() if key != "kind"}
    attributes = {key: value for key, value in old.attributes.items() if key != "kinds"}
    store.write({("costs", "micro"): Record(arrays, attributes)}, message="old", author="test")
    leaf = Trained.load(store, load_catalogue()).labelled
    name = leaf.names[leaf.tree.leaves[-1]]
    remove_node(Trained.load(store, load_catalogue()), name, OPTIONS, store.path / "work", silent)
    assert name not in Mixture(store, load_catalogue()).node_names


def test_training_does_not_undo_an_extension(store: ZarrRegistry, world: Path) -> None:
    add_degradation(bench(store, world), "rain")
    before = contents(store)
    run = make_run(world, "trained")
    other = make_run(world, "trained", text=RECIPE.replace("steps: 60", "steps: 61"))
    for recipe in (run.recipe, other.recipe):
        again = replace(run, store=store, recipe=recipe, work=store.path / "work", reports=store.path / "reports")
        if recipe is run.recipe:
            assert all(report.skipped for report in run_pipeline(again))
        else:
            with pytest.raises(RegistryError, match="was extended"):
                run_pipeline(again)
        assert contents(store) == before


def test_verify_finds_experts_that_are_missing_forged_or_replaced(store: ZarrRegistry, world: Path) -> None:
    add_degradation(bench(store, world), "rain")
    one, three = (store.read("experts", f"micro/{node}") for node in (1, 3))
    forged = {**three.attributes, "sha256-before-float16": one.attributes["sha256"], "stamp": one.attributes["stamp"]}
    store.write({("experts", "micro/1"): Record(three.arrays, forged)}, message="forged", author="test")
    assert any("experts/micro/1: sha256 is" in problem for problem in verify(store))
    replaced = Record(one.arrays, {**one.attributes, "stamp": "another"})
    store.write({("experts", "micro/1"): replaced}, message="replaced", author="test")
    assert any("experts/micro/1 was replaced" in problem for problem in verify(store))
    ties = store.attributes("models", "micro.2")
    names = [*ties["expert_names"][:-1], "micro/99"]
    store.write({("models", "micro.2"): Record({}, {**ties, "expert_names": names})}, message="lost", author="test")
    assert any("expert experts/micro/99 is missing" in problem for problem in verify(store))


def test_edited_code_counts_as_another_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "acme_thing.py").write_text("class Thing:\n    strength = 1\n")
    module = importlib.import_module("acme_thing")
    first = code_stamp(module.Thing())
    assert first == code_stamp(module.Thing())
    (tmp_path / "acme_thing.py").write_text("class Thing:\n    strength = 2\n")
    assert code_stamp(module.Thing()) != first
    assert code_stamp(1) == ""


def test_forecasts_name_every_part_and_change_nothing(store: ZarrRegistry, world: Path) -> None:
    before, plan = contents(store), bench(store, world)
    leaf = plan.trained.labelled.names[plan.trained.labelled.tree.leaves[0]]
    siblings = [plan.trained.labelled.names[node] for node in plan.trained.labelled.tree.children(0)[:2]]
    forecasts = (
        forecast_degradation(plan, "rain"),
        forecast_split(plan, leaf, 2),
        forecast_group(plan, siblings, "camera"),
        forecast_expert(plan, leaf),
        forecast_expert(plan, "all"),
    )
    for parts in forecasts:
        text = "\n".join(part.what for part in parts)
        assert "train " in text
        assert "6 steps" in text
        assert "costs: 8 older" in text
        assert all(part.seconds >= 0 for part in parts)
    assert not any(part.what.startswith("train ") for part in forecast_expert(plan, leaf, torch.nn.Identity()))
    assert contents(store) == before
