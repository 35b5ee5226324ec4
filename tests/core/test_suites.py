"""Suites: their YAML, the shipped ones against the paper's printed averages, which images are found below a folder."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unirestorer.core.contracts import Preset
from unirestorer.core.datasets import find
from unirestorer.core.errors import ConfigError, DataError, UniRestorerError, UnknownNameError
from unirestorer.core.evaluating.cases import Case
from unirestorer.core.evaluating.opening import Opened, open_suite, seed_of
from unirestorer.core.evaluating.report import Report, Row, means
from unirestorer.core.evaluating.suite import Suite, load_suite
from unirestorer.evaluation import read_suite, suites

Pixels = NDArray[np.uint8]

SUITE = """
name: mine
title: a test
seed: 3
parts:
  - {name: rain, task: rain, dataset: Rain100L}
  - {name: noisy, group: photos, task: noise, photos: clean, degrade: "noise:sigma=25"}
  - {name: darker, group: photos, task: lowlight, photos: clean, degrade: lowlight, preset: out}
  - {name: real, photos: wild}
  - {name: pairs, task: blur, pairs: mine}
averages:
  all: [rain, photos]
"""


def write(path: Path, text: str = SUITE) -> Path:
    path.write_text(text)
    return path


def save(path: Path, level: int, size: tuple[int, int] = (24, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level // 2, 0)).save(path)


def degrade(pixels: Pixels, chain: str, preset: Preset, seed: int) -> Pixels:
    """Noise of the seed, so that equal pixels mean equal seeds."""
    noise = np.random.default_rng(seed).integers(0, 256, pixels.shape, dtype=np.uint8)
    return pixels ^ noise ^ np.uint8(len(chain) + (preset == "out"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(5):
        save(tmp_path / f"data/clean/{number}.png", 40 * number)
        save(tmp_path / f"data/wild/{number}.jpg", 40 * number)
        save(tmp_path / f"data/mine/lq/{number}.png", 30)
        save(tmp_path / f"data/mine/gt/{number}.png", 40 * number)
    return tmp_path / "data"


def opened(data: Path, text: str = SUITE, **options: object) -> Opened:
    suite = load_suite(write(data.parent / "suite.yaml", text))
    return open_suite(suite, data, degrade, **options)  # type: ignore[arg-type]


def read(found: Opened) -> dict[tuple[str, str], Case]:
    return {(entry.part, entry.image): entry.read() for entry in found.entries}


# The file


def lines_of(path: Path, check: object = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_suite(path) if check is None else load_suite(path, check)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("dataset: Rain100L", "dataset: Rain100X", 6, "did you mean 'Rain100L'"),
        ("dataset: Rain100L", "dataset: Rain100L, split: dev", 6, "split of Rain100L"),
        ("dataset: Rain100L", "dataset: LIVE1", 6, "say how they are damaged"),
        ("dataset: Rain100L", "dataset: Rain100L, degrade: snow", 6, "damaged already"),
        ("dataset: Rain100L", "dataset: CDD-11, only: fog", 6, "known: low, haze"),
        ("dataset: Rain100L", "dataset: DID-Data, only: fog", 6, "known: light, medium, heavy"),
        ("dataset: Rain100L", "dataset: Rain100L, photos: x", 6, "wants one of dataset, pairs and photos"),
        (", pairs: mine", "", 10, "has none"),
        ("pairs: mine", "pairs: mine, only: heavy", 10, "only chooses among the pairs of a dataset"),
        ("pairs: mine", "pairs: mine, degrade: snow", 10, "damaged already"),
        ("name: real", "name: rain", 5, "2 parts are called 'rain'"),
        ("name: real", "name: re|al", 9, "match pattern"),
        ("[rain, photos]", "[rain, noisy]", 12, "no column called 'noisy'; known: rain, photos, real, pairs"),
        ("all: [rain, photos]", "rain: [photos]", 12, "is the name of a column"),
        ("seed: 3", "sead: 3", 4, "Extra inputs"),
        ("seed: 3", "conventions: [standard, papre]", 4, "did you mean 'paper'"),
        ("seed: 3", "weights: {noisy: 3}", 4, "no column called 'noisy'"),
        ("seed: 3", "published: [{table: t, rows: {us: {nois: [3]}}}]", 4, "no column called 'nois'"),
        ("seed: 3", "published: [{table: t, metrics: [psnr], rows: {us: {rain: [3, 1]}}}]", 4, "wanted at most 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    path = write(tmp_path / "suite.yaml", SUITE.replace(old, new, 1))
    found = lines_of(path)
    assert any(entry.startswith(f"{path}:{line}: ") and text in entry for entry in found), found


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    def check(chain: str, preset: Preset) -> None:
        raise UniRestorerError(f"no chain {chain} ({preset})")

    path = write(tmp_path / "suite.yaml", SUITE.replace("Rain100L", "Rain100X"))
    found = lines_of(path, check)
    assert len(found) == 3
    assert f"{path}:8: parts.2.degrade: no chain lowlight (out)" in found


def test_a_file_that_is_no_mapping_is_one_line(tmp_path: Path) -> None:
    assert "a suite is a mapping" in lines_of(write(tmp_path / "suite.yaml", "- rain"))[0]


# The suites that come with the package


def test_the_suites_of_the_issue_are_there() -> None:
    names = {"seven-task", "mixed", "single-task", "real-world", "cdd11", "development", "synthetic"}
    assert set(suites()) == names
    assert {read_suite(name).name for name in names} == names


def test_an_unknown_suite_is_told_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'seven-task'"):
        read_suite("seven-tasks")


@pytest.mark.parametrize("name", sorted(suites()))
def test_weights_are_the_published_numbers_of_images(name: str) -> None:
    suite = read_suite(name)
    for column, weight in suite.weights.items():
        part = next(part for part in suite.parts if part.column == column)
        assert find(str(part.dataset)).split(part.split).count == weight, column


def printed_means(suite: Suite, row: str, convention: str) -> dict[str, tuple[float, float]]:
    """By average: the printed PSNR, and the one that our means make of the printed columns, if all are there."""
    cells = suite.published[0].rows[row]
    rows = [
        Row(part.name, "one", part.task, row, {f"{convention}.psnr": cells[part.column][0]}, 0.0)
        for part in suite.parts
        if part.column in cells
    ]
    made = means(Report(suite, (row,), tuple(rows)), f"{convention}.psnr")[row]
    full = [
        name for name in suite.averages if all(column in cells or column in made for column in suite.averages[name].of)
    ]
    return {name: (cells[name][0], made[name]) for name in full if name in cells}


MISPRINTS = {("NAFNet", "7D")}


def test_our_means_make_the_papers_averages_of_its_columns() -> None:
    suite = read_suite("seven-task")
    checked = 0
    for row in suite.published[0].rows:
        for average, (printed, made) in printed_means(suite, row, "paper").items():
            if (row, average) not in MISPRINTS:
                assert abs(made - printed) < 0.013, (row, average)  # columns are rounded, too
                checked += 1
    assert checked >= 25


def test_the_mean_over_all_images_is_mostly_snow() -> None:
    paper, plain = (
        printed_means(read_suite("seven-task"), "UniRestorer (paper)", convention)["7D"][1]
        for convention in ("paper", "standard")
    )
    assert (round(paper, 2), round(plain, 2)) == (31.34, 32.96)


def test_single_tasks_are_averaged_in_two_steps() -> None:
    suite = read_suite("single-task")
    for row in ("UniRestorer (paper, instruction)", "Restormer", "NAFNet"):
        printed, made = printed_means(suite, row, "paper")["all"]
        assert abs(made - printed) < 0.011, row


def test_real_photos_are_averaged_by_their_number() -> None:
    suite = read_suite("real-world")
    for row in ("UniRestorer (paper)", "MPRNet", "Restormer", "OneRestore"):
        printed, made = printed_means(suite, row, "paper")["all"]
        assert abs(made - printed) < 0.011, row


def test_mixtures_are_averaged_alike() -> None:
    suite = read_suite("mixed")
    for row in ("MPRNet", "SwinIR", "Restormer", "UniRestorer (paper)"):
        found = printed_means(suite, row, "standard")
        assert len(found) == 6
        for average, (printed, made) in found.items():
            if (row, average) not in {("UniRestorer (paper)", "5T"), ("UniRestorer (paper)", "5T out")}:
                assert abs(made - printed) < 0.011, (row, average)


def test_the_mixed_suite_has_both_presets_of_all_seven() -> None:
    suite = read_suite("mixed")
    assert len({(part.degrade, part.preset) for part in suite.parts}) == 14
    assert {part.degrade for part in suite.parts} == {part.task for part in suite.parts}


# Images


def test_missing_parts_are_lines_and_the_rest_is_there(data: Path) -> None:
    found = opened(data)
    assert [line.partition(":")[0] for line in found.missing] == ["rain"]
    assert "wanted Rain100L test (100 pairs" in found.missing[0]
    assert {entry.part for entry in found.entries} == {"noisy", "darker", "real", "pairs"}


def test_a_single_photo_is_enough(data: Path) -> None:
    text = "name: t\ntitle: t\nparts: [{name: noisy, photos: ., degrade: noise}]\n"
    suite = load_suite(write(data.parent / "suite.yaml", text))
    assert [entry.image for entry in open_suite(suite, data / "clean/1.png", degrade).entries] == ["1.png"]


def test_a_folder_of_pairs_that_is_missing_says_what_belongs_there(data: Path) -> None:
    found = opened(data, SUITE.replace("pairs: mine", "pairs: none"))
    assert found.missing[1] == f"pairs: {data / 'none'}: no such folder; put pairs there, lq/NAME.png and gt/NAME.png"


def test_parts_that_lack_the_same_are_one_line(data: Path) -> None:
    text = SUITE.replace("name: real, photos: wild", "name: other, dataset: Rain100L")
    assert opened(data, text).missing[0].startswith("rain, other: ")


def test_nothing_at_all_is_one_error(data: Path) -> None:
    with pytest.raises(DataError, match=r"nothing of the suite 'mine' is there \(5 parts\)") as caught:
        opened(data, SUITE.replace("photos: ", "photos: no-").replace("pairs: mine", "pairs: none"))
    assert len(str(caught.value).splitlines()) == 1


def test_cases_have_pixels_truths_and_tasks(data: Path) -> None:
    cases = read(opened(data))
    noisy, real, pair = cases["noisy", "1.png"], cases["real", "1.jpg"], cases["pairs", "1.png"]
    assert noisy.task == "noise"
    assert noisy.truth is not None
    assert noisy.truth[0, 0].tolist() == [40, 20, 0]
    assert noisy.seed == seed_of(3, "noisy", "1.png")
    assert (real.truth, real.task, real.seed) == (None, None, None)
    assert pair.truth is not None
    assert (pair.damaged[0, 0].tolist(), pair.truth[0, 0].tolist()) == ([30, 15, 0], [40, 20, 0])


def test_damage_depends_on_suite_seed_part_and_image_alone(data: Path) -> None:
    before = read(opened(data))
    for name in ("0.png", "3.png"):
        (data / "clean" / name).unlink()
    save(data / "clean" / "00.png", 7)
    after = read(opened(data))
    for key in (("noisy", "2.png"), ("darker", "4.png")):
        assert np.array_equal(before[key].damaged, after[key].damaged)
    other = read(opened(data, SUITE.replace("seed: 3", "seed: 4")))
    assert not np.array_equal(before["noisy", "2.png"].damaged, other["noisy", "2.png"].damaged)
    assert len({seed_of(3, part, image) for part in ("a", "b") for image in ("1", "2")}) == 4


def test_a_limit_spreads_evenly_and_parts_can_be_chosen(data: Path) -> None:
    found = opened(data, limit=3, parts=("photos", "pairs"))
    assert [(entry.part, entry.image) for entry in found.entries] == [
        (part, f"{number}.png") for part in ("noisy", "darker", "pairs") for number in (0, 2, 4)
    ]
    assert found.missing == ()


def test_an_unknown_part_is_told_with_the_known_ones(data: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'noisy'"):
        opened(data, parts=("nosy",))


def test_a_damaged_image_fails_when_it_is_read_and_alone(data: Path) -> None:
    (data / "mine/lq/2.png").write_bytes(b"no image")
    save(data / "mine/gt/3.png", 9, (11, 11))
    failed = []
    for entry in opened(data, parts=("pairs",)).entries:
        try:
            entry.read()
        except UniRestorerError:
            failed.append(entry.image)
    assert failed == ["2.png", "3.png"]


def test_a_degree_can_be_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "CDD-11/CDD-11_test"
    for folder in ("clear", "low", "haze_rain"):
        save(root / folder / "00001.png", len(folder))
    text = "name: t\ntitle: t\nparts:\n" + "".join(
        f"  - {{name: {name}, dataset: CDD-11, only: {name}}}\n" for name in ("low", "haze_rain", "snow")
    )
    found = open_suite(load_suite(write(tmp_path / "suite.yaml", text)), tmp_path, degrade)
    assert [(entry.part, entry.read().damaged[0, 0, 0]) for entry in found.entries] == [("low", 3), ("haze_rain", 9)]
    assert "no pair of CDD-11 is 'snow'; there: haze_rain, low" in found.missing[0]
    assert "has 2 of 2200 files as published" in found.notes[0]


def test_a_set_of_photos_is_named_alike_in_every_layout(tmp_path: Path) -> None:
    text = "name: t\ntitle: t\nparts: [{name: b, dataset: BSD68, degrade: noise}]\n"
    suite = load_suite(write(tmp_path / "suite.yaml", text))
    names = []
    for layout in ("one/BSD68", "two/CBSD68/original_png"):
        for number in range(68):
            save(tmp_path / layout / f"{number:03}.png", 5)
        found = open_suite(suite, tmp_path / layout.partition("/")[0], degrade)
        names.append([(entry.image, entry.read().seed) for entry in found.entries])
    assert names[0] == names[1]
    assert fmean(len(image) for image, _ in names[0]) == len("000.png")
