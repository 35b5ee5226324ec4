"""``train-extractor`` as a user runs it, at micro scale: figures, going on after an interruption and with train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unirestorer.core.training.batches import LabelledCrops
from unirestorer.registry import open_registry

from .commands import run
from .core.tiny_world import RECIPE, contents, make_photos

PART = RECIPE[: RECIPE.index("cluster:")]
FIGURES = ("type accuracy", "degree accuracy", "type purity", "degree purity")


def train(folder: Path, registry: str, text: str = PART, command: str = "train-extractor") -> int:
    (folder / "micro.yaml").write_text(text)
    make_photos(folder / "photos")
    return run(command, folder / "micro.yaml", "--data", folder / "photos", "--registry", folder / registry)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extractor")
    assert train(folder, "whole") == 0
    return folder


def test_the_summary_names_the_stages_and_the_figures(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(world, "whole") == 0
    out = capsys.readouterr().out
    for stage in ("synthesize", "extractor", "extract"):
        assert stage in out
    assert out.count("done before") == 3
    assert "experts" not in out
    found = [line.partition(" on held-out photos: ") for line in out.splitlines() if "on held-out photos: " in line]
    figures = {name: float(value) for name, _, value in found if name in FIGURES}
    assert tuple(figures) == FIGURES
    assert all(0 <= value <= 1 for value in figures.values())


def test_the_registry_has_an_extractor_and_representations_and_no_model(world: Path) -> None:
    store = open_registry(world / "whole")
    assert store.names("extractors") == ["micro"]
    assert "dr" in store.read("dr_sets", "micro").arrays
    assert store.names("models") == []
    assert not (world / "whole" / "work").exists()


def test_an_interrupted_run_goes_on_to_the_same_registry(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    stops = {9}
    original = LabelledCrops.__call__

    def called(self: LabelledCrops, number: int) -> Any:
        seen.append(number)
        if number in stops:
            raise KeyboardInterrupt
        return original(self, number)

    monkeypatch.setattr(LabelledCrops, "__call__", called)
    assert train(world, "stopped") == 130
    assert open_registry(world / "stopped").names("extractors") == []
    seen.clear()
    stops.clear()
    assert train(world, "stopped") == 0
    assert seen == [8, 9, 10, 11]
    assert contents(open_registry(world / "stopped")) == contents(open_registry(world / "whole"))


def test_train_goes_on_with_the_extractor_of_equal_sections(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(world, "both") == 0
    extractor = contents(open_registry(world / "both"))["extractors/micro"]
    capsys.readouterr()
    assert train(world, "both", RECIPE, "train") == 0
    assert capsys.readouterr().out.count("done before") == 3
    store = open_registry(world / "both")
    assert contents(store)["extractors/micro"] == extractor
    assert "default" in store.names("models")
    assert train(world, "both", RECIPE) == 0
    assert capsys.readouterr().out.count("done before") == 3
    assert store.attributes("stages", "micro.evaluate")["fingerprint"]


def test_another_extractor_puts_the_later_stages_out_of_date(world: Path) -> None:
    assert train(world, "changed", RECIPE, "train") == 0
    assert train(world, "changed", PART.replace("dim: 8", "dim: 4")) == 0
    store = open_registry(world / "changed")
    assert store.read("dr_sets", "micro").arrays["dr"].shape[1] == 4
    assert store.attributes("stages", "micro.cluster")["fingerprint"] == ""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: compact", "name: compct", "did you mean 'compact'"),
        ("dim: 8", "dimm: 8", "extractor.config.dimm"),
        ("samples: 72", "samples: x", "synthesize.samples"),
        ("  training: {steps: 12", "  trainig: {steps: 12", "extractor.training: missing"),
        ("seed: 3", "seed: 3\nclusters: {}", "clusters"),
    ],
)
def test_a_wrong_recipe_is_said_in_lines(
    tmp_path: Path, old: str, new: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "registry", PART.replace(old, new)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "micro.yaml:" in line and expected in line]
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("name", ["vgg", "ddr", "manual"])
def test_every_extractor_of_the_paper_is_trained_and_found_again(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "vgg": "{layer: relu1_2, crop: 32}",
        "ddr": "{width: 8, blocks: 1, crop: 32, dim: 4}",
        "manual": "{crop: 32, widths: [8, 8], prompts: 8, types: 4}",
    }[name]
    text = PART[: PART.index("extractor:")] + (
        f"extractor:\n  name: {name}\n  config: {config}\n  training: {{steps: 2, batch: 4, warmup: 1}}\n"
    )
    assert train(tmp_path, "registry", text) == 0
    assert f"{name} trained for 2 steps" in capsys.readouterr().out
    assert train(tmp_path, "registry", text) == 0
    assert capsys.readouterr().out.count("done before") == 3
