"""``unirestorer replay``: what ``restore`` wrote, made again and compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unirestorer.cli.app import main
from unirestorer.core.images import load, provenance_of

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the program with the embedded model; (status, lines on stdout, lines on stderr)."""

    def run_(*arguments: str | Path) -> tuple[int, list[str], list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out.splitlines(), err.splitlines()

    return run_


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two small photos, one damaged and one not."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, box in (("colosseum-lowlight.png", (100, 100, 230, 200)), ("wren-clean.jpg", (0, 0, 200, 200))):
        with Image.open(PHOTOS / name) as image:
            image.crop(box).save(folder / name.replace("-", " "), quality=95)
    return folder


def test_a_restored_file_is_made_again(run: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert (
        run("restore", photos, "-o", out, "--steps", 2, "--strength", 0.8, "--format", "jpg", "--quality", 80)[0] == 0
    )
    made = out / "colosseum lowlight.jpg"
    code, lines, errors = run("replay", made)
    assert (code, errors) == (0, [])
    assert len(lines) == 1
    assert lines[0].startswith(f"{made}: equal, made again of ")
    assert sorted(path.name for path in out.iterdir()) == ["colosseum lowlight.jpg", "wren clean.jpg"]


def test_what_is_made_again_can_be_kept(run: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    made, new = tmp_path / "out" / "a.png", tmp_path / "new" / "b.png"
    run("restore", photos / "colosseum lowlight.png", "-o", made)
    assert run("replay", made, "-o", new)[0] == 0
    assert new.read_bytes() == made.read_bytes()
    assert run("replay", made, "-o", new) == (2, [], [f"error: {new}: exists already; choose another output"])
    assert "another format" in run("replay", made, "-o", tmp_path / "b.jpg")[2][0]


def test_the_source_may_have_moved(run: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    made = tmp_path / "out" / "a.png"
    run("restore", photos / "colosseum lowlight.png", "-o", made)
    archive = tmp_path / "archive" / "[2024]"
    archive.parent.mkdir()
    shutil.move(photos, archive)
    code, lines, errors = run("replay", made)
    assert (code, lines) == (2, [])
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {made}: its source 'colosseum lowlight.png' is not where it was; name it, or ")
    assert run("replay", made, "--source", tmp_path / "archive")[0] == 0
    assert run("replay", made, "--source", archive / "colosseum lowlight.png")[0] == 0
    assert "sha256 is another" in run("replay", made, "--source", archive / "wren clean.jpg")[2][0]


def test_a_difference_is_told(run: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    made = tmp_path / "out" / "a.png"
    run("restore", photos / "colosseum lowlight.png", "-o", made)
    with Image.open(made) as image:
        text, pixels = image.text["XML:com.adobe.xmp"], np.array(image)  # type: ignore[attr-defined]
    pixels[0, 0, 0] ^= 1
    packet = PngInfo()
    packet.add_itxt("XML:com.adobe.xmp", text)
    Image.fromarray(pixels).save(made, pnginfo=packet)
    assert provenance_of(made) is not None
    code, lines, errors = run("replay", made)
    assert (code, errors) == (2, [])
    assert lines == [f"{made}: differs: 1 of {pixels[..., 0].size} pixels differ, by 1 at most"]


def test_files_that_say_nothing_are_told_apart(run: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("restore", photos, "-o", out)
    assert (out / "wren clean.jpg").read_bytes() == (photos / "wren clean.jpg").read_bytes()
    assert "it is an untouched copy" in run("replay", out / "wren clean.jpg")[2][0]
    run("restore", photos / "colosseum lowlight.png", "-o", out / "a.bmp")
    assert "it is a BMP, which has no place for that" in run("replay", out / "a.bmp")[2][0]
    assert len(run("replay", tmp_path / "none.png")[2]) == 1


def test_a_converted_clean_file_says_that_nothing_was_done(
    run: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    made = tmp_path / "out" / "wren.png"
    run("restore", photos / "wren clean.jpg", "-o", made)
    assert np.array_equal(load(made).pixels, load(photos / "wren clean.jpg").pixels)
    assert run("replay", made)[0] == 0


def test_a_licence_is_asked_for_and_stated(run: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    dark, out, registry = photos / "colosseum lowlight.png", tmp_path / "out", tmp_path / "registry"
    code, _, errors = run("restore", dark, "-o", out, "--license", "commercial")
    assert code == 2
    assert len(errors) == 1
    assert "no expert is left that restores anything" in errors[0]
    assert not out.exists()
    run("registry", "import", PHOTOS.parents[1] / "unirestorer" / "model.zarr.zip", registry)
    code, lines, _ = run("registry", "license", registry, "MIT", "--expert", "all", "--expert", "lowlight")
    assert (code, lines) == (0, [f"{registry}: the weights of 2 experts of models/default are under MIT"])
    code, lines, _ = run("restore", dark, "-o", out, "--license", "commercial", "--model", registry)
    assert code == 0
    assert "expert all > lowlight," in lines[0]
    assert any("lowlight/heavy (probability" in line and "lowlight instead" in line for line in lines)
    assert run("replay", out / dark.name, "--model", registry)[0] == 0
    assert "wanted an SPDX expression" in run("registry", "license", registry, "my/own!")[2][0]
