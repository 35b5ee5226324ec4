"""Pictures on disk are the pictures in memory, bit for bit; files they come from are refused in one line or read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image
from torch import nn

from unirestorer.core import tiles
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.errors import ImageError
from unirestorer.core.images import (
    FORMATS,
    Picture,
    Saving,
    Streamed,
    load,
    open_streamed,
    provenance_of,
    save,
    wants_streaming,
)
from unirestorer.core.images import streaming as module
from unirestorer.core.images.spool import Spool, SpoolSheet, room_for

from ... import corpus
from .matrix import ICC, STORY, XMP, exif

ROOT = Path(__file__).parents[3]
OTTER = ROOT / "examples" / "photos" / "otter-noise.png"


def photo(deep: bool = False, height: int = 150, width: int = 201) -> np.ndarray[Any, Any]:
    """(height, width, 3): more rows than are decoded and encoded at a time, no two corners alike."""
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    ramp = np.linspace(0, 160, width)[None, :, None] + np.linspace(0, 50, height)[:, None, None] + noise
    return (ramp * 257).astype(np.uint16) if deep else ramp.astype(np.uint8)


def assert_same(streamed: Streamed, picture: Picture) -> None:
    whole = streamed.whole()
    assert whole.pixels.dtype == picture.pixels.dtype
    assert np.array_equal(whole.pixels, picture.pixels)
    assert (whole.alpha is None) == (picture.alpha is None)
    assert whole.alpha is None or picture.alpha is None or np.array_equal(whole.alpha, picture.alpha)
    for name in ("grey", "path", "format", "exif", "icc", "xmp", "dpi", "quality", "lossless", "notes", "deep"):
        assert getattr(streamed, name) == getattr(whole, name) == getattr(picture, name), name


def test_of_the_whole_corpus_what_is_streamed_is_what_is_loaded(tmp_path: Path) -> None:
    compared = refused = 0
    for name, data in corpus.good().items():
        path = tmp_path / name
        path.write_bytes(data)
        try:
            picture = load(path)
        except ImageError:
            continue
        try:
            streamed = open_streamed(path)
        except ImageError:
            refused += 1
        else:
            assert_same(streamed, picture)
            compared += 1
    assert compared > 30
    assert refused > 5


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_saved_from_disk_is_saved_from_memory(turn: int, suffix: str, tmp_path: Path) -> None:
    source = tmp_path / f"in{suffix}"
    Image.fromarray(photo()).save(source, exif=exif(turn), dpi=(300, 150), icc_profile=ICC)
    picture, streamed = load(source), open_streamed(source)
    assert_same(streamed, picture)
    for kind in (".png", ".tif", ".jpg", ".webp"):
        one, other = tmp_path / f"one{kind}", tmp_path / f"other{kind}"
        assert save(one, picture.pixels, picture, provenance=STORY) == streamed.save(other, provenance=STORY)
        if kind == ".png":
            assert_same(open_streamed(other), type(picture)(**{**vars(load(one)), "path": other}))
        else:
            assert one.read_bytes() == other.read_bytes()
        assert provenance_of(other) == STORY


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_depth_greyness_and_transparency_pass_through_a_network(mode: str, deep: bool, tmp_path: Path) -> None:
    pixels = photo(deep)
    grey, alpha = mode[0] == "L", pixels[..., 1].copy() if mode[-1] == "A" else None
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels
    given = Picture(pixels, alpha, grey, icc=b"" if grey else ICC, xmp=XMP)
    for suffix in (".tif", ".png"):
        save(tmp_path / f"in{suffix}", pixels, given)
        streamed = open_streamed(tmp_path / f"in{suffix}")
        sheet = tiles.run(streamed.canvas, nn.Identity(), SizeRequirement(8), tile=64, overlap=16)
        done = streamed.on(sheet)
        assert done.save(tmp_path / f"out{suffix}") == ()
        found = load(tmp_path / f"out{suffix}")
        assert np.array_equal(found.pixels, pixels)
        assert (found.alpha is None) == (alpha is None)
        assert alpha is None or (found.alpha is not None and np.array_equal(found.alpha, alpha))
        assert (found.grey, found.icc, found.xmp) == (grey, given.icc, XMP)


def test_a_network_gives_the_same_on_disk_and_in_memory(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 3, 5, padding=2))
    path = tmp_path / "a.tif"
    Image.fromarray(photo()).save(path, exif=exif(6))
    streamed, picture = open_streamed(path), load(path)
    made = [tiles.run(canvas, net, SizeRequirement(8), 64, 16) for canvas in (streamed.canvas, picture.canvas)]
    assert np.array_equal(streamed.on(made[0]).whole().pixels, picture.on(made[1]).pixels)


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_part_can_be_read_whatever_way_it_lies(turn: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo(height=20, width=31)).save(path, exif=exif(turn))
    whole, canvas = load(path).pixels, open_streamed(path).canvas
    assert (canvas.height, canvas.width) == whole.shape[:2]
    for rows, columns in ((slice(3, 9), slice(2, 17)), (slice(0, canvas.height), slice(5, 6))):
        assert np.array_equal(canvas.samples(rows, columns), whole[rows, columns])
        part = torch.from_numpy(whole[rows, columns].copy()).permute(2, 0, 1)[None] / 255
        assert torch.equal(canvas.read(rows, columns), part)


def test_transparency_is_refused_where_a_file_cannot_hold_it_unless_nothing_is_seen_through(tmp_path: Path) -> None:
    for alpha, fine in ((np.full((150, 201), 255, np.uint8), True), (photo()[..., 0], False)):
        save(tmp_path / "a.png", photo(), Picture(photo(), alpha))
        streamed = open_streamed(tmp_path / "a.png")
        if fine:
            streamed.save(tmp_path / "a.jpg", Saving(quality=80))
            continue
        with pytest.raises(ImageError, match="cannot hold the transparency"):
            streamed.save(tmp_path / "b.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.png"]


def test_metadata_behind_the_pixels_of_a_png_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    data, packet = path.read_bytes(), b"XML:com.adobe.xmp" + bytes(5) + XMP
    behind = corpus.chunk(b"eXIf", exif(6).tobytes()[6:]) + corpus.chunk(b"iTXt", packet)
    path.write_bytes(data[:-12] + behind + data[-12:])
    streamed = open_streamed(path)
    assert streamed.canvas.height == 201
    assert streamed.exif
    assert streamed.xmp
    assert_same(streamed, load(path))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    for suffix in (".tif", ".png", ".jpg"):
        Image.fromarray(photo()).save(tmp_path / f"a{suffix}")
        data = (tmp_path / f"a{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
        with pytest.raises(ImageError, match=f"cut{suffix}: cannot be decoded: .+; the file is damaged"):
            open_streamed(tmp_path / f"cut{suffix}")
    with pytest.raises(ImageError, match="no such file"):
        open_streamed(tmp_path / "none.tif")


def test_what_cannot_be_read_in_pieces_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "a.tif")
    Image.fromarray(photo()).save(tmp_path / "a.webp")
    with pytest.raises(ImageError, match=r"cmyk samples .* cannot be read in pieces; convert it to RGB"):
        open_streamed(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="WEBP files of this size cannot be read in pieces; wanted TIFF, PNG, JPEG"):
        open_streamed(tmp_path / "a.webp")
    Image.fromarray(photo()).save(tmp_path / "a.png")
    pyvips.Image.new_from_file(str(tmp_path / "a.png")).pngsave(str(tmp_path / "b.png"), interlace=True)
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="interlaced, so it cannot be read in pieces"):
        open_streamed(tmp_path / "b.png")
    with pytest.raises(ImageError, match="megapixels stay on disk"):
        open_streamed(tmp_path / "a.png").whole()


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    for name in ("bomb.png", "bomb.jpg", "bomb.tif"):
        path = tmp_path / name
        path.write_bytes(corpus.bombs()[name])
        assert wants_streaming(path)
        with pytest.raises(ImageError, match=r"\d+ megapixels in \d+ bytes, which no photo is"):
            open_streamed(path)


def test_large_pictures_and_those_beyond_the_limit_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.zeros((2000, 1500, 3), np.uint8)).save(path, compression="tiff_lzw")
    assert not wants_streaming(path)
    assert wants_streaming(path, max_memory=1)
    assert not wants_streaming(path, max_memory=2**40)
    Image.fromarray(np.zeros((6000, 5600, 3), np.uint8)).save(path, compression="tiff_lzw")
    assert wants_streaming(path)
    Image.fromarray(photo()).save(tmp_path / "a.webp")
    assert not wants_streaming(tmp_path / "a.webp", max_memory=1)


def test_disk_space_is_asked_for_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Usage = namedtuple("Usage", "total used free")
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert room_for(1000) == tmp_path
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, 64 * 2**20 + 2 * photo().size))
    with pytest.raises(ImageError, match=r"temporary files need 0\.0 GB, .*; set TMPDIR to a folder with more"):
        open_streamed(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="files that are open have names there")
def test_temporary_files_have_no_names_and_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    spool = Spool(10, 10, 3, np.uint8)
    sheet = SpoolSheet(spool).blank()
    assert list(tmp_path.iterdir()) == []
    file = spool._file
    del spool, sheet
    assert file.closed


def test_an_error_on_the_way_to_the_encoder_comes_out_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(photo()).save(tmp_path / "a.png")
    streamed = open_streamed(tmp_path / "a.png")

    def failing(rows: slice, columns: slice) -> np.ndarray[Any, Any]:
        raise ImageError("the disk is gone")

    object.__setattr__(streamed.canvas, "samples", failing)
    for suffix in (".png", ".tif", ".jpg"):
        with pytest.raises(ImageError, match="the disk is gone"):
            streamed.save(tmp_path / f"b{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_formats_that_are_written_whole_are_refused_beyond_what_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(photo()).save(tmp_path / "a.png")
    streamed = open_streamed(tmp_path / "a.png")
    monkeypatch.setattr("unirestorer.core.images.pouring.MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="WEBP files are not written in pieces; choose --format tif, png or jpg"):
        streamed.save(tmp_path / "b.webp")
    assert set(module.STREAMED) < set(FORMATS)


CHILD = """
import sys
from pathlib import Path
from torch import nn
from unirestorer.core import tiles
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.images import load, open_streamed, save
source, target, streamed = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "streamed"
def peak():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
net, size = nn.Conv2d(3, 3, 3, padding=1), SizeRequirement()
tiles.run_tiled(__import__("torch").rand(1, 3, 300, 300), net, size, 256, 32)
before = peak()
picture = open_streamed(source) if streamed else load(source)
done = picture.on(tiles.run(picture.canvas, net, size, 256, 32))
done.save(target) if streamed else save(target, done.pixels, done)
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is not told there")
def test_memory_does_not_grow_with_the_picture(tmp_path: Path) -> None:
    taken = {}
    for height, way in ((1000, "streamed"), (8000, "streamed"), (8000, "whole")):
        path = tmp_path / f"{height}.tif"
        rows = np.random.default_rng(0).integers(0, 256, (100, 1500, 3), dtype=np.uint8)
        Image.fromarray(np.tile(rows, (height // 100, 1, 1))).save(path)
        command = [sys.executable, "-c", CHILD, str(path), str(tmp_path / "out.tif"), way]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        taken[way, height] = int(done.stdout)
    assert taken["streamed", 8000] < taken["streamed", 1000] + 12  # the larger one is 36 MB
    assert taken["whole", 8000] > taken["streamed", 8000] + 60  # as it was, and as it became


def test_a_tiff_that_is_packed_in_one_go_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3200, 3200, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", noise, rowsperstrip=3200, photometric="rgb", compression="zlib")
    streamed = open_streamed(tmp_path / "a.tif")
    rows, columns = slice(3100, 3200), slice(0, 3200)
    assert np.array_equal(streamed.canvas.samples(rows, columns), noise[rows])
    assert np.array_equal(load(tmp_path / "a.tif").pixels[rows], noise[rows])
