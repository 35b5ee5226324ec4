"""The corpus of good, damaged and hostile files, through a network that changes nothing, to files again.

It runs in a process of its own: what the libraries below print, or die of, is seen from outside.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ... import corpus

ROOT = Path(__file__).parents[3]
CHILD = """
import json, resource, sys, time, warnings
from pathlib import Path
from torch import nn
from tests import corpus
from unirestorer.core import tiles
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.errors import ImageError
from unirestorer.core.images import WRITABLE, load, save

source, target = Path(sys.argv[1]), Path(sys.argv[2])
for number, path in enumerate(corpus.write(source)):
    start, error, out = time.perf_counter(), None, target / str(number)
    name = "out" + (path.suffix.lower() if path.suffix.lower() in WRITABLE else ".png")
    try:
        picture = load(path)
        done = picture.on(tiles.run(picture.canvas, nn.Identity(), SizeRequirement(), 64, 16))
        assert (done.pixels == picture.pixels).all()
        save(out / name, done.pixels, done, provenance='{"a": "b"}')
    except ImageError as problem:
        error = str(problem)
    except BaseException as problem:
        error = f"BUG {problem!r}"
    made = sorted(file.name for file in out.iterdir()) if out.exists() else []
    print(json.dumps([path.name, error, made, time.perf_counter() - start]))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str | None, list[str], float]]:
    """(name, error, files made, seconds) of every file."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "in").mkdir()
    code = [sys.executable, "-W", "error::ResourceWarning", "-c", CHILD, str(folder / "in"), str(folder / "out")]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_every_file_is_done_or_refused_in_one_line(outcomes: Any) -> None:
    assert len(outcomes) > 1000
    assert [name for name, error, _, _ in outcomes if error and (error.startswith("BUG") or "\n" in error)] == []
    assert [name for name, error, _, _ in outcomes if error and not error.isprintable()] == []


def test_no_file_takes_long(outcomes: Any) -> None:
    assert [(name, seconds) for name, _, _, seconds in outcomes if seconds > 10] == []


def test_nothing_is_left_of_what_was_refused(outcomes: Any) -> None:
    assert [(name, made) for name, error, made, _ in outcomes if len(made) != (0 if error else 1)] == []
    assert [made for *_, made, _ in outcomes if any(name.endswith(".part") for name in made)] == []


def test_whole_files_are_refused_only_for_what_is_in_them(outcomes: Any) -> None:
    refused = {name for name, error, _, _ in outcomes if error and name in corpus.good()}
    deep = {"tiff-I.tif", "tiff-F.tif", "float.tif", "half.tif", "double.tif", "uint32.tif", "int16.tif", "int8.tif"}
    several = {"moving.gif", "moving.png", "moving.webp", "moving.avif", "pages.tif"}
    assert refused == {*deep, *several, "complex.tif", "six-channels.tif", "float.pfm"}


@pytest.mark.parametrize("name", [*corpus.bombs(), "pipe.png", "device.png", "folder.png", "itself.png", "empty.png"])
def test_a_bomb_and_what_is_no_file_are_refused_at_once(outcomes: Any, name: str) -> None:
    ((error, seconds),) = [(error, seconds) for other, error, _, seconds in outcomes if other == name]
    assert seconds < 1
    if name != "bomb-xmp.tif":  # a good photo, whose packet is left out
        assert error


def test_odd_names_are_no_reason(outcomes: Any) -> None:
    odd = {"two\nlines.png", "-o.png", "\x1b[m.png", "no dot", "a.", "ü-日本-🖼.png"}
    assert {name for name, error, _, _ in outcomes if name in odd and not error} == odd
