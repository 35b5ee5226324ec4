"""Training on given pairs: two damage types from tiny data sets beside a synthesized one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from unirestorer.core.ablating import running
from unirestorer.core.ablating.sweep import Cell
from unirestorer.core.captions import write_rows
from unirestorer.core.errors import ConfigError, DataError, ImageError
from unirestorer.core.extending.bench import Bench
from unirestorer.core.extending.degradation import add_degradation
from unirestorer.core.extending.finish import Clock
from unirestorer.core.extending.forecast import forecast_split
from unirestorer.core.extending.level import drawn_for, samples_of
from unirestorer.core.extending.options import ExtensionRecipe
from unirestorer.core.extending.trained import Trained
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Mixture
from unirestorer.core.pairs import Given, open_data, open_pairs
from unirestorer.core.photos import HELDOUT, Photos
from unirestorer.core.pipeline import run_pipeline, stamps
from unirestorer.core.recipe import SynthesizeConfig
from unirestorer.core.rendering import render, truths
from unirestorer.core.run import Run, Watcher
from unirestorer.core.samples import SampleSet, draw
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from ..commands import run
from .test_pipeline import stop_after
from .tiny_world import RECIPE, contents, make_photos, make_recipe

PAIRS = """
  degradations: {noise: {}}
  pairs:
    rain: [{dataset: DDN}]
    lowlight: [{dataset: LOLv1, weight: 0.5}, {dataset: pairs, root: mine, weight: 0.5}]
