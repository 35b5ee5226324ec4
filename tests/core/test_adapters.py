"""Recipes with adapters and with other architectures for a damage; registries whose experts rest on others."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unirestorer.core.contracts import Record
from unirestorer.core.errors import ConfigError, RegistryError
from unirestorer.core.extending.bench import Bench
from unirestorer.core.extending.degradation import add_degradation
from unirestorer.core.extending.expert import replace_expert
from unirestorer.core.extending.options import ExpertsChoice, ExtensionRecipe
from unirestorer.core.extending.trained import Trained
from unirestorer.core.mixture import Mixture
from unirestorer.core.models import load_expert
from unirestorer.core.photos import load_photos
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.weights import pack, pack_state, state_of
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import export_zip, import_zip, open_registry, verify
from unirestorer.registry.base import ZarrRegistry

from .tiny_world import RECIPE, contents, make_recipe, make_run

MAIN = "  config: {widths: [16, 16], encoder: [2, 2], decoder: [2]}\n"
ADAPTER = "  adapter: {name: lora, config: {rank: 1, alpha: 2}}\n"
ADAPTED = RECIPE.replace("  config: {widths: [8, 8], encoder: [1, 1], decoder: [1]}\n", MAIN + ADAPTER)
TYPED = RECIPE.replace(
    "  patch: 32\n  levels",
    "  types: {lowlight: {name: resunet, config: {widths: [8], encoder: [1], decoder: []}}}\n  patch: 32\n  levels",
)
OPTIONS = ExtensionRecipe(samples=64, steps=4, rehearsal=40, tried=24)
IMAGE = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(4))


def silent(task: str, done: int, total: int, note: str) -> None:
    """Watches nothing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of adapters, as trained."""
    folder = tmp_path_factory.mktemp("adapters")
    run_pipeline(make_run(folder, "adapted", text=ADAPTED))
    return folder


@pytest.fixture
def store(world: Path, tmp_path: Path) -> ZarrRegistry:
    """A registry of one's own."""
    shutil.copytree(world / "adapted", tmp_path / "own")
    return open_registry(tmp_path / "own")


def bench(store: ZarrRegistry, world: Path, **options: object) -> Bench:
    trained = Trained.load(store, load_catalogue())
    photos = load_photos(world / "photos", trained.recipe.synthesize.crop)
    return Bench(trained, photos, store.path / "work", OPTIONS.model_copy(update=options), silent)


def adapters(store: ZarrRegistry) -> dict[str, Mapping[str, Any]]:
    records = {name: store.attributes("experts", name) for name in store.names("experts")}
    return {name: attributes for name, attributes in records.items() if attributes["arch"] == "lora"}


def changed(store: ZarrRegistry, name: str, **attributes: object) -> None:
    """Write the expert ``name`` with other attributes."""
    record = store.read("experts", name)
    store.write(
        {("experts", name): Record(record.arrays, {**record.attributes, **attributes})}, message="m", author="a"
    )


def replaced(store: ZarrRegistry, name: str) -> None:
    """Write other weights into the record ``name``, as a registry mended by hand might have them."""
    record = store.read("experts", name)
    state = {key: tensor + 0.1 for key, tensor in state_of(record.arrays["weights"], name).items()}
    kept = {key: value for key, value in record.attributes.items() if key != "sha256"}
    store.write({("experts", name): Record({"weights": pack_state(state)}, kept)}, message="m", author="a")


def test_every_node_below_the_root_is_a_small_adapter_over_its_expert(store: ZarrRegistry) -> None:
    root, found = store.read("experts", "micro/0"), adapters(store)
    assert root.attributes["arch"] == "resunet"
    assert len(found) >= 5
    for name, attributes in found.items():
        assert (attributes["base"], attributes["base_sha256"]) == ("micro/0", root.attributes["sha256"])
        weights = store.read("experts", name).arrays["weights"]
        assert len(weights) < 0.35 * len(root.arrays["weights"])
        network, spec = load_expert(store, load_catalogue(), name)
        assert (spec.name, spec.size.multiple) == ("lora", 16)
        assert len(pack(network)) == len(root.arrays["weights"])  # merged, it costs what its base costs


def test_a_finer_adapter_begins_with_the_coarser_one(store: ZarrRegistry) -> None:
    parents = {name: attributes["parent"] for name, attributes in adapters(store).items()}
    tree = store.read("hierarchies", "micro").arrays
    for name, parent in parents.items():
        node = int(name.partition("/")[2])
        above = int(tree["parent"][node])
        assert parent == (None if above == 0 else f"micro/{above}")
    assert None in parents.values()
    assert any(parents.values())


