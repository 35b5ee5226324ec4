"""``unirestorer diagnose``: the tree for a few photos, lines for folders, statistics over both."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unirestorer import api
from unirestorer.api import load as load_really
from unirestorer.cli.counting import true_type
from unirestorer.core.explaining import Branch
from unirestorer.core.instruction import Instruction
from unirestorer.core.memory import Neighbour
from unirestorer.core.mixture import Estimate, Expert
from unirestorer.core.restoring import Restorer
from unirestorer.model import Model
from unirestorer.plugins.manager import load_catalogue

Run = Callable[..., Any]
Photo = Callable[..., Path]
RAIN = Estimate(
    node=2,
    path=("all", "rain", "rain/heavy"),
    task="rain",
    leaves={"rain/heavy": 0.9, "rain/light": 0.06, "clean": 0.04},
    levels={"ALL": 0.02, "TYPE": 0.1, "DEGREE": 0.88},
    types={"rain": 0.97, "clean": 0.03},
    alternatives=(("rain", 0.1),),
    experts=((2, 1.0),),
    level="DEGREE",
    tree=(
        Branch(0, "all", "ALL", 0, 1.0),
        Branch(1, "rain", "TYPE", 1, 0.96),
        Branch(2, "rain/heavy", "DEGREE", 2, 0.9),
        Branch(3, "rain/light", "DEGREE", 2, 0.06),
        Branch(4, "clean", "TYPE", 1, 0.04),
    ),
    reason="DEGREE level: 0.90 sure of the leaf and 0.88 of the level",
    novelty=0.4,
    nearest=(Neighbour("street.png", "rain", "heavy", 0.31), Neighbour("sea.png", "rain", "light", 0.42)),
)
STRANGE = replace(RAIN, node=0, path=("all",), level="ALL", novelty=1.83, unknown=True, reason="fell back to ALL: ...")


class Mixture:
    """Dark photos are rain, bright ones unlike anything."""

    tasks = ("clean", "lowlight", "rain")

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        return None

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        return RAIN if image.mean() < 0.5 else STRANGE

    def expert(self, node: int) -> Expert:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def model(fake_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "load", lambda model=None: Model(Restorer(Mixture())))


@pytest.fixture
def folder(photo: Photo, tmp_path: Path) -> Path:
    """Two photos of rain, one of which is strange, a dark one, one of sketches, one in no sub-folder."""
    for name, level in (("derain/a.png", 60), ("derain/deep/b.png", 200), ("dark/c.png", 60), ("sketches/d.png", 200)):
        photo(tmp_path / "in" / name, level=level)
    photo(tmp_path / "in" / "e.png")
    return tmp_path / "in"


LINE = "a.png  rain (0.97), expert all > rain > rain/heavy; else rain 0.10"


def test_a_photo_is_explained_at_length(run: Run, photo: Photo, tmp_path: Path) -> None:
    result = run("diagnose", photo(tmp_path / "a.png"))
    assert (result.code, result.errors) == (0, [])
    assert result.out.splitlines() == [
        LINE,
        "  tree     all               1.00",
        "           ├─ rain           0.96",
        "           │  ├─ rain/heavy  0.90  ← chosen",
        "           │  └─ rain/light  0.06",
        "           └─ clean          0.04",
        "  levels   ALL 0.02, TYPE 0.10, DEGREE 0.88",
        "  why      DEGREE level: 0.90 sure of the leaf and 0.88 of the level",
        "  nearest  rain  heavy  street.png  0.31",
        "           rain  light  sea.png     0.42",
    ]


def test_something_unknown_gets_a_warning_in_the_tree_and_in_the_line(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png", level=200)
    text = run("diagnose", source).out
    assert "a.png  rain (0.97), unknown (novelty 1.83), expert all" in text
    assert text.splitlines()[-1].startswith("  warning: unlike anything the model was trained on (novelty 1.83")
    assert "unknown (novelty 1.83)" in run("diagnose", source, "--short").out


@pytest.mark.parametrize(
    ("count", "options", "lines"),
    [(5, [], 50), (6, [], 6), (6, ["--tree"], 60), (1, ["--short"], 1)],
)
def test_many_files_get_a_line_each(
    run: Run, photo: Photo, tmp_path: Path, count: int, options: list[str], lines: int
) -> None:
    result = run("diagnose", *(photo(tmp_path / f"{k}.png") for k in range(count)), *options)
    assert len(result.out.splitlines()) == lines


def test_a_folder_gets_a_line_for_each_photo_unless_the_tree_is_asked_for(
    run: Run, photo: Photo, tmp_path: Path
) -> None:
    photo(tmp_path / "in" / "a.png")
    assert run("diagnose", tmp_path / "in").out.splitlines() == [LINE]
    assert len(run("diagnose", tmp_path / "in", "--tree").out.splitlines()) == 10


def test_json_holds_everything_and_nothing_else_is_printed(run: Run, photo: Photo, tmp_path: Path) -> None:
    (entry,) = json.loads(run("diagnose", photo(tmp_path / "a.png"), "--json").out)
    assert entry["nearest"][0] == {"photo": "street.png", "type": "rain", "degree": "heavy", "distance": 0.31}
    assert entry["tree"][1] == {"node": 1, "name": "rain", "level": "TYPE", "depth": 1, "probability": 0.96}
    assert (entry["reason"], entry["novelty"], entry["unknown"], entry["level"]) == (RAIN.reason, 0.4, False, "DEGREE")
    assert entry["experts"] == [{"node": 2, "weight": 1.0}]


def test_a_terminal_without_box_characters_gets_ascii(
    run: Run, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unirestorer.cli.diagnose.draws_boxes", lambda: False)
    text = run("diagnose", photo(tmp_path / "a.png")).out
    assert text.isascii()
    assert "|  |- rain/heavy  0.90  <- chosen" in text


def test_an_older_model_says_in_one_line_that_it_keeps_no_samples(
    run: Run, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load_really()
    real.restorer.mixture.memory = None  # type: ignore[attr-defined]
    monkeypatch.setattr(api, "load", lambda model=None: real)
    result = run("diagnose", photo(tmp_path / "a.png"))
    assert (result.code, result.errors) == (0, [])
    assert result.out.count("this model keeps no training samples") == 1
    assert "warning" not in result.out


def test_statistics_are_counted_by_the_folders_in_the_words_people_use(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run("diagnose", folder, "--stats", tmp_path / "s.csv")
    assert result.code == 0
    assert result.out.splitlines()[-1] == f"5 photos counted -> {tmp_path / 's.csv'}, {tmp_path / 's.png'}"
    rows = {row["true_type"]: row for row in csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text()))}
    assert list(rows) == ["lowlight", "rain", "sketches", "(not named)", "all images"]
    assert (rows["rain"]["images"], rows["rain"]["node:rain/heavy"], rows["rain"]["node:all"]) == ("2", "1", "1")
    assert (rows["rain"]["type_found"], rows["rain"]["unknown"]) == ("1", "0.5")
    assert rows["lowlight"]["type_found"] == "0"
    assert rows["all images"]["level:DEGREE"] == "3"
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.format == "PNG"


def test_statistics_come_as_markdown_and_json_too_and_are_printed_for_a_dash(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    for name in ("s.md", "s.json"):
        run("diagnose", folder, "--stats", tmp_path / name, "--overwrite")
    assert "| rain | 2 | 50% |" in (tmp_path / "s.md").read_text()
    assert json.loads((tmp_path / "s.json").read_text())["types"]["rain"]["images"] == 2
    printed = run("diagnose", folder, "--stats", "-").out
    assert (tmp_path / "s.md").read_text() in printed
    assert "Never used: rain, rain/light, clean." in printed


@pytest.mark.parametrize(
    ("stats", "options", "words"),
    [
        ("s.txt", [], "wanted a name ending in .md, .csv, .json"),
        ("-", ["--json"], "prints to the same place"),
        ("in/derain/a.csv", [], "would overwrite an image"),
    ],
)
def test_statistics_that_cannot_be_written_are_told_before_anything_is_done(
    run: Run, folder: Path, tmp_path: Path, stats: str, options: list[str], words: str
) -> None:
    target = stats if stats == "-" else tmp_path / stats
    before = (folder / "derain" / "a.png").read_bytes()
    result = run("diagnose", folder, "--stats", target, *options)
    assert (result.code, result.out) == (2, "")
    assert len(result.errors) == 1
    assert words in result.errors[0]
    assert (folder / "derain" / "a.png").read_bytes() == before


def test_files_that_are_there_are_kept_unless_the_user_says_so(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "s.png").write_bytes(b"holiday")
    result = run("diagnose", folder, "--stats", tmp_path / "s.md")
    assert (result.code, result.out) == (2, "")
    assert "s.png: exists already" in result.errors[0]
    assert (tmp_path / "s.png").read_bytes() == b"holiday"
    assert run("diagnose", folder, "--stats", tmp_path / "s.md", "--overwrite").code == 0
    assert (tmp_path / "s.png").read_bytes() != b"holiday"


def test_nothing_but_json_is_printed_beside_statistics(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run("diagnose", folder, "--stats", tmp_path / "s.md", "--json")
    assert len(json.loads(result.out)) == 5
    assert (tmp_path / "s.md").exists()


def test_bad_files_are_told_and_the_others_counted(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "derain" / "bad.png").write_text("no picture")
    result = run("diagnose", folder, "--stats", tmp_path / "s.json")
    assert result.code == 2
    assert len(result.errors) == 1
    assert json.loads((tmp_path / "s.json").read_text())["everything"]["images"] == 5


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("derain", "rain"), ("derain/lq", "rain"), ("derain/a/b", None), ("rain/dark", "lowlight"), ("photos", None)],
)
def test_the_folder_given_may_name_the_true_type(given: str, wanted: str | None) -> None:
    words = load_catalogue().words
    assert true_type(Path(given, "a.png"), Path("a.png"), Mixture.tasks, words) == wanted
    assert true_type(Path(given, "fog", "a.png"), Path("fog", "a.png"), Mixture.tasks, words) == (wanted or "fog")


def test_the_true_type_is_that_of_the_first_folder() -> None:
    words, tasks = load_catalogue().words, Mixture.tasks
    for path, wanted in {
        "rain/a": "rain",
        "de-rain/x/a": "rain",
        "low light/a": "lowlight",
        "fog/a": "fog",
        "a": None,
    }.items():
        assert true_type(Path("in", path), Path(path), tasks, words) == wanted