"""
TEXT = RECIPE.replace("\n  degradations: {clean: {}, noise: {}, lowlight: {}}\n", PAIRS)
PLAN = SynthesizeConfig.model_validate(
    {
        "samples": 60,
        "crop": 48,
        "calibration": 0.2,
        "heldout": 0.2,
        "pairs": {"rain": [{"dataset": "DDN"}], "lowlight": [{"dataset": "LOLv1"}]},
    }
)


def scene(seed: int, width: int = 64, height: int = 56) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)))


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_sets(folder: Path) -> Path:
    """DDN: six truths with three rainy images each; LOLv1: six, one of them small; six pairs of one's own, no set's."""
    for number in range(6):
        clean = scene(number)
        save(folder / f"DDN/training/ground_truth/{number}.png", clean)
        for streak in range(3):
            rainy = clean.copy()
            rainy[:, 5 + streak :: 9] = 255
            save(folder / f"DDN/training/rainy_image/{number}_{streak}.png", rainy)
        high = scene(100 + number, *((40, 30) if number == 5 else (64, 50)))
        save(folder / f"LOL/our485/high/{number}.png", high)
        save(folder / f"LOL/our485/low/{number}.png", high // 5)
        save(folder / f"mine/gt/{number}.png", clean)
        save(folder / f"mine/lq/{number}.png", clean // 4)
    return folder


def silent(task: str, done: int, total: int, note: str) -> None:
    """Watches nothing."""


def make_run(folder: Path, name: str, watch: Watcher | None = None) -> Run:
    recipe = make_recipe(folder, TEXT)
    photos, given = open_data(recipe, make_photos(folder / "photos"), folder / "sets")
    store = open_registry(folder / name, create=True)
    work, reports = folder / name / "work", folder / name / "reports"
    extra: dict[str, Any] = {} if watch is None else {"watch": watch}
    return Run(recipe, store, load_catalogue(), photos, work, reports, given=given, **extra)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sets: Path) -> Path:
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(sets, folder / "sets")
    run_pipeline(make_run(folder, "whole"))
    return folder


@pytest.fixture(scope="module")
def drawn(sets: Path) -> tuple[SampleSet, Given]:
    given = open_pairs(PLAN, 3, sets)
    return draw(load_catalogue(), [], Photos((), (), ()), np.zeros(0, np.int32), 60, 48, 3, given), given


def test_a_model_learns_given_and_synthesized_damage(world: Path) -> None:
    store = open_registry(world / "whole")
    samples = SampleSet.from_record(store.read("dr_sets", "micro"))
    assert samples.prompts.types == ("noise", "rain", "lowlight")
    assert [kind for kind, _ in samples.sources] == ["rain", "lowlight", "lowlight"]
    assert {pair for pair in samples.prompts.pairs if pair[0] != "noise"} == {
        ("rain", "ddn-data"),
        ("lowlight", "lolv1"),
        ("lowlight", "mine"),
    }
    counts = np.bincount(samples.type_labels)
    assert counts.tolist() == [24, 24, 24]
    image = torch.rand(1, 3, 48, 48)
    mixture = Mixture(store, load_catalogue())
    for task in mixture.tasks:
        estimate = mixture.estimate(image, mixture.allowed(Instruction((task,))))
        assert mixture.expert(estimate.node).module(image).shape == image.shape
    assert "lowlight lolv1" in (world / "whole" / "reports" / "evaluation.md").read_text()


def test_the_registry_says_which_files_were_used(world: Path) -> None:
    record = open_registry(world / "whole").read("dr_sets", "micro")
    names = {item["name"] for item in record.attributes["pairs"]}
    assert "DDN-Data/training/rainy_image/0_0.png" in names
    assert all(len(item["sha256"]) == 64 for item in record.attributes["pairs"])
    images = [item["name"] for item in record.attributes["images"]]
    assert images[:12] == [f"photo{n}.png" for n in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert set(images[12:]) <= {
        f"{folder}/{n}.png"
        for n in range(6)
        for folder in ("DDN-Data/training/ground_truth", "LOLv1/our485/high", "mine/gt")
    }
    assert "/sets" not in str(record.attributes)


@pytest.mark.parametrize(("event", "count"), [("extractor", 1), ("experts", 3)])
def test_an_interrupted_run_goes_on_to_the_same_registry(world: Path, event: str, count: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(make_run(world, event, stop_after(event, count)))
    run_pipeline(make_run(world, event))
    assert contents(open_registry(world / event)) == contents(open_registry(world / "whole"))


def test_a_finished_run_is_skipped_until_a_pair_changes_its_size(world: Path) -> None:
    assert all(report.skipped for report in run_pipeline(make_run(world, "whole")))
    before = make_run(world, "whole").data_stamp
    extra = world / "sets/DDN/training/rainy_image/5_9.png"
    save(extra, scene(5))
    assert make_run(world, "whole").data_stamp != before
    extra.unlink()
    assert make_run(world, "whole").data_stamp == before


def test_pixels_and_truths_are_the_same_crop_of_both_files(
    drawn: tuple[SampleSet, Given], tmp_path: Path, sets: Path
) -> None:
    samples, given = drawn
    nobody = Photos((), (), ())
    pixels = render(samples, nobody, load_catalogue(), tmp_path / "pixels.npy", given)
    clean = truths(samples, nobody, given, tmp_path / "truths.npy")
    assert samples.pair is not None
    for row in range(len(samples)):
        folder = {"rain": sets / "DDN", "lowlight": sets / "LOL"}[samples.sources[samples.synthesizer[row]][0]]
        paths = [samples.pairs[samples.pair[row]][0], samples.images[samples.image[row]]]
        lq, gt = (np.asarray(Image.open(folder / path.partition("/")[2])) for path in paths)
        if min(gt.shape[:2]) >= 48:
            y, x = samples.crop[row]
            assert (pixels[row] == lq[y : y + 48, x : x + 48].transpose(2, 0, 1)).all()
            assert (clean.crop(row, (8, 4), 32) == gt[y + 8 : y + 40, x + 4 : x + 36]).all()
    few = samples.take(np.array([50, 3, 17]))
    again = truths(few, nobody, given, tmp_path / "few.npy")
    assert (again.crop(0, (0, 0), 48) == clean.crop(50, (0, 0), 48)).all()
    assert (again.crop(2, (0, 0), 48) == clean.crop(17, (0, 0), 48)).all()


def test_every_pair_is_drawn_before_one_is_drawn_again(drawn: tuple[SampleSet, Given]) -> None:
    samples, _ = drawn
    assert samples.pair is not None
    rain = np.bincount(samples.pair[samples.synthesizer == 0])
    assert rain.sum() == 30
    assert set(rain) <= {1, 2}
    assert len(samples.pairs) == 18 + 6


def test_drawing_twice_is_equal_and_survives_the_registry(drawn: tuple[SampleSet, Given], sets: Path) -> None:
    samples, _ = drawn
    again = draw(
        load_catalogue(), [], Photos((), (), ()), np.zeros(0, np.int32), 60, 48, 3, open_pairs(PLAN, 3, sets)
    ).to_record()
    record = samples.to_record()
    assert record.attributes == again.attributes
    assert all((record.arrays[key] == again.arrays[key]).all() for key in record.arrays)
    back = SampleSet.from_record(record)
    assert (back.sources, back.pairs, back.photos) == (samples.sources, samples.pairs, 0)


def test_all_damaged_images_of_a_truth_are_in_one_split_also_of_equal_files(sets: Path) -> None:
    both = PLAN.model_copy(
        update={
            "pairs": {
                **PLAN.pairs,
                "old": SynthesizeConfig.model_validate(
                    {"samples": 8, "pairs": {"old": [{"dataset": "pairs", "root": "mine"}]}}
                ).pairs["old"],
            }
        }
    )
    split = open_pairs(both, 3, sets).split
    for number in range(6):
        assert split[sets / f"DDN/training/ground_truth/{number}.png"] == split[sets / f"mine/gt/{number}.png"]
    for name in ("DDN/training/ground_truth", "LOL/our485/high"):
        assert {split[sets / name / f"{number}.png"] for number in range(6)} == {0, 1, 2}


def test_only_some_degrees_and_another_name_for_them(sets: Path, tmp_path: Path) -> None:
    for kind in ("Light", "Heavy"):
        for number in range(4):
            save(tmp_path / f"DID/DID-MDN-training/Rain_{kind}/train2018new/{number}.png", scene(number, 128))
    choose = {"dataset": "DID", "only": ["heavy"], "degree": "large"}
    plan = SynthesizeConfig.model_validate({"samples": 8, "pairs": {"rain": [choose]}})
    (source,) = open_pairs(plan, 0, tmp_path).sources
    assert [(pair.degree, pair.lq.parts[-3]) for pair in source.pairs] == [("large", "Rain_Heavy")] * 4
    wrong = SynthesizeConfig.model_validate({"samples": 8, "pairs": {"rain": [{**choose, "only": ["huge"]}]}})
    with pytest.raises(ConfigError, match="no pair is huge; known: heavy, light"):
        open_pairs(wrong, 0, tmp_path)


def test_two_folders_of_ones_own_are_kept_apart(sets: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "far/two"):
        shutil.copytree(sets / "mine", tmp_path / name)

    def plan(*roots: str) -> SynthesizeConfig:
        chosen = [{"dataset": "pairs", "root": root} for root in roots]
        return SynthesizeConfig.model_validate({"samples": 40, "crop": 48, "pairs": {"rain": chosen}})

    save(tmp_path / "two/lq/0.png", scene(77))
    given = open_pairs(plan("one", "two"), 3, tmp_path)
    nobody = Photos((), (), ())
    samples = draw(load_catalogue(), [], nobody, np.zeros(0, np.int32), 40, 48, 3, given)
    assert samples.prompts.pairs == (("rain", "one"), ("rain", "two"))
    pixels = render(samples, nobody, load_catalogue(), tmp_path / "pixels.npy", given)
    assert samples.pair is not None
    row = next(n for n in range(40) if samples.pairs[samples.pair[n]][0] == "two/lq/0.png")
    y, x = samples.crop[row]
    assert (pixels[row] == scene(77)[y : y + 48, x : x + 48].transpose(2, 0, 1)).all()
    with pytest.raises(ConfigError, match="would be recorded alike; rename one folder"):
        open_pairs(plan("two", "far/two"), 3, tmp_path)


def test_a_file_that_changed_or_went_is_refused(sets: Path, tmp_path: Path) -> None:
    shutil.copytree(sets, tmp_path / "sets")
    given = open_pairs(PLAN, 3, tmp_path / "sets")
    nobody = Photos((), (), ())
    samples = draw(load_catalogue(), [], nobody, np.zeros(0, np.int32), 60, 48, 3, given)
    path = tmp_path / "sets/LOL/our485/high/2.png"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"high/2.png: is not the file that samples were drawn from"):
        truths(samples, nobody, given, tmp_path / "truths.npy")
    assert not (tmp_path / "truths.npy").exists()
    (tmp_path / "sets/LOL/our485/low/2.png").unlink()
    with pytest.raises(DataError, match=r"low/2.png: is gone"):
        render(samples, nobody, load_catalogue(), tmp_path / "pixels.npy", given)


def test_damaged_files_and_unequal_sizes_are_named_when_drawn(sets: Path, tmp_path: Path) -> None:
    shutil.copytree(sets, tmp_path / "sets")
    path = tmp_path / "sets/LOL/our485/low/3.png"
    save(path, scene(1, 65, 50))
    given = open_pairs(PLAN, 3, tmp_path / "sets")
    with pytest.raises(DataError, match=r"low/3.png: is 65x50 and its truth .*high/3.png is 64x50"):
        draw(load_catalogue(), [], Photos((), (), ()), np.zeros(0, np.int32), 60, 48, 3, given)
    path.write_bytes(b"GIF89a" + bytes(50))
    with pytest.raises(ImageError, match=r"low/3.png"):
        draw(load_catalogue(), [], Photos((), (), ()), np.zeros(0, np.int32), 60, 48, 3, given)


def test_pairs_alone_train_a_model_that_restores(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXT.replace("  degradations: {noise: {}}\n", "")
    (tmp_path / "pairs.yaml").write_text(text[: text.index("  extra:")] + text[text.index("routers:") :])
    registry = tmp_path / "registry"
    assert run("train", tmp_path / "pairs.yaml", "--datasets", world / "sets", "--registry", registry) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert [line.partition(" has ")[2].partition(" as ")[0] for line in notes] == [
        "18 of 12600 files",
        "6 of 485 files",
    ]
    assert "/LOL: LOLv1 train: our485/low & our485/high has" in notes[1]
    dark = world / "sets/LOL/our485/low/0.png"
    assert run("restore", dark, "-o", tmp_path / "out.png", "--model", registry, "--task", "lowlight") == 0
    assert (tmp_path / "out.png").exists()


def test_what_is_missing_is_said_before_anything_is_made(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, registry = world / "micro.yaml", tmp_path / "registry"
    common = ("train", recipe, "--registry", registry)
    assert run(*common, "--data", world / "photos") == 2
    assert (
        "synthesize.pairs.rain.0: no folder of DDN-Data; name the folder of data sets: --datasets DIR"
        in capsys.readouterr().err
    )
    assert run(*common, "--data", world / "photos", "--datasets", tmp_path) == 2
    assert "no such folder; wanted DDN-Data train (12600 pairs" in capsys.readouterr().err
    assert run(*common, "--datasets", world / "sets") == 2
    assert "the recipe damages clean photos (noise" in capsys.readouterr().err
    assert not registry.exists()


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("rain: [{dataset: Snow100}]", "did you mean .Snow100K"),
        ("rain: [{dataset: DDN, split: val}]", "unknown split of DDN-Data 'val'"),
        ("noise: [{dataset: DIV2K}]", "'DIV2K' has no pairs"),
        ("Rain!: [{dataset: DDN}]", "pattern"),
        ("rain: [{dataset: DDN, weight: 0}]", "weight"),
    ],
)
def test_a_wrong_choice_of_pairs_is_a_line_of_the_recipe(tmp_path: Path, pairs: str, expected: str) -> None:
    text = TEXT.replace("rain: [{dataset: DDN}]", pairs)
    with pytest.raises(ConfigError, match=expected) as caught:
        make_recipe(tmp_path, text)
    line = text.splitlines().index(f"    {pairs}") + 1
    assert f"micro.yaml:{line}: synthesize.pairs" in str(caught.value)


def test_a_recipe_draws_something(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither degradations nor pairs"):
        make_recipe(tmp_path, TEXT.replace(PAIRS, "\n"))


def test_a_model_of_pairs_is_extended_with_them_and_not_without(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "whole", tmp_path / "own")
    store = open_registry(tmp_path / "own")
    trained = Trained.load(store, load_catalogue())
    photos, given = open_data(trained.recipe, world / "photos", world / "sets")
    options = ExtensionRecipe(samples=48, steps=4, rehearsal=40, tried=24)

    def bench(given: Given) -> Bench:
        return Bench(trained, photos, tmp_path / "work", options, silent, given)

    with pytest.raises(DataError, match=r"learnt 'rain' from given pairs \(DDN\).*--datasets DIR"):
        bench(Given())
    whole = bench(given)
    leaf = next(n for n in trained.labelled.tree.leaves if trained.labelled.types[n] in ("rain", "lowlight"))
    kind = trained.labelled.types[leaf]
    choices, kinds, _ = drawn_for(whole, [int(leaf)])
    assert ([name for name, _, _ in choices], kinds) == ([], [kind])
    samples, pixels, dr = samples_of(whole, [int(leaf)], Clock())
    assert len(samples) == len(pixels) == len(dr) == len(samples.given)
    assert any(
        part.what.endswith(f"samples of {kind}") for part in forecast_split(whole, trained.labelled.names[leaf], 2)
    )
    rehearsed = whole.rehearsal({"rain": 0.5, "noise": 0.5}).trials
    assert set(rehearsed.kind) >= {"rain", "noise", "lowlight"}
    assert (rehearsed.sample >= 0).any()
    with pytest.raises(ConfigError, match="has this degradation"):
        add_degradation(whole, "lowlight")
    done = add_degradation(whole, "jpeg")
    assert {kind.kind for kind in done.kinds} >= {"jpeg"}
    assert Mixture(store, load_catalogue()).tasks[0] == "jpeg"


def test_a_sweep_runs_on_the_same_pairs(world: Path, tmp_path: Path) -> None:
    recipe, catalogue = make_recipe(world, TEXT), load_catalogue()
    cell = Cell("one", {}, recipe)
    sweep = running.Bench(
        "s",
        tmp_path,
        world / "photos",
        catalogue,
        lambda path: open_registry(path, create=True),
        silent,
        world / "sets",
    )
    (job,) = running.plan(sweep, [cell])
    once = make_run(world, "whole")
    assert job.stamps == stamps(recipe, once.data_stamp, catalogue)
    assert sweep.run(cell, tmp_path / "work").given.stamp == once.given.stamp


def test_pairs_that_are_not_the_recorded_ones_any_more_are_drawn_anew(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "sets", tmp_path / "sets")
    for path in (tmp_path / "sets/DDN/training/rainy_image").glob("*_2.png"):
        path.unlink()
    trained = Trained.load(open_registry(world / "whole"), load_catalogue())
    photos, given = open_data(trained.recipe, world / "photos", tmp_path / "sets")
    options = ExtensionRecipe(samples=48, steps=4, rehearsal=40, tried=24)
    trials = Bench(trained, photos, tmp_path / "work", options, silent, given).rehearsal().trials
    assert (trials.sample < 0).all()
    assert set(trials.kind) >= {"rain", "lowlight"}
    assert (trials.split == HELDOUT).any()


def test_captions_are_those_of_photos_and_of_the_truths_of_pairs(
    drawn: tuple[SampleSet, Given], sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, file = tmp_path / "recipe.yaml", tmp_path / "captions.tsv"
    plan.write_text(TEXT)
    truths = {source.name(pair.gt) for source in drawn[1].sources for pair in source.pairs}
    assert set(drawn[0].images) <= truths
    own = [f"mine/gt/{path.name}" for path in (sets / "mine/gt").iterdir()]
    write_rows(file, dict.fromkeys([*truths, *own], "a scene"))
    assert run("captions", "-o", file, "--recipe", plan, "--datasets", sets) == 0
    assert f"0 of {len(truths) + len(own)} photos captioned" in capsys.readouterr().out.replace("\n", " ")
