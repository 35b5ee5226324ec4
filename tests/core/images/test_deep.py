"""16 bits a channel, bit for bit."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from unirestorer.core import tiles
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.images import Picture, Saving, load, lost, save

from ... import corpus


def restored(picture: Picture) -> Picture:
    """The picture after a run, in tiles, of a network that changes nothing."""
    return picture.on(tiles.run(picture.canvas, nn.Identity(), SizeRequirement(), 16, 4))


@pytest.mark.parametrize(("first", "second"), list(product([".png", ".tif", ".ppm"], repeat=2)))
@pytest.mark.parametrize("grey", [False, True])
def test_16_bits_come_through_a_run_and_from_format_to_format(
    tmp_path: Path, deep_pixels: NDArray[np.uint16], first: str, second: str, grey: bool
) -> None:
    pixels = np.repeat(deep_pixels[..., :1], 3, axis=2) if grey else deep_pixels
    save(tmp_path / f"a{first}", pixels, Picture(pixels, grey=grey))
    picture = restored(load(tmp_path / f"a{first}"))
    save(tmp_path / f"b{second}", picture.pixels, picture)
    found = load(tmp_path / f"b{second}")
    assert found.pixels.dtype == np.uint16
    assert np.array_equal(found.pixels, pixels)
    assert found.grey == grey


@pytest.mark.parametrize(("first", "second"), list(product([".png", ".tif"], repeat=2)))
@pytest.mark.parametrize("grey", [False, True])
def test_so_does_alpha(tmp_path: Path, deep_pixels: NDArray[np.uint16], first: str, second: str, grey: bool) -> None:
    pixels = np.repeat(deep_pixels[..., :1], 3, axis=2) if grey else deep_pixels
    save(tmp_path / f"a{first}", pixels, Picture(pixels, deep_pixels[..., 1].copy(), grey))
    picture = restored(load(tmp_path / f"a{first}"))
    save(tmp_path / f"b{second}", picture.pixels, picture)
    found = load(tmp_path / f"b{second}")
    assert found.alpha is not None
    assert np.array_equal(found.alpha, deep_pixels[..., 1])
    assert np.array_equal(found.pixels, pixels)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_files_of_others_are_read_bit_for_bit(tmp_path: Path, bands: int) -> None:
    values = corpus.photo(bands, deep=True)
    (tmp_path / "a.png").write_bytes(corpus.deep_png(bands))
    options: dict[str, Any] = {
        "photometric": "rgb" if bands > 2 else "minisblack",
        "planarconfig": "contig" if bands > 1 else None,
    }
    if bands in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    for name, order in (("a.tif", "<"), ("b.tif", ">")):
        options["byteorder"] = order
        tifffile.imwrite(tmp_path / name, values if bands > 1 else values[..., 0], **options)
    for name in ("a.png", "a.tif", "b.tif"):
        picture = load(tmp_path / name)
        assert np.array_equal(picture.pixels, values[..., :3] if bands > 2 else np.repeat(values[..., :1], 3, axis=2))
        assert (picture.alpha is None) == (bands in (1, 3))
        assert picture.alpha is None or np.array_equal(picture.alpha, values[..., -1])


def test_our_files_are_read_bit_for_bit_by_others(tmp_path: Path, deep_pixels: NDArray[np.uint16]) -> None:
    like = Picture(deep_pixels, deep_pixels[..., 0].copy(), icc=b"p" * 200, xmp=b"<a/>", dpi=(300, 300))
    save(tmp_path / "a.png", deep_pixels, like)
    with Image.open(tmp_path / "a.png") as image:  # of 16 bits it shows the upper 8
        assert np.array_equal(np.asarray(image), np.dstack([deep_pixels, deep_pixels[..., 0]]) >> 8)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    grey = np.repeat(deep_pixels[..., :1], 3, axis=2)
    for name in ("grey.tif", "grey.png"):
        save(tmp_path / name, grey, Picture(grey, grey=True, dpi=(300, 300)))
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(np.asarray(image), grey[..., 0])


@pytest.mark.parametrize(
    "name", [f"{kind}.tif" for kind in ("deep-planes", "deep-tiled", "deep-deflate", "big-deep", "deep-mm")]
)
def test_however_a_tiff_is_laid_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(corpus.good()[name])
    assert np.array_equal(load(tmp_path / name).pixels, corpus.photo(3, deep=True))


def test_white_may_be_zero(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(corpus.good()["deep-white.tif"])
    assert np.array_equal(load(tmp_path / "a.tif").pixels[..., 0], 65535 - corpus.photo(3, deep=True)[..., 0])


def test_a_transparent_colour_of_16_bits_becomes_alpha(tmp_path: Path) -> None:
    values = corpus.photo(3, deep=True)
    key = values[3, 5]
    data = corpus.deep_png(3, corpus.chunk(b"tRNS", key.astype(">u2").tobytes()))
    (tmp_path / "a.png").write_bytes(data)
    found = load(tmp_path / "a.png").alpha
    assert found is not None
    assert np.array_equal(found == 0, (values == key).all(axis=2))


@pytest.mark.parametrize(("name", "top"), [("ten.pgm", 1023), ("plain-deep.ppm", 65535)])
def test_fewer_than_16_bits_are_spread_over_all(tmp_path: Path, name: str, top: int) -> None:
    (tmp_path / name).write_bytes(corpus.good()[name])
    picture = load(tmp_path / name)
    assert picture.pixels.dtype == np.uint16
    if top == 1023:
        wanted = (corpus.photo(3, deep=True)[..., 0] >> 6).astype(float) * 65535 / 1023
        assert np.abs(picture.pixels[..., 0] - wanted).max() <= 0.5


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_of_10_or_12_bits_is_read_as_16_and_comes_back(tmp_path: Path, bits: int) -> None:
    (tmp_path / "a.avif").write_bytes(corpus.deep_avif(bits))
    picture = load(tmp_path / "a.avif")
    assert picture.pixels.dtype == np.uint16
    assert picture.notes == (f"{bits} bits were widened to 16",)
    assert lost(picture, "AVIF") == ("16 bits a channel (12 are kept)",)
    save(tmp_path / "b.avif", picture.pixels, picture, Saving(lossless=True))
    again = load(tmp_path / "b.avif")
    assert np.abs(again.pixels.astype(int) - picture.pixels).max() <= 65535 / 4095 / 2 + 1


def test_the_whole_range_of_12_bits_is_used(tmp_path: Path) -> None:
    ramp: Any = np.linspace(0, 65535, 64).round().astype(np.uint16)
    pixels = np.broadcast_to(ramp[None, :, None], (8, 64, 3)).copy()
    save(tmp_path / "a.avif", pixels, Picture(pixels), Saving(lossless=True))
    found = load(tmp_path / "a.avif").pixels
    assert (found.min(), found.max()) == (0, 65535)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_a_format_of_8_bits_rounds_and_says_so(tmp_path: Path, deep_pixels: NDArray[np.uint16], suffix: str) -> None:
    smooth = np.full_like(deep_pixels, 30000)
    assert "16 bits a channel (8 are kept)" in save(tmp_path / f"a{suffix}", smooth, Picture(smooth))
    assert np.abs(load(tmp_path / f"a{suffix}").pixels.astype(int) - 117).max() <= 1