def test_a_model_of_adapters_restores_and_travels(store: ZarrRegistry, tmp_path: Path) -> None:
    mixture = Mixture(store, load_catalogue())
    outputs = [mixture.expert(node).module(IMAGE) for node in range(8)]
    assert sum(not torch.equal(output, outputs[0]) for output in outputs[1:]) >= 5
    assert verify(store) == []
    for half, tolerance in ((False, 0.0), (True, 2e-2)):
        export_zip(store, tmp_path / "model.zip", model="default", half=half)
        import_zip(tmp_path / "model.zip", tmp_path / f"made-{half}")
        for path in (tmp_path / "model.zip", tmp_path / f"made-{half}"):
            with open_registry(path) as other:
                assert verify(other) == []
                again = Mixture(other, load_catalogue())
                for node, output in enumerate(outputs):
                    gap = (again.expert(node).module(IMAGE) - output).detach().abs().max()
                    assert float(gap) <= tolerance


def test_an_adapter_outlives_the_expert_of_the_root(store: ZarrRegistry, world: Path, tmp_path: Path) -> None:
    before = Mixture(store, load_catalogue())
    node = int(next(iter(adapters(store))).partition("/")[2])
    wanted = before.expert(node).module(IMAGE)
    replace_expert(bench(store, world), "all", force=True)
    after = Mixture(store, load_catalogue())
    assert not torch.equal(after.expert(0).module(IMAGE), before.expert(0).module(IMAGE))
    assert torch.equal(after.expert(node).module(IMAGE), wanted)
    export_zip(store, tmp_path / "model.zip", model="default")
    with open_registry(tmp_path / "model.zip") as zipped:
        assert {"micro/0", "micro/0.2"} < set(zipped.names("experts"))
        assert verify(zipped) == []
        assert torch.equal(Mixture(zipped, load_catalogue()).expert(node).module(IMAGE), wanted)
    replace_expert(bench(store, world), str(node), force=True)  # a new one rests on the new expert of the root
    assert store.attributes("experts", f"micro/{node}.3")["base"] == "micro/0.2"
    assert store.attributes("experts", f"micro/{node}.3")["parent"] is None


def test_what_an_adapter_cannot_rest_on_is_one_line(store: ZarrRegistry, world: Path) -> None:
    first, second = list(adapters(store))[:2]
    changed(store, first, base="micro/99")
    changed(store, second, base=first)
    for name, reason in ((first, "micro/99 .* is missing"), (second, "is itself an adapter")):
        with pytest.raises(RegistryError, match=reason) as caught:
            load_expert(store, load_catalogue(), name)
        assert "\n" not in str(caught.value)
    replaced(store, "micro/0")
    third = list(adapters(store))[2]
    with pytest.raises(RegistryError, match=f"expert {third}: .*experts/micro/0 .* has sha256 .*, wanted"):
        load_expert(store, load_catalogue(), third)
    found = "\n".join(verify(store))
    for reason in (
        "micro/99 is missing",
        "is itself an adapter",
        f"experts/{third}: its base experts/micro/0 has sha256",
    ):
        assert reason in found


def test_an_adapter_cannot_carry_another_nor_can_what_has_no_weights(store: ZarrRegistry, world: Path) -> None:
    identity = Record({}, {**store.attributes("experts", "micro/0"), "arch": "identity", "config": {}, "sha256": None})
    for record, reason in (
        (store.read("experts", next(iter(adapters(store)))), "is itself an adapter"),
        (identity, "no we"),
    ):
        plan = bench(store, world, experts=ExpertsChoice(name="lora"))
        store.write({("experts", "micro/0"): record}, message="m", author="a")
        with pytest.raises(ConfigError, match=f"experts/micro/0: .*{reason}"):
            replace_expert(plan, "1")
        store.write(
            {("experts", "micro/0"): open_registry(world / "adapted").read("experts", "micro/0")},
            message="m",
            author="a",
        )


def test_a_new_damage_gets_adapters_too(store: ZarrRegistry, world: Path) -> None:
    done = add_degradation(bench(store, world), "rain")
    made = [name for name in store.names("experts") if name.endswith(".2")]
    assert len(made) == len(done.nodes)
    assert {store.attributes("experts", name)["arch"] for name in made} == {"lora"}
    assert verify(store) == []


