"""The stages up to the DRs: what an extractor may ask of the host, and when it gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unirestorer.core import Config, ExtractorSpec, Prompts
from unirestorer.core.ablating.sweep import load_sweep
from unirestorer.core.catalogue import Catalogue
from unirestorer.core.errors import ConfigError, PluginError
from unirestorer.core.models import load_extractor
from unirestorer.core.outside import without_paths
from unirestorer.core.photos import HELDOUT, TRAIN, load_photos
from unirestorer.core.pipeline import run_extractor, stamps
from unirestorer.core.recipe import load_extractor_recipe, load_recipe
from unirestorer.core.run import ExtractorRun
from unirestorer.core.separability import separability
from unirestorer.core.stages import STAGES
from unirestorer.core.stages.extractor import represent
from unirestorer.core.training.batches import LabelledCrops
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from .tiny_world import RECIPE, contents, make_photos

PART = RECIPE[: RECIPE.index("cluster:")]
BEFORE, AFTER = PART[: PART.index("extractor:")], RECIPE[RECIPE.index("cluster:") :]


class ToyConfig(Config):
    weights: Path | None = None
    side: int = 16


class Toy(nn.Module):
    """Mean colour and texture, times a scale that training moves."""

    dim = 6
    shift: Tensor

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(6))
        self.register_buffer("shift", torch.zeros(6))

    def forward(self, images: Tensor) -> Tensor:
        moments = torch.cat([images.mean((2, 3)), images.std((2, 3))], dim=1)
        return moments * self.scale - self.shift


class Recording(nn.Module):
    """Keeps every batch that it is trained on."""

    def __init__(self, extractor: nn.Module, prompts: Prompts, seen: list[Any]) -> None:
        super().__init__()
        self.extractor, self.seen = extractor, seen
        seen.append(prompts)

    def forward(self, *batch: Tensor) -> Tensor:
        self.seen.append([tensor.clone() for tensor in batch])
        loss: Tensor = self.extractor(torch.full((2, 3, 8, 8), 0.5)).square().mean()
        return loss


def load(extractor: Toy, config: ToyConfig) -> None:
    if config.weights is not None:
        extractor.load_state_dict(load_file(config.weights))


def toy(seen: list[Any] | None = None, **fields: Any) -> ExtractorSpec[Any]:
    defaults: dict[str, Any] = {
        "objective": lambda extractor, prompts: Recording(extractor, prompts, [] if seen is None else seen),
        "training_side": lambda config: config.side,
        "pretrained": load,
        "files": lambda config: [config.weights] if config.weights else [],
    }
    return ExtractorSpec("toy", "moments", ToyConfig, Toy, **{**defaults, **fields})


def catalogue_of(spec: ExtractorSpec[Any]) -> Catalogue:
    return replace(load_catalogue(), extractors={**load_catalogue().extractors, "toy": spec})


def recipe_text(extractor: str) -> str:
    return f"{BEFORE}extractor: {extractor}\n"


def make(folder: Path, spec: ExtractorSpec[Any], extractor: str, name: str = "registry") -> ExtractorRun:
    """A run up to the DRs whose ``extractor`` section is given."""
    path = folder / "toy.yaml"
    path.write_text(recipe_text(extractor))
    recipe = load_extractor_recipe(path, catalogue_of(spec))
    photos = load_photos(make_photos(folder / "photos"), recipe.synthesize.crop)
    store = open_registry(folder / name, create=True)
    work, reports = folder / name / "work", folder / name / "reports"
    return ExtractorRun(recipe, store, catalogue_of(spec), photos, work, reports)


TRAINED = "{name: toy, training: {steps: 3, batch: 6, warmup: 0}}"
GIVEN = "{name: toy, training: none}"


def test_an_objective_gets_what_it_asks_for_in_that_order(tmp_path: Path) -> None:
    seen: list[Any] = []
    run = make(tmp_path, toy(seen, inputs=("photo", "clean", "images", "prompt")), TRAINED)
    run_extractor(run)
    prompts, *batches = seen
    samples = run.samples()
    assert prompts == samples.prompts
    assert len(batches) == 3
    photo, clean, images, prompt = batches[0]
    assert clean.shape == images.shape == (6, 3, 16, 16)
    assert photo.dtype == prompt.dtype == torch.int64
    trained = {(int(i), int(p)) for i, p, s in zip(samples.image, samples.prompt, samples.split, strict=True) if not s}
    assert set(zip(photo.tolist(), prompt.tolist(), strict=True)) <= trained


def test_the_truth_is_the_same_crop_turned_alike(tmp_path: Path) -> None:
    run = make(tmp_path, toy(), GIVEN)
    run_extractor(run)
    samples = run.samples()
    clean = [number for number, (kind, _) in enumerate(samples.prompts.pairs) if kind == "clean"]
    rows = np.flatnonzero(np.isin(samples.prompt, clean))
    pixels = run.pixels(samples)
    names: Any = ("images", "clean", "prompt")
    batches = LabelledCrops(samples, pixels, run.truths(samples), rows, side=20, batch=8, seed=1, inputs=names)
    images, truth, _ = batches(0)
    assert torch.equal(images, truth)
    other = LabelledCrops(samples, pixels, None, rows, side=20, batch=8, seed=1, inputs=("images", "prompt"))
    assert torch.equal(other(0)[0], images)
    assert not torch.equal(other(1)[0], images)


def test_given_weights_are_put_in_once_and_not_read_again(tmp_path: Path) -> None:
    calls: list[str] = []
    weights = tmp_path / "toy.safetensors"
    save_file({"scale": torch.full((6,), 3.0), "shift": torch.zeros(6)}, weights)

    def counting(extractor: Toy, config: ToyConfig) -> None:
        calls.append("pretrained")
        load(extractor, config)

    run = make(tmp_path, toy(pretrained=counting), f"{{name: toy, config: {{weights: {weights}}}}}")
    reports = run_extractor(run)
    assert reports[1].summary == "toy as given, not trained"
    weights.unlink()
    extractor = load_extractor(run.store, run.catalogue, run.name)
    assert torch.equal(extractor.scale, torch.full((6,), 3.0))
    assert calls == ["pretrained"]


def test_a_fingerprint_does_not_know_where_the_weights_lay(tmp_path: Path) -> None:
    state = {"scale": torch.full((6,), 2.0), "shift": torch.zeros(6)}
    found = []
    for name in ("one", "two"):
        weights = tmp_path / name / "toy.safetensors"
        weights.parent.mkdir()
        save_file(state, weights)
        run = make(tmp_path, toy(), f"{{name: toy, config: {{weights: {weights}}}}}", f"registry-{name}")
        run_extractor(run)
        found.append(run.store.attributes("extractors", run.name)["fingerprint"])
    other = make(tmp_path, toy(), f"{{name: toy, config: {{weights: {weights}, side: 8}}}}", "other")
    run_extractor(other)
    changed = other.store.attributes("extractors", other.name)["fingerprint"]
    assert found[0] == found[1] != changed


def test_paths_are_left_out_wherever_they_stand() -> None:
    values = {"a": "./x.pth", "b": [1, "x.pth", None], "c": {"d": "y.pth"}}
    assert without_paths(values, [Path("x.pth")]) == {"a": "", "b": [1, "", None], "c": {"d": "y.pth"}}


def wanted_stamps(run: ExtractorRun) -> list[str]:
    return list(stamps(run.recipe, "data", run.catalogue, STAGES[:3]).values())


def test_another_content_under_the_same_path_is_trained_again(tmp_path: Path) -> None:
    weights = tmp_path / "toy.safetensors"
    section = f"{{name: toy, config: {{weights: {weights}}}}}"
    save_file({"scale": torch.ones(6), "shift": torch.zeros(6)}, weights)
    run = make(tmp_path, toy(), section)
    before = wanted_stamps(run)
    run_extractor(run)
    assert all(report.skipped for report in run_extractor(run))
    save_file({"scale": 2 * torch.ones(6), "shift": torch.zeros(6)}, weights)
    after = wanted_stamps(run)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
    assert [report.skipped for report in run_extractor(run)] == [True, False, False]
    moved = weights.rename(tmp_path / "moved.safetensors")
    elsewhere = make(tmp_path, toy(), section.replace(str(weights), str(moved)), "moved")
    assert wanted_stamps(elsewhere) == after


@pytest.mark.parametrize("section", ["{name: toy, config: {weights: none.pth}}", "{name: toy, captions: none.tsv}"])
def test_a_missing_file_is_one_line_before_anything_runs(tmp_path: Path, section: str) -> None:
    spec = toy(inputs=("images", "prompt", "photo"), objective=None)
    run = make(tmp_path, spec, section)
    with pytest.raises(ConfigError, match=r"extractor\.(config|captions): none\.\w+: no such file") as caught:
        run_extractor(run)
    assert len(caught.value.problems) == 1
    assert run.store.names("dr_sets") == []


def test_captions_reach_the_objective_photo_by_photo(tmp_path: Path) -> None:
    seen: list[Any] = []
    names = load_photos(make_photos(tmp_path / "photos"), 48).names
    (tmp_path / "captions.tsv").write_text("".join(f"{name}\ta view of {name}\n" for name in sorted(names)))
    section = TRAINED.replace("name: toy", f"name: toy, captions: {tmp_path / 'captions.tsv'}")
    run = make(tmp_path, toy(seen, inputs=("images", "prompt", "photo")), section)
    run_extractor(run)
    assert seen[0].captions == tuple(f"a view of {name}" for name in run.samples().images)
    before = wanted_stamps(run)
    (tmp_path / "captions.tsv").write_text("".join(f"{name}\tanother\n" for name in names))
    assert wanted_stamps(run)[1] != before[1]


def problems(tmp_path: Path, extractor: str, spec: ExtractorSpec[Any], after: str = "") -> list[str]:
    path = tmp_path / "toy.yaml"
    path.write_text(recipe_text(extractor) + after)
    with pytest.raises(ConfigError) as caught:
        load_extractor_recipe(path, catalogue_of(spec))
    return caught.value.problems


def test_captions_for_an_extractor_without_use_for_them_are_refused_with_their_line(tmp_path: Path) -> None:
    block = "\n  name: toy\n  training: none\n  captions: a.tsv"
    (line,) = problems(tmp_path, block, toy())
    number = recipe_text(block).splitlines().index("  captions: a.tsv") + 1
    assert line.startswith(f"{tmp_path}/toy.yaml:{number}: extractor.captions: 'toy' is not trained on captions")


def test_training_is_left_out_only_on_purpose_or_with_weights(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "{name: toy}", toy())
    assert "extractor.training: missing" in line
    assert "training: none" in line
    for section in ("{name: toy, training: none}", "{name: toy, config: {weights: w.pth}}"):
        assert make(tmp_path, toy(), section).recipe.extractor.training is None
    assert make(tmp_path, toy(objective=None), "{name: toy}").recipe.extractor.training is None


def test_calibration_sees_some_training_samples_once_after_training(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def calibrate(extractor: Toy, batches: Iterable[Tensor]) -> None:
        images = torch.cat(list(batches))
        seen.append(images)
        extractor.shift.copy_((images.mean((2, 3)).mean(0).repeat(2)) * torch.rand(()))

    run = make(tmp_path, toy(calibrate=calibrate), TRAINED)
    reports = run_extractor(run)
    samples = run.samples()
    train = run.pixels(samples)[samples.rows(TRAIN)]
    assert torch.equal(seen[0], torch.from_numpy(train).float().div(255))
    assert reports[1].summary == f"toy trained for 3 steps, calibrated on {len(train)} samples"
    again = make(tmp_path, toy(calibrate=calibrate), TRAINED, "again")
    run_extractor(again)
    assert contents(again.store) == contents(run.store)
    assert load_extractor(run.store, run.catalogue, run.name).shift.abs().sum() > 0


def codes(extractor: Toy, prompts: Prompts) -> Tensor:
    return 7.0 * torch.eye(len(prompts.pairs), 6)


def test_training_samples_get_the_representation_of_their_label_and_others_that_of_their_pixels(tmp_path: Path) -> None:
    run = make(tmp_path, toy(labelled=codes), GIVEN)
    run_extractor(run)
    samples = run.samples()
    assert samples.dr is not None
    train, rest = samples.rows(TRAIN), np.flatnonzero(samples.split != TRAIN)
    assert np.array_equal(samples.dr[train], 7 * np.eye(6, dtype=np.float32)[samples.prompt[train]])
    extractor = load_extractor(run.store, run.catalogue, run.name)
    assert np.array_equal(samples.dr[rest], represent(extractor, run.pixels(samples), rest))


@pytest.mark.parametrize(
    "wrong", [lambda net, p: torch.zeros(2, 6), lambda net, p: torch.full((len(p.pairs), 6), torch.nan)]
)
def test_a_wrong_representation_of_labels_is_one_line(tmp_path: Path, wrong: Callable[..., Tensor]) -> None:
    run = make(tmp_path, toy(labelled=wrong), GIVEN)
    with pytest.raises(PluginError, match=r"extractor 'toy': labelled: got \(\d, 6\), wanted finite DRs \(\d, 6\)"):
        run_extractor(run)


def test_separability_of_perfect_and_of_useless_representations(tmp_path: Path) -> None:
    run = make(tmp_path, toy(), GIVEN)
    report = run_extractor(run)[2]
    samples = run.samples()
    perfect = np.eye(len(samples.prompts.pairs), dtype=np.float32)[samples.prompt]
    assert set(separability(samples, perfect).values()) == {1.0}
    useless = np.ones_like(perfect)
    assert separability(samples, useless)["degree accuracy"] < 0.8
    held = samples.rows(HELDOUT)
    types = np.array(samples.prompts.type_of)[samples.prompt]
    by_type = np.eye(6, dtype=np.float32)[types]
    found = separability(samples, by_type)
    assert found["type accuracy"] == found["type purity"] == 1
    commonest = {t: np.bincount(samples.prompt[(types == t) & (samples.split == TRAIN)]).argmax() for t in set(types)}
    share = np.mean([samples.prompt[row] == commonest[types[row]] for row in held])
    assert found["degree purity"] == pytest.approx(share)
    assert dict(report.figures).keys() == found.keys()


def test_a_whole_recipe_is_read_up_to_the_extractor(tmp_path: Path) -> None:
    path = tmp_path / "micro.yaml"
    path.write_text(RECIPE.replace("name: kmeans", "name: kmeens"))
    recipe = load_extractor_recipe(path, load_catalogue())
    path.write_text(RECIPE)
    whole = load_recipe(path, load_catalogue())
    assert (recipe.synthesize, recipe.extractor) == (whole.synthesize, whole.extractor)
    assert wanted(recipe) == wanted(whole)


def wanted(recipe: Any) -> dict[str, str]:
    return stamps(recipe, "data", load_catalogue(), STAGES[:3])


def test_an_unknown_section_is_a_problem_all_the_same(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, GIVEN, toy(), "clusters: {}\n")
    assert "clusters: Extra inputs are not permitted" in line


def test_a_sweep_compares_trained_and_given_extractors(tmp_path: Path) -> None:
    (tmp_path / "micro.yaml").write_text(RECIPE)
    (tmp_path / "sweep.yaml").write_text(
        "name: s\nrecipe: micro.yaml\naxes:\n  extractor:\n    compact:\n    trained: {extractor: {name: vgg}}\n"
        "    given: {extractor: {name: vgg, config: {layer: relu1_2}, training: none}}\n"
    )
    _, cells = load_sweep(tmp_path / "sweep.yaml", load_catalogue())
    steps = {cell.name: cell.recipe.extractor.training and cell.recipe.extractor.training.steps for cell in cells}
    assert steps == {"compact": 12, "trained": 12, "given": None}
