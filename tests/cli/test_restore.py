from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unirestorer import api
from unirestorer.core.errors import RegistryError
from unirestorer.core.images import load

Run = Callable[..., Any]
Photo = Callable[..., Path]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_one_file_is_restored_to_a_file_name(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    result = run("restore", source, "-o", tmp_path / "b.png")
    assert (result.code, result.errors) == (0, [])
    assert result.out.startswith("a.png  dark (0.90), expert all > dark, ")
    assert result.out.endswith(f" -> {tmp_path / 'b.png'}\n")
    assert np.array_equal(load(tmp_path / "b.png").pixels, load(source).pixels + 10)


def test_a_folder_is_mirrored(run: Run, photo: Photo, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "sub/b.png"):
        photo(tmp_path / "in" / name)
    assert run("restore", tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["a.jpg", "a.png", "sub/b.png"]


def test_results_inside_the_input_folder_are_not_restored_again(run: Run, photo: Photo, tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    for _ in range(2):
        assert run("restore", tmp_path, "-o", tmp_path / "out", "--overwrite").code == 0
    assert files(tmp_path) == ["a.png", "out/a.png"]


def test_a_clean_file_is_copied_byte_by_byte(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg", level=200)
    result = run("restore", source, "-o", tmp_path / "out")
    assert ", unchanged: " in result.out
    assert (tmp_path / "out" / "a.jpg").read_bytes() == source.read_bytes()


def test_a_clean_file_is_converted_when_another_format_is_wanted(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.bmp", level=200)
    assert run("restore", source, "-o", tmp_path / "a.png").code == 0
    assert load(tmp_path / "a.png").format == "PNG"
    assert np.array_equal(load(tmp_path / "a.png").pixels, load(source).pixels)


def test_a_task_overrules_the_estimate(run: Run, photo: Photo, tmp_path: Path) -> None:
    result = run("restore", photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--task", "clean")
    assert "unchanged" in result.out


def test_small_tiles_give_the_same_as_one_piece(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png", size=(100, 80))
    run("restore", source, "-o", tmp_path / "tiles.png", "--tile", 32, "--overlap", 8)
    run("restore", source, "-o", tmp_path / "whole.png", "--tile", 0)
    assert np.array_equal(load(tmp_path / "tiles.png").pixels, load(tmp_path / "whole.png").pixels)


@pytest.mark.parametrize("level", [60, 200])
def test_one_pixel_is_restored_or_copied(run: Run, photo: Photo, tmp_path: Path, level: int) -> None:
    assert run("restore", photo(tmp_path / "a.png", level, (1, 1)), "-o", tmp_path / "out").code == 0
    assert load(tmp_path / "out" / "a.png").pixels.shape == (1, 1, 3)


def test_bad_files_are_told_and_the_others_restored(run: Run, photo: Photo, tmp_path: Path) -> None:
    good = photo(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "bare").mkdir()
    bad = [tmp_path / name for name in ("cut.png", "text.jpg", "empty.png", "missing.png", "bare")]
    result = run("restore", *bad, good, "-o", tmp_path / "out", "--report", tmp_path / "report.json")
    assert result.code == 2
    assert len(result.errors) == len(bad)
    assert all(any(f"{path}: " in line for line in result.errors) for path in bad)
    assert files(tmp_path / "out") == ["good.png"]
    entries = {Path(entry["source"]).name: entry for entry in json.loads((tmp_path / "report.json").read_text())}
    assert entries["good.png"]["error"] is None
    assert entries["good.png"]["path"] == ["all", "dark"]
    assert all(entries[path.name]["error"] for path in bad)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "drak"], "unknown task 'drak'; did you mean 'dark'?"),
        (["--tile", "16", "--overlap", "16"], "tile 16 with overlap 16"),
    ],
)
def test_wrong_options_are_told_before_anything_is_done(
    run: Run, photo: Photo, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = run("restore", photo(tmp_path / "a.png"), "-o", tmp_path / "out", *arguments)
    assert result.code == 2
    assert len(result.errors) == 1
    assert words in result.errors[0]
    assert not (tmp_path / "out").exists()


def test_two_images_never_get_one_name(run: Run, photo: Photo, tmp_path: Path) -> None:
    sources = [photo(tmp_path / folder / "a.png") for folder in "xy"]
    result = run("restore", *sources, "-o", tmp_path / "out")
    assert result.code == 2
    assert "wanted by both" in result.errors[0]
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_overwritten(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (source, tmp_path, tmp_path / "link" / "a.png", tmp_path / "x" / ".." / "a.png"):
        result = run("restore", source, "-o", out, "--overwrite")
        assert result.code == 2
        assert "would overwrite an input" in result.errors[0]
    assert run("restore", source, "-o", tmp_path / "o", "--report", source, "--overwrite").code == 2
    assert source.read_bytes() == before


def test_an_existing_result_is_replaced_only_on_request(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"mine")
    result = run("restore", source, "-o", tmp_path / "b.png")
    assert result.code == 2
    assert "--overwrite" in result.errors[0]
    assert (tmp_path / "b.png").read_bytes() == b"mine"
    assert run("restore", source, "-o", tmp_path / "b.png", "--overwrite").code == 0
    assert load(tmp_path / "b.png").pixels.shape == (30, 40, 3)


def test_outputs_that_do_not_fit_are_told(run: Run, photo: Photo, tmp_path: Path) -> None:
    sources = [photo(tmp_path / name) for name in ("a.png", "b.png")]
    (tmp_path / "file").write_text("in the way")
    cases = (
        ([*sources, "-o", tmp_path / "c.png"], "wanted a folder"),
        ([*sources, "-o", tmp_path / "file"], "is a file"),
        ([sources[0], "-o", tmp_path / "c.gif"], "cannot write '.gif'"),
        ([sources[0], "-o", tmp_path / "file" / "c.png"], "cannot be written"),
    )
    for arguments, words in cases:
        result = run("restore", *arguments)
        assert result.code == 2
        assert len(result.errors) == 1
        assert words in result.errors[0]
    assert files(tmp_path) == ["a.png", "b.png", "file"]


def test_a_palette_animation_format_gets_a_suffix_that_can_be_written(run: Run, tmp_path: Path) -> None:
    Image.new("P", (9, 9)).save(tmp_path / "a.gif")
    assert run("restore", tmp_path / "a.gif", "-o", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["a.gif.png"]


def test_a_missing_model_is_one_line(run: Run, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_nothing(model: object = None, **options: object) -> None:
        raise RegistryError(f"{model}: no such registry; check the path")

    monkeypatch.setattr(api, "load", load_nothing)
    result = run("restore", photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--model", tmp_path / "none.zip")
    assert result.code == 2
    assert "no such registry" in result.errors[0]


def test_diagnose_tells_the_estimate_and_writes_nothing(run: Run, photo: Photo, tmp_path: Path) -> None:
    result = run("diagnose", photo(tmp_path / "a.png"), "--short")
    assert (result.code, result.out) == (0, "a.png  dark (0.90), expert all > dark; else all 0.20\n")
    assert files(tmp_path) == ["a.png"]


def test_diagnose_as_json_holds_every_file_also_the_bad_ones(run: Run, photo: Photo, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("not a picture")
    result = run("diagnose", tmp_path / "missing.png", tmp_path / "bad.png", photo(tmp_path / "a.png"), "--json")
    assert result.code == 2
    assert len(result.errors) == 2
    entries = json.loads(result.out)
    assert [entry["error"] is None for entry in entries] == [False, False, True]
    assert entries[2]["type_probabilities"]["dark"] == pytest.approx(0.9)
