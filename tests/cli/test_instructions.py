"""Instruction mode on the command line and in Python, with the model inside the package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import unirestorer
from unirestorer import api
from unirestorer.cli.app import build
from unirestorer.core.errors import ConfigError, UnknownNameError
from unirestorer.core.instruction import Instruction

Run = Callable[..., Any]
Photo = Callable[..., Path]
OPTIONS = ("task", "degree", "level", "expert", "exclude")

SAID: list[tuple[str, list[str], dict[str, list[str]]]] = [
    ("--task derain --degree heavy", ["rain/large"], {"task": ["derain"], "degree": ["heavy"]}),
    (
        "--task Low-Light --task fog --level type",
        ["lowlight", "haze"],
        {"task": ["Low-Light", "fog"], "level": ["type"]},
    ),
    ("--degree thick --task haze", ["haze/thick"], {"task": ["haze"], "degree": ["thick"]}),
    ("--task jpg --level 0", ["all"], {"task": ["jpg"], "level": ["0"]}),
    ("--expert clean/none#2", ["clean/none#2"], {"expert": ["clean/none#2"]}),
    ("--expert 9 --expert rain", ["rain/large", "rain"], {"expert": ["9", "rain"]}),
    (
        "--task snowy --exclude snow/large --exclude 21",
        ["snow"],
        {"task": ["snowy"], "exclude": ["snow/large", "21"]},
    ),
]
WRONG: list[tuple[str, str]] = [
    ("--task noise --degree light", "--task noise --degree light: no such expert; --task noise has the degrees medium"),
    ("--task rain --expert noise", "--task rain --expert noise: no such expert; --task rain has the experts rain, "),
    ("--exclude all", "--exclude all: no such expert; everything that the model has is excluded"),
    ("--task fogy", "unknown task 'fogy'; did you mean 'foggy'? Known: blur, clean, haze, "),
    ("--degree hevy", "unknown degree 'hevy'; did you mean 'heavy'? Known: heavy, large, "),
    ("--level TYP", "unknown level 'TYP'; did you mean 'TYPE'? Known: ALL, DEGREE, TYPE"),
    ("--expert rain/huge", "unknown node 'rain/huge'; did you mean 'rain/large'? Known: all, blur, "),
    ("--exclude rian", "unknown task or node 'rian'; did you mean 'rain'? Known: all, blur, "),
]


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the model is the real one, read once."""
    real = api._model(None)
    monkeypatch.setattr(api, "load", lambda model=None, **options: real)


@pytest.mark.parametrize(("options", "nodes", "said"), SAID)
def test_what_is_said_is_obeyed_and_reported(
    run: Run, photo: Photo, tmp_path: Path, options: str, nodes: list[str], said: dict[str, list[str]]
) -> None:
    source, report = photo(tmp_path / "a.png"), tmp_path / "report.json"
    result = run("restore", source, "-o", tmp_path / "out", "--report", report, *options.split())
    assert (result.code, result.errors) == (0, [])
    (entry,) = json.loads(report.read_text())
    assert entry["path"][-1] in nodes
    assert entry["expert"] == entry["path"][-1]
    assert entry["instruction"] == said
    diagnosed = run("diagnose", source, "--json", *options.split())
    (found,) = json.loads(diagnosed.out)
    assert found["path"] == entry["path"]
    assert found["instruction"] == said


def test_auto_mode_reports_that_nothing_was_said(run: Run, photo: Photo, tmp_path: Path) -> None:
    source, report = photo(tmp_path / "a.png"), tmp_path / "report.json"
    assert run("restore", source, tmp_path / "gone.png", "-o", tmp_path / "out", "--report", report).code == 2
    assert [entry["instruction"] for entry in json.loads(report.read_text())] == [{}, {}]
    found = json.loads(run("diagnose", source, tmp_path / "gone.png", "--json").out)
    assert [entry["instruction"] for entry in found] == [{}, {}]


@pytest.mark.parametrize("command", ["restore", "diagnose"])
@pytest.mark.parametrize(("options", "line"), WRONG)
def test_what_cannot_be_is_one_line_before_any_image_is_touched(
    run: Run, tmp_path: Path, command: str, options: str, line: str
) -> None:
    (tmp_path / "a.png").write_text("not an image, which would be told if it were read")
    out = ["-o", tmp_path / "out", "--report", tmp_path / "report.json"] if command == "restore" else ["--json"]
    result = run(command, tmp_path / "a.png", *out, *options.split())
    assert (result.code, result.out) == (2, "")
    (error,) = result.errors
    assert error.startswith(f"error: {line}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_python_takes_the_same_as_the_command_line() -> None:
    pixels = np.random.default_rng(0).integers(0, 90, (40, 48, 3), dtype=np.uint8)
    assert unirestorer.restore(pixels, "deblur", degree="light").route[0].experts == ("blur/small",)
    assert unirestorer.restore(pixels / 255, task=["rain", "noise"], level=0).route[0].experts == ("all",)
    assert unirestorer.diagnose(pixels, expert=24).path == ("all", "lowlight", "lowlight/heavy")
    assert unirestorer.diagnose(pixels / 255, level="TYPE", exclude=["dark", "fog"]).path[-1] not in (
        "lowlight",
        "haze",
    )
    with pytest.raises(ConfigError, match="--task noise --degree light: no such expert"):
        unirestorer.restore(pixels, "noise", degree="light")
    with pytest.raises(UnknownNameError, match="unknown level"):
        unirestorer.diagnose(pixels, level=3)


def test_a_restorer_takes_an_instruction() -> None:
    restorer = api.load().restorer
    picture = unirestorer.Picture(np.zeros((16, 16, 3), dtype=np.uint8))
    said = unirestorer.Instruction.of(task="night", level="TYPE")
    assert restorer.restore(picture, said).experts == ("lowlight",)
    assert restorer.diagnose(picture, said).path == ("all", "lowlight")


def test_both_commands_have_the_same_options_and_all_of_an_instruction() -> None:
    commands: Any = typer.main.get_command(build())
    helps = [
        {option.name: option.help for option in commands.commands[name].params if option.name in OPTIONS}
        for name in ("restore", "diagnose")
    ]
    assert helps[0] == helps[1]
    assert tuple(helps[0]) == OPTIONS
    assert all(helps[0].values())
    assert tuple(Instruction(*[("x",)] * 5).said) == OPTIONS