def test_what_cannot_be_compared_with_the_others_is_refused_at_once(store: ZarrRegistry, world: Path) -> None:
    plan = bench(store, world)
    costs = plan.trained.recipe.costs.model_copy(update={"patch": 24})
    other = replace(plan.trained, recipe=plan.trained.recipe.model_copy(update={"costs": costs}))
    for name in ("all", "1"):
        with pytest.raises(ConfigError, match=r"resunet: needs patches of a multiple of 16 px.* on 24 px"):
            replace_expert(replace(plan, trained=other), name)


def test_equal_recipes_give_equal_adapters(world: Path, tmp_path: Path) -> None:
    again = make_run(tmp_path, "again", text=ADAPTED)
    run_pipeline(again)
    assert contents(open_registry(tmp_path / "again")) == contents(open_registry(world / "adapted"))


def test_another_architecture_for_a_damage(tmp_path: Path) -> None:
    run_pipeline(make_run(tmp_path, "typed", text=TYPED))
    store = open_registry(tmp_path / "typed")
    types = store.attributes("hierarchies", "micro")["node_types"]
    kinds = [store.attributes("experts", f"micro/{node}") for node in range(len(types))]
    special = [node for node, kind in enumerate(kinds) if kind["config"].get("widths") == [8]]
    assert special == [node for node, kind in enumerate(types) if kind == "lowlight" and node > 0] != []
    parent = store.read("hierarchies", "micro").arrays["parent"]
    for node, kind in enumerate(kinds):
        above = int(parent[node])
        same = above >= 0 and kind["arch"] == "resunet" and kinds[above]["config"] == kind["config"]
        assert kind["parent"] == (f"micro/{above}" if same else None)
    mixture = Mixture(store, load_catalogue())
    assert mixture.expert(special[0]).module(IMAGE).shape == IMAGE.shape
    export_zip(store, tmp_path / "model.zip", model="default", half=True)
    with open_registry(tmp_path / "model.zip") as zipped:
        assert verify(zipped) == []
    rerun = make_run(tmp_path, "typed", text=TYPED.replace("widths: [8], encoder", "widths: [4], encoder"))
    reports = {report.stage: report.skipped for report in run_pipeline(rerun)}
    assert (reports["cluster"], reports["experts"]) == (True, False)
    assert store.attributes("experts", f"micro/{special[0]}")["config"]["widths"] == [4]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "{name: lora, config: {rank: 1, alpha: 2}}",
            "{name: resunet}",
            "experts.adapter.name: 'resunet' is no adapter",
        ),
        ("{name: lora, config: {rank: 1, alpha: 2}}", "{name: lorra}", "experts.adapter.name: .*did you mean 'lora'"),
        ("rank: 1, alpha: 2", "rank: 0", r"experts.adapter.config.rank: .*got 0"),
        ("  name: resunet\n" + MAIN, "  name: lora\n", "experts.name: 'lora' is an adapter"),
        ("  name: resunet\n" + MAIN, "  name: spandrel\n", "experts.name: 'spandrel' is made of a file of weights"),
        ("  adapter:", "  types: {fog: {name: resunet}}\n  adapter:", "experts.types.fog: unknown damage"),
        ("  adapter:", "  types: {noise: {name: none}}\n  adapter:", "experts.types.noise.name: unknown expert"),
        ("  adapter:", "  types: {noise: {name: resunet, config: {a: 1}}}\n  adapter:", "experts.types.noise.config.a"),
        (
            "  adapter:",
            "  types: {noise: {name: spandrel}}\n  adapter:",
            "experts.types.noise.name: 'spandrel' is made",
        ),
        (
            "  name: resunet\n" + MAIN + ADAPTER,
            "  name: identity\n  types: {noise: {name: resunet}}\n",
            "experts.patch: resunet",
        ),
        ("  name: resunet\n" + MAIN, "  name: identity\n", "experts.name: 'identity' has no weights"),
    ],
)
def test_a_wrong_architecture_in_a_recipe_is_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    text = ADAPTED.replace(old, new).replace("patch: 32\n  levels", "patch: 40\n  levels", "identity\n  types" in new)
    with pytest.raises(ConfigError, match=rf"micro.yaml:\d+: {line}") as caught:
        make_recipe(tmp_path, text)
    assert len(caught.value.problems) == 1
