"""``unirestorer evaluate`` as a user runs it, on a micro model."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

import unirestorer
from unirestorer.core.errors import ConfigError
from unirestorer.core.evaluating.report import from_json
from unirestorer.core.mixture import Mixture
from unirestorer.core.pipeline import run_pipeline
from unirestorer.evaluation import Function
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from ..core.tiny_world import make_photos, make_run
from .conftest import Run

CHAIN = """
name: mine
title: my own chain
parts:
  - {name: both, task: noise, photos: ., degrade: "noise:sigma=10,jpeg:quality=50"}
  - {name: there, dataset: Rain100L}
"""


@pytest.fixture(autouse=True)
def fake_model() -> None:
    """The real one is measured here."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    run_pipeline(make_run(folder, "model"))
    make_photos(folder / "few", 3)
    for task in ("denoise", "lowlight"):
        make_photos(folder / "dev" / task / "gt", 3)
        make_photos(folder / "dev" / task / "lq", 3)
    return folder


@pytest.fixture
def synthetic(world: Path, run: Run) -> Callable[..., tuple[int, str, str]]:
    """Runs the suite ``synthetic``, its parts noise and lowlight, with more options, into a folder."""

    def invoke(out: Path, *options: object) -> tuple[int, str, str]:
        parts = ("--part", "noise", "--part", "lowlight")
        done = run(
            "evaluate", world / "model", "--suite", "synthetic", "--data", world / "few", "-o", out, *parts, *options
        )
        return done.code, done.out, done.err

    return invoke


def test_the_suites_are_listed(run: Run) -> None:
    done = run("evaluate", "--list")
    assert done.code == 0
    names = [line.split()[0] for line in done.out.splitlines()[1:]]
    assert names == ["cdd11", "development", "mixed", "real-world", "seven-task", "single-task", "synthetic"]


def test_an_option_that_is_missing_is_named(run: Run) -> None:
    done = run("evaluate", "model", "--suite", "synthetic")
    assert done.code == 2
    assert "--data" in done.err
    assert "--out" in done.err


