from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unirestorer.core.images import load

Run = Callable[..., Any]
Photo = Callable[..., Path]


def test_equal_seeds_give_equal_bytes(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    for name, seed in (("b", 7), ("c", 7), ("d", 8)):
        result = run("degrade", source, "-o", tmp_path / f"{name}.png", "--chain", "noise:sigma=25", "--seed", seed)
        assert (result.code, result.errors) == (0, [])
    first, second, other = ((tmp_path / f"{name}.png").read_bytes() for name in "bcd")
    assert first == second != other
    assert (tmp_path / "b.png.json").read_bytes() == (tmp_path / "c.png.json").read_bytes()
    spread = (load(tmp_path / "b.png").pixels.astype(int) - load(source).pixels).std()
    assert 20 < spread < 28


def test_a_recipe_repeats_the_result(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    run("degrade", source, "-o", tmp_path / "b.png", "--chain", "lowlight,noise", "--preset", "out", "--seed", 3)
    result = run("degrade", source, "-o", tmp_path / "c.png", "--replay", tmp_path / "b.png.json")
    assert (result.code, result.errors) == (0, [])
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    recipes = [json.loads((tmp_path / f"{name}.png.json").read_text()) for name in "bc"]
    assert recipes[0]["params"] == recipes[1]["params"]


def test_a_recipe_of_another_image_is_refused(run: Run, photo: Photo, tmp_path: Path) -> None:
    run("degrade", photo(tmp_path / "a.png"), "-o", tmp_path / "b.png", "--chain", "noise")
    other = photo(tmp_path / "other.png", level=99)
    result = run("degrade", other, "-o", tmp_path / "c.png", "--replay", tmp_path / "b.png.json")
    assert result.code == 2
    assert "not the recorded one" in result.errors[0]
    assert not (tmp_path / "c.png").exists()


def test_without_a_chain_the_seven_are_applied_by_chance(run: Run, photo: Photo, tmp_path: Path) -> None:
    result = run("degrade", photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--seed", 2)
    assert result.code == 0
    recipe = json.loads((tmp_path / "out" / "a.png.json").read_text())
    names = ["lowlight", "blur", "noise", "rain", "snow", "haze", "jpeg"]
    assert [step["name"] for step in recipe["chain"]] == names
    assert recipe["gate"] == [0.5] * 7
    assert not np.array_equal(load(tmp_path / "out" / "a.png").pixels, load(tmp_path / "a.png").pixels)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--chain", "nois"], ["did you mean 'noise'"]),
        (["--chain", "noise:sigma=-4,blr,"], ["sigma", "did you mean 'blur'", "no degradation named"]),
        (["--replay", "missing.json"], ["missing.json: cannot be read"]),
    ],
)
def test_wrong_chains_and_recipes_are_told_all_at_once(
    run: Run, photo: Photo, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    result = run("degrade", photo(tmp_path / "a.png"), "-o", tmp_path / "b.png", *arguments)
    assert result.code == 2
    assert all(any(word in line for line in result.errors) for word in words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_bad_images_and_places_are_told(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "in" / "a.png")
    (tmp_path / "file").write_text("in the way")
    cases = (
        ([tmp_path / "none.png", "-o", tmp_path / "b.png"], "no such file"),
        ([tmp_path / "in", "-o", tmp_path / "b.png"], "a folder"),
        ([tmp_path / "file", "-o", tmp_path / "b.png"], "not an image"),
        ([source, "-o", source], "would overwrite an input"),
        ([source, "-o", tmp_path / "file" / "b.png"], "cannot be written"),
    )
    for arguments, words in cases:
        result = run("degrade", *arguments, "--chain", "noise")
        assert result.code == 2
        assert len(result.errors) == 1
        assert words in result.errors[0]


def test_existing_files_are_replaced_only_on_request(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    (tmp_path / "b.png.json").write_text("mine")
    arguments = ("degrade", source, "-o", tmp_path / "b.png", "--chain", "noise")
    assert run(*arguments).code == 2
    assert not (tmp_path / "b.png").exists()
    assert run(*arguments, "--overwrite").code == 0


def test_an_image_is_not_left_without_its_recipe(run: Run, photo: Photo, tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    (tmp_path / "b.png.json").mkdir()
    result = run("degrade", source, "-o", tmp_path / "b.png", "--chain", "noise", "--overwrite")
    assert result.code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png.json"]
