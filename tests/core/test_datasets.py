"""Miniature copies of every layout: what pairs with what, how many, and what is said where something is wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unirestorer.core.datasets import PUBLISHED, Dataset, Place, find, open_below, open_dataset
from unirestorer.core.datasets.checking import check, markdown
from unirestorer.core.errors import DataError, ImageError, UnknownNameError

from ..commands import run

BY_NAME = {about.name: about for about in PUBLISHED}
FEWEST = 100
"""Bare layouts are tried where the published number is at most this."""


def png(width: int = 8, height: int = 6, value: int = 90) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (value, value, value)).save(file, "PNG")
    return file.getvalue()


PIXELS = png()


def write(root: Path, names: Mapping[str, str] | list[str]) -> None:
    """Images called as damaged files and as their truths."""
    for name in [*names, *(names.values() if isinstance(names, Mapping) else ())]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PIXELS)


def told(data: Dataset) -> dict[str, str]:
    return {pair.lq.relative_to(data.root).as_posix(): pair.gt.relative_to(data.root).as_posix() for pair in data.pairs}


ORIGINALS: list[tuple[str, str, dict[str, str]]] = [
    ("Rain100L", "train", {f"RainTrainL/rain-{n}.png": f"RainTrainL/norain-{n}.png" for n in (1, 2, 10)}),
    ("Rain100L", "test", {f"Rain100L/rainy/rain-00{n}.png": f"Rain100L/norain-00{n}.png" for n in (1, 2)}),
    ("Rain100H", "train", {"RainTrainH/rain/norain-1x2.png": "RainTrainH/norain/norain-1.png"}),
    ("Rain100H", "test", {"rainy/rain-001.png": "norain-001.png"}),
    ("Rain200L", "train", {"rain_data_train_Light/rain/norain-1x2.png": "rain_data_train_Light/norain/norain-1.png"}),
    ("Rain200L", "test", {"test/rain/X2/norain-1x2.png": "test/norain/norain-1.png"}),
    (
        "Rain200H",
        "train",
        {
            f"rain_data_train_Heavy/rain/X2/norain-{n}x2.png": f"rain_data_train_Heavy/norain/norain-{n}.png"
            for n in (1, 9)
        },
    ),
    ("Rain200H", "test", {"test/rain/X2/norain-1x2.png": "test/norain/norain-1.png"}),
    (
        "DDN",
        "train",
        {
            f"Rain14000/training/rainy_image/{n}_{k}.jpg": f"Rain14000/training/ground_truth/{n}.jpg"
            for n in (1, 900)
            for k in (1, 2, 14)
        },
    ),
    ("Rain1400", "test", {"testing/rainy_image/901_1.jpg": "testing/ground_truth/901.jpg"}),
    ("RESIDE-OTS", "train", {"OTS_BETA/haze/OTS/0005_0.8_0.2.jpg": "OTS_BETA/clear/clear_images/0005.jpg"}),
    ("RESIDE", "train", {f"part{n}/002{n}_0.85_0.04.jpg": f"clear/002{n}.jpg" for n in (1, 2, 3, 4)}),
    ("RESIDE", "train", {"synthetic/part1/0025_0.8_0.1.jpg": "original/0025.jpg"}),
    ("SOTS", "test-indoor", {"SOTS/indoor/nyuhaze500/hazy/1400_10.png": "SOTS/indoor/nyuhaze500/gt/1400.png"}),
    ("SOTS", "test-outdoor", {"SOTS/outdoor/hazy/0001_0.8_0.2.jpg": "SOTS/outdoor/gt/0001.png"}),
    (
        "GoPro",
        "train",
        {
            f"GOPRO_Large/train/{scene}/blur/000047.png": f"GOPRO_Large/train/{scene}/sharp/000047.png"
            for scene in ("GOPR0372_07_00", "GOPR0374_11_00")
        },
    ),
    ("GoPro", "test", {"test/GOPR0384_11_00/blur/000001.png": "test/GOPR0384_11_00/sharp/000001.png"}),
    ("GoPro", "train", {f"train/blur/{s}/1.png": f"train/sharp/{s}/1.png" for s in ("A", "B")}),
    ("LOLv1", "train", {"LOLdataset/our485/low/2.png": "LOLdataset/our485/high/2.png"}),
    ("LOL", "test", {"eval15/low/1.png": "eval15/high/1.png"}),
    (
        "LOLv2-real",
        "train",
        {"LOL-v2/Real_captured/Train/Low/low00001.png": "LOL-v2/Real_captured/Train/Normal/normal00001.png"},
    ),
    ("LOLv2-real", "test", {"Real_captured/Test/Low/low00690.png": "Real_captured/Test/Normal/normal00690.png"}),
    ("LOLv2-syn", "train", {"Synthetic/Train/Low/r01.png": "Synthetic/Train/Normal/r01.png"}),
    ("LOLv2-syn", "test", {"LOL-v2/Synthetic/Test/Low/r01.png": "LOL-v2/Synthetic/Test/Normal/r01.png"}),
    ("Snow100K", "train", {"Snow100K-training/all/synthetic/city_1.jpg": "Snow100K-training/all/gt/city_1.jpg"}),
    (
        "Snow100K",
        "test-s",
        {
            "Snow100K-testset/media/jdway/GameSSD/overlapping/test/Snow100K-S/synthetic/a.jpg": (
                "Snow100K-testset/media/jdway/GameSSD/overlapping/test/Snow100K-S/gt/a.jpg"
            )
        },
    ),
    (
        "Snow100K",
        "test-m",
        {
            "Snow100K-testset/jdway/GameSSD/overlapping/test/Snow100K-M/synthetic/a.jpg": (
                "Snow100K-testset/jdway/GameSSD/overlapping/test/Snow100K-M/gt/a.jpg"
            )
        },
    ),
    ("Snow100K", "test-l", {"test/Snow100K-L/synthetic/a.jpg": "test/Snow100K-L/gt/a.jpg"}),
    ("CDD-11", "train", {f"CDD-11_train/{kind}/1.png": "CDD-11_train/clear/1.png" for kind in ("low", "haze_rain")}),
    ("CDD11", "test", {"test/low_haze_snow/7.png": "test/clear/7.png"}),
    ("LHP", "test", {"test/input/1.png": "test/target/1.png"}),
    ("RealSnow", "train", {"train/snow/1.png": "train/gt/1.png"}),
    ("pairs", "train", {"lq/a.png": "gt/a.jpg", "lq/B 2.webp": "gt/B 2.png"}),
    ("pairs", "val", {"val/Input/0001_x.png": "val/Target/0001.png"}),
]


@pytest.mark.parametrize(
    ("name", "split", "names"), ORIGINALS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_layout_is_found_and_paired(tmp_path: Path, name: str, split: str, names: dict[str, str]) -> None:
    write(tmp_path, names)
    assert told(open_dataset(name, tmp_path, split)) == names


def places(kind: str) -> list[tuple[str, str, Place]]:
    return [
        (about.name, split.name, place)
        for about in PUBLISHED
        for split in about.splits
        for place in split.places
        if about.kind == kind and (not place.bare or (split.count or 1) <= FEWEST)
    ]


def filled(pattern: str, degree: str, names: list[str]) -> list[str]:
    """File names in the folders of a place."""
    folders = [part.format(scene="s1", degree=degree).replace("*", "1") for part in pattern.split(" + ")]
    return [f"{folder}/{name}" for name in names for folder in folders]


@pytest.mark.parametrize(("name", "split", "place"), places("pairs"))
def test_every_place_of_the_table_can_be_read(tmp_path: Path, name: str, split: str, place: Place) -> None:
    about, part = BY_NAME[name], BY_NAME[name].split(split)
    count = part.count or 2 if place.bare else 2
    degree = next(iter(about.degrees), "")
    apart = ("rain-", "norain-") if place.lq == place.gt else ("", "")
    assert place.lq is not None
    lq = filled(place.lq, degree, [f"{apart[0]}{n}.png" for n in range(count)])
    gt = [] if place.gt is None else filled(place.gt, degree, [f"{apart[1]}{n}.png" for n in range(count)])
    write(tmp_path, [*lq, *gt])
    data = open_dataset(name, tmp_path, split)
    assert [path.name for path, _, _ in data.pairs] == [Path(file).name for file in lq]
    assert [path.name for _, path, _ in data.pairs] == [Path(file).name for file in gt or lq]


@pytest.mark.parametrize(("name", "split", "place"), places("clean"))
def test_every_place_of_clean_photos_can_be_read(tmp_path: Path, name: str, split: str, place: Place) -> None:
    assert place.gt is not None
    count = BY_NAME[name].split(split).count or 0 if place.bare else 2
    names = filled(place.gt, "", [f"{n}.bmp" for n in range(count)])
    write(tmp_path, names)
    data = open_dataset(name, tmp_path, split)
    assert {path.relative_to(tmp_path).as_posix() for path in data.clean} == {Path(name).as_posix() for name in names}
    assert data.pairs == ()


def test_pairs_come_in_natural_order(tmp_path: Path) -> None:
    write(tmp_path, {f"lq/{n}.png": f"gt/{n}.png" for n in (10, 9, 2, 100)})
    assert [pair.lq.stem for pair in open_dataset("pairs", tmp_path, "train").pairs] == ["2", "9", "10", "100"]


def test_hidden_files_and_others_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"lq/1.png": "gt/1.png"})
    for name in ("lq/.2.png", "lq/Thumbs.db", "gt/notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert len(open_dataset("pairs", tmp_path, "train").pairs) == 1


@pytest.mark.parametrize(
    ("name", "split", "file", "degree"),
    [
        ("DID", "train", "DID-MDN-training/Rain_Heavy/train2018new/1.jpg", "heavy"),
        ("DID", "train", "DID-MDN-datasets/DID-MDN-training/Rain_Light/train2018new/1.jpg", "light"),
        ("Snow100K", "test-m", "Snow100K-M/synthetic/1.jpg", "medium"),
        ("CDD-11", "train", "CDD-11_train/low_haze/1.jpg", "low_haze"),
        ("LOLv1", "train", "our485/low/1.jpg", None),
    ],
)
def test_the_degree_is_what_the_data_set_says(
    tmp_path: Path, name: str, split: str, file: str, degree: str | None
) -> None:
    write(tmp_path, [file, "Snow100K-M/gt/1.jpg", "CDD-11_train/clear/1.jpg", "our485/high/1.jpg"])
    assert {pair.degree for pair in open_dataset(name, tmp_path, split).pairs} == {degree}


def test_side_by_side_images_are_rain_on_the_left_and_truth_on_the_right(tmp_path: Path) -> None:
    picture = np.zeros((6, 16, 3), dtype=np.uint8)
    picture[:, :8] = 200
    folder = tmp_path / "DID-MDN-test"
    folder.mkdir()
    Image.fromarray(picture).save(folder / "1.png")
    data = open_dataset("DID-Data", tmp_path, "test")
    pair = data.pairs[0]
    assert data.size(pair) == (6, 8)
    assert (data.read(pair, "lq") == 200).all()
    assert (data.read(pair, "gt") == 0).all()


def test_the_border_of_an_indoor_truth_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path, {"SOTS/indoor/hazy/1_1.png": "SOTS/indoor/gt/1.png"})
    truth = np.full((26, 28, 3), 255, dtype=np.uint8)
    truth[10:-10, 10:-10] = 7
    Image.fromarray(truth).save(tmp_path / "SOTS/indoor/gt/1.png")
    data = open_dataset("RESIDE", tmp_path, "test-indoor")
    assert (data.read(data.pairs[0], "gt") == 7).all()
    assert data.read(data.pairs[0], "gt").shape == data.read(data.pairs[0], "lq").shape == (6, 8, 3)


def test_what_is_missing_is_one_line_with_folders_numbers_and_home(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset("GoPro", tmp_path, "train")
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        str(tmp_path),
        "0 files",
        "2103 pairs",
        "https://seungjunnah",
        "train/{scene}/blur",
        "train/input & train/target",
    ):
        assert part in text
    with pytest.raises(DataError, match="no such folder; wanted GoPro train"):
        open_dataset("GoPro", tmp_path / "none", "train")


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    write(tmp_path, ["our485/low/1.png", "our485/low/2.png"])
    with pytest.raises(DataError, match=r"our485/low has 2 images, but our485/high has none.*485 pairs"):
        open_dataset("LOLv1", tmp_path, "train")


def test_a_damaged_image_without_truth_is_named(tmp_path: Path) -> None:
    write(tmp_path, {f"training/rainy_image/{n}_1.jpg": f"training/ground_truth/{n}.jpg" for n in (1, 2)})
    (tmp_path / "training/ground_truth/2.jpg").unlink()
    with pytest.raises(DataError, match=r"2_1.jpg has no truth in training/ground_truth \(1 of 2 files have none\)"):
        open_dataset("DDN", tmp_path, "train")


def test_a_layout_that_does_not_pair_is_a_note_where_another_does(tmp_path: Path) -> None:
    write(tmp_path, {f"eval15/low/{n}.png": f"eval15/high/{n}.png" for n in range(15)})
    write(tmp_path, {"test/input/7.png": "test/target/7.png"})
    assert open_dataset("LOLv1", tmp_path, "test").notes == ()
    write(tmp_path, ["eval15/low/15.png"])
    data = open_dataset("LOLv1", tmp_path, "test", strict=False)
    assert told(data) == {"test/input/7.png": "test/target/7.png"}
    assert [note.partition(" ")[0] for note in data.notes] == ["test/input", "not"]
    assert "eval15/low/15.png has no truth in eval15/high (1 of 16 files have none)" in data.notes[1]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    write(tmp_path, ["lq.png"])
    with pytest.raises(DataError, match=r"lq.png: is a file, not a folder; wanted pairs train \(any number of .*\)$"):
        open_dataset("pairs", tmp_path / "lq.png", "train")


def test_two_truths_of_one_name_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"lq/1.png": "gt/1.png"})
    write(tmp_path, ["gt/1.jpg"])
    with pytest.raises(DataError, match=r"1\.(jpg|png).*one name but for the suffix"):
        open_dataset("pairs", tmp_path, "train")


def test_another_number_than_published_is_a_note_and_strictly_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"our485/low/1.png": "our485/high/1.png"})
    data = open_dataset("LOLv1", tmp_path, "train")
    assert "1 of 485" in data.notes[0]
    with pytest.raises(DataError, match="1 of 485 files as published"):
        open_dataset("LOLv1", tmp_path, "train", strict=True)


def test_the_published_number_makes_no_note(tmp_path: Path) -> None:
    write(tmp_path, {f"eval15/low/{n}.png": f"eval15/high/{n}.png" for n in range(15)})
    assert open_dataset("LOLv1", tmp_path, "test", strict=True).notes == ()


def test_a_folder_that_may_be_another_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {f"low/{n}.png": f"high/{n}.png" for n in range(15)})
    assert len(open_dataset("LOLv1", tmp_path, "test").pairs) == 15
    with pytest.raises(DataError, match=r"15 of 485.*which split it is by a folder train/ around it"):
        open_dataset("LOLv1", tmp_path, "train")


def test_the_folder_of_a_split_may_be_given_itself(tmp_path: Path) -> None:
    write(tmp_path, {"our485/low/1.png": "our485/high/1.png", "sets/train/input/2.png": "sets/train/target/2.png"})
    assert len(open_dataset("LOLv1", tmp_path / "our485", "train").pairs) == 1
    assert len(open_dataset("GoPro", tmp_path / "sets" / "train", "train").pairs) == 1
    with pytest.raises(DataError, match="0 files of GoPro test"):
        open_dataset("GoPro", tmp_path / "our485", "test")


def test_unequal_sizes_name_the_pair(tmp_path: Path) -> None:
    write(tmp_path, {"lq/1.png": "gt/1.png"})
    (tmp_path / "gt/1.png").write_bytes(png(9, 6))
    data = open_dataset("pairs", tmp_path, "train")
    with pytest.raises(DataError, match=r"lq/1.png: is 8x6 and its truth .*gt/1.png is 9x6"):
        data.read(data.pairs[0], "lq")


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"lq/1.png": "gt/1.png"})
    (tmp_path / "gt/1.png").write_bytes(PIXELS[:50])
    data = open_dataset("pairs", tmp_path, "train")
    with pytest.raises(ImageError, match=r"gt/1.png: cannot be decoded"):
        data.read(data.pairs[0], "gt")


def test_reading_is_lazy(tmp_path: Path) -> None:
    write(tmp_path, {"lq/1.png": "gt/1.png"})
    (tmp_path / "lq/1.png").write_bytes(b"not an image")
    assert len(open_dataset("pairs", tmp_path, "train").pairs) == 1


def test_names_are_forgiving_and_unknown_ones_get_a_hint() -> None:
    for alias, name in {"did": "DID-Data", "cbsd68": "BSD68", "rain 1400": "DDN-Data", "reside_ots": "RESIDE"}.items():
        assert find(alias).name == name
    with pytest.raises(UnknownNameError, match="did you mean 'Snow100K'"):
        find("Snow100")
    with pytest.raises(UnknownNameError, match="test-s"):
        find("Snow100K").split("test-x")


def test_a_set_is_found_among_others_by_the_names_of_its_archives(tmp_path: Path) -> None:
    write(tmp_path, {"OTS/hazy/1_1.png": "OTS/clear/1.png", "SOTS/outdoor/hazy/2_1.png": "SOTS/outdoor/gt/2.png"})
    write(tmp_path, {"LOL-v2/Synthetic/Train/Low/a.png": "LOL-v2/Synthetic/Train/Normal/a.png"})
    for name, folder in (("Rain100H", "RainTrainH"), ("Rain200L", "rain_data_train_Light")):
        write(tmp_path, {f"{folder}/rain/norain-1x2.png": f"{folder}/norain/norain-1.png"})
        assert open_below(tmp_path, name, "train").root == tmp_path / folder
    assert open_below(tmp_path, "RESIDE", "train").root == tmp_path / "OTS"
    assert open_below(tmp_path, "RESIDE", "test-outdoor").root == tmp_path / "SOTS"
    assert open_below(tmp_path, "LOLv2-syn", "train").root == tmp_path / "LOL-v2"
    with pytest.raises(DataError, match=f"{tmp_path / 'GoPro'}: no such folder; wanted GoPro train"):
        open_below(tmp_path, "GoPro", "train")


def test_no_two_data_sets_share_a_name() -> None:
    for about in PUBLISHED:
        for name in (about.name, *about.aliases):
            assert find(name) is about
        assert about.splits
        assert about.home.startswith("https://") or about.name == "pairs"


def test_a_check_says_layout_numbers_first_pair_and_sizes(tmp_path: Path) -> None:
    write(tmp_path, {f"our485/low/{n}.png": f"our485/high/{n}.png" for n in range(20)})
    train, test = check("LOLv1", tmp_path)
    assert (train.usable, train.got, train.wanted, train.sizes) == (True, 20, 485, ("8x6",) * 5)
    assert train.layout == "our485/low & our485/high"
    assert train.first == (str(tmp_path / "our485/low/0.png"), str(tmp_path / "our485/high/0.png"))
    assert (test.usable, test.got) == (False, 0)
    (tmp_path / "our485/high/19.png").write_bytes(png(3, 3))
    assert "is 3x3" in check("LOLv1", tmp_path, "train")[0].problems[0]


def test_the_command_lists_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("datasets") == 0
    assert "train 2,103, test 1,111" in capsys.readouterr().out
    assert run("datasets", "--json") == 0
    assert {item["name"] for item in json.loads(capsys.readouterr().out)} == set(BY_NAME)
    write(tmp_path, {"eval15/low/1.png": "eval15/high/1.png"})
    assert run("datasets", "check", "lol", tmp_path, "--split", "test") == 0
    assert "LOLv1 test: usable, 1 of 15, in eval15/low & eval15/high" in capsys.readouterr().out
    assert run("datasets", "check", "LOLv1", tmp_path, "--split", "train") == 2
    assert "0 files of LOLv1 train (485 pairs" in capsys.readouterr().err
    assert run("datasets", "check", "LOLv1", tmp_path, "--json") == 0
    assert [report["usable"] for report in json.loads(capsys.readouterr().out)] == [False, True]
    assert run("datasets", "check", "LOLv1", tmp_path, "--split", "test", "--strict") == 2
    assert run("datasets", "check", "LOLv9", tmp_path) == 2


def test_the_page_holds_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "datasets.md"
    assert markdown() in page.read_text(encoding="utf-8"), "print it anew: unirestorer datasets --markdown"