def test_peers_are_measured_side_by_side(
    world: Path, tmp_path: Path, synthetic: Callable[..., tuple[int, str, str]]
) -> None:
    network = Mixture(open_registry(world / "model"), load_catalogue()).expert(0).module
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "w.safetensors")
    built_in = ("oracle", "root", "leaf-only", "instruction", "input")
    others = (f"file=resunet:{tmp_path / 'w.safetensors'}:CC0-1.0", f"other={world / 'model'}")
    options = [option for peer in (*built_in, *others) for option in ("--peer", peer)]
    code, out, err = synthetic(tmp_path / "out", "--limit", 2, *options)
    assert code == 0, err
    assert "| oracle |" in out
    report = from_json((tmp_path / "out/report.json").read_text())
    assert report.peers == ("input", "auto", "root", "leaf-only", "instruction", "oracle", "file", "other")
    scores = {(row.peer, row.part, row.image): row.scores["standard.psnr"] for row in report.rows}
    images = {(part, image) for _, part, image in scores}
    assert images == {(part, f"photo{number}.png") for part in ("noise", "lowlight") for number in (0, 2)}
    for image in images:
        assert scores["oracle", *image] >= max(
            scores[peer, *image] for peer in ("auto", "root", "leaf-only", "instruction")
        )
        assert scores["file", *image] == pytest.approx(scores["root", *image], abs=1e-9)
        assert scores["other", *image] == scores["auto", *image]
    assert report.facts["peers"]["file"]["licence"] == "CC0-1.0"
    assert set(report.facts["versions"]) == {"unirestorer", "torch", "torchmetrics", "numpy", "pillow"}
    assert report.facts["peers"]["auto"]["nodes"] == 8
    with (tmp_path / "out/rows.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(scores)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"report.md", "psnr.png", "sheet.png", "rows.jsonl"}


def test_equal_runs_give_equal_bytes_and_another_seed_others(
    tmp_path: Path, synthetic: Callable[..., tuple[int, str, str]]
) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        assert synthetic(tmp_path / name, "--limit", 1, "--seed", seed)[0] == 0
    one, two, three = ((tmp_path / name / "report.json").read_bytes() for name in ("one", "two", "three"))
    assert one == two
    assert json.loads(one)["rows"] != json.loads(three)["rows"]


def test_a_folder_of_other_arguments_is_refused(tmp_path: Path, synthetic: Callable[..., tuple[int, str, str]]) -> None:
    assert synthetic(tmp_path / "out", "--limit", 1)[0] == 0
    assert synthetic(tmp_path / "out", "--limit", 1)[0] == 0
    code, _, err = synthetic(tmp_path / "out", "--limit", 2)
    assert code == 2
    assert err.splitlines()[-1].startswith("error: ")
    assert "was begun with other arguments (chosen)" in err


def test_a_photo_that_nobody_damaged_is_equal_to_its_truth(world: Path) -> None:
    report = unirestorer.evaluate(world / "model", "synthetic", data=world / "few", parts=["clean"])
    same = [row for row in report.rows if row.peer == "input"]
    assert [row.scores["standard.psnr"] for row in same] == [60.0] * 3


def test_missing_parts_are_named_and_the_rest_is_measured(world: Path, tmp_path: Path, run: Run) -> None:
    options = ("--suite", "development", "--data", world / "dev", "--limit", 1)
    done = run("evaluate", world / "model", *options, "-o", tmp_path)
    assert done.code == 0, done.err
    missing = [line for line in done.out.splitlines() if line.startswith("not measured: ")]
    assert [line.split(": ")[1] for line in missing] == ["derain", "dehaze", "jpeg", "deblur", "desnow"]
    assert "| auto |" in done.out


def test_nothing_at_all_is_one_error(world: Path, tmp_path: Path, run: Run) -> None:
    done = run("evaluate", world / "model", "--suite", "seven-task", "--data", world / "few", "-o", tmp_path / "out")
    assert done.code == 2
    assert len(done.errors) == 1
    assert "nothing of the suite 'seven-task' is there (12 parts)" in done.err


def test_a_damaged_image_is_told_and_the_rest_is_measured(tmp_path: Path, world: Path, run: Run) -> None:
    for side in ("lq", "gt"):
        make_photos(tmp_path / "dev" / "denoise" / side, 3)
    (tmp_path / "dev/denoise/lq/photo1.png").write_bytes(b"no image")
    options = ("--suite", "development", "--data", tmp_path / "dev")
    done = run("evaluate", world / "model", *options, "-o", tmp_path / "out")
    assert done.code == 2
    assert [line for line in done.err.splitlines() if line.startswith("error: ")] == [
        f"error: denoise: photo1.png: {tmp_path}/dev/denoise/lq/photo1.png: not an image this program can read; "
        "wanted one of PNG, JPEG, WEBP, TIFF, AVIF, BMP, PPM, GIF"
    ]
    report = from_json((tmp_path / "out/report.json").read_text())
    assert sorted({row.image for row in report.rows}) == ["photo0.png", "photo2.png"]


def test_a_suite_of_ones_own(world: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "mine.yaml").write_text(CHAIN)
    options = ("--suite", tmp_path / "mine.yaml", "--data", world / "few", "--convention", "y")
    done = run("evaluate", world / "model", *options, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    report = from_json((tmp_path / "out/report.json").read_text())
    assert {(row.part, *sorted(row.scores)) for row in report.rows} == {("both", "y.psnr", "y.ssim")}
    (tmp_path / "mine.yaml").write_text(CHAIN.replace("noise:sigma", "noise:sigmo"))
    done = run("evaluate", world / "model", *options, "-o", tmp_path / "out")
    assert done.code == 2
    assert f"{tmp_path / 'mine.yaml'}:5: parts.0.degrade: " in done.err
    assert "unknown field 'sigmo' of noise" in done.err


def test_results_among_the_photos_are_refused(
    world: Path, tmp_path: Path, synthetic: Callable[..., tuple[int, str, str]]
) -> None:
    for out in (world / "few", world / "few/out"):
        code, _, err = synthetic(out)
        assert code == 2
        assert f"{out}: lies among the photos of part 'clean'" in err
    assert {path.suffix for path in (world / "few").iterdir()} == {".png"}
    (tmp_path / "file").touch()
    code, _, err = synthetic(tmp_path / "file")
    assert code == 2
    assert "is a file, wanted a folder" in err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--peer", "orcale"), "unknown peer 'orcale'; did you mean 'oracle'"),
        (("--peer", "oracle=x.zip"), "peer 'oracle=x.zip': the name is taken"),
        (("--peer", "mine=none"), "peer mine: none: no such registry"),
        (("--peer", "mine=resunet:none.pth"), "none.pth: no such file of weights"),
        (("--peer", "mine=a", "--peer", "mine=b"), "peer 'mine': is given twice"),
        (("--part", "nosie"), "did you mean 'noise'"),
        (("--convention", "papre"), "did you mean 'paper'"),
        (("--lpips", "none.pth"), "none.pth"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    tmp_path: Path,
    options: tuple[str, ...],
    text: str,
    synthetic: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = synthetic(tmp_path / "out", *options)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert text in err
    assert not (tmp_path / "out").exists()


# From Python


def test_a_function_is_a_peer(world: Path) -> None:
    def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pixels // 2

    peers: dict[str, str | Function] = {"mine": halved, "root": "root", "other": str(world / "model")}
    report = unirestorer.evaluate(
        world / "model", "synthetic", data=world / "few", peers=peers, parts=["noise"], limit=1
    )
    assert report.peers == ("input", "auto", "root", "mine", "other")
    assert {row.peer for row in report.rows} == set(report.peers)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"limit": 0}, "limit is 0, wanted at least 1"), ({"peers": {"mine": 5}}, "peer mine: got 5, wanted a function")],
)
def test_arguments_that_make_no_sense_are_one_line(world: Path, wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        unirestorer.evaluate(world / "model", "synthetic", data=world / "few", **wrong)


def test_the_model_inside_the_package_is_called_embedded(world: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (90, 120, 60)).save(tmp_path / "photo.png")
    report = unirestorer.evaluate("embedded", "synthetic", data=tmp_path, parts=["noise"])
    about = report.facts["peers"]["auto"]
    assert (about["model"], about["nodes"]) == ("embedded", 26)
    assert len(about["sha256"]) == 64
