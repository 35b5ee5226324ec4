"""Pictures into files: formats, qualities, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unirestorer.core.errors import ConfigError, ImageError, ShapeError
from unirestorer.core.images import WRITABLE, Picture, Saving, format_of, load, save


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm"])
def test_lossless_formats_return_the_pixels_they_were_given(
    tmp_path: Path, pixels: NDArray[np.uint8], suffix: str
) -> None:
    save(tmp_path / f"a{suffix}", pixels, Picture(pixels))
    assert np.array_equal(load(tmp_path / f"a{suffix}").pixels, pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_lossy_formats_return_nearly_the_pixels_they_were_given(tmp_path: Path, suffix: str) -> None:
    smooth = np.broadcast_to(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (20, 30, 3)).copy()
    save(tmp_path / f"a{suffix}", smooth, Picture(smooth))
    assert np.abs(load(tmp_path / f"a{suffix}").pixels.astype(int) - smooth).max() <= 8


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
def test_transparency_survives(tmp_path: Path, pixels: NDArray[np.uint8], suffix: str) -> None:
    alpha = pixels[:, :, 0]
    save(tmp_path / f"a{suffix}", pixels, Picture(pixels, alpha))
    found = load(tmp_path / f"a{suffix}").alpha
    assert found is not None
    assert np.array_equal(found, alpha)


def test_transparency_is_not_lost_silently(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match="cannot hold the transparency"):
        save(tmp_path / "a.jpg", pixels, Picture(pixels, pixels[:, :, 0]))
    assert list(tmp_path.iterdir()) == []


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    dot = np.array([[[1, 2, 3]]], dtype=np.uint8)
    save(tmp_path / "a.png", dot, Picture(dot))
    assert np.array_equal(load(tmp_path / "a.png").pixels, dot)


def test_saving_creates_folders_and_leaves_no_other_file(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    save(tmp_path / "x" / "y" / "a.png", pixels, Picture(pixels))
    assert [path.name for path in (tmp_path / "x" / "y").iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.gif"])
def test_a_suffix_that_cannot_be_written_is_refused(tmp_path: Path, pixels: NDArray[np.uint8], name: str) -> None:
    with pytest.raises(ImageError, match="wanted one of"):
        save(tmp_path / name, pixels, Picture(pixels))


def test_a_place_that_cannot_be_written_is_an_image_error(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageError, match="cannot be written"):
        save(tmp_path / "file" / "a.png", pixels, Picture(pixels))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="it is a folder"):
        save(tmp_path / "folder.png", pixels, Picture(pixels))


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    wide = np.zeros((1, 70000, 3), dtype=np.uint8)  # JPEG ends at 65500
    (tmp_path / "a.jpg").write_bytes(b"old")
    with pytest.raises(ImageError, match="cannot be written"):
        save(tmp_path / "a.jpg", wide, Picture(wide))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_pixels_of_another_size_are_refused(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match="wanted"):
        save(tmp_path / "a.png", pixels[1:], Picture(pixels))


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("deep", [False, True])
def test_wide_pictures_come_back_as_deep_as_the_format_holds(tmp_path: Path, suffix: str, deep: bool) -> None:
    given = np.full((3, 70_000 if suffix in (".png", ".tif", ".bmp", ".ppm") else 900, 3), 77, dtype=np.uint8)
    pixels = given.astype(np.uint16) * np.uint16(257) if deep else given
    save(tmp_path / f"a{suffix}", pixels, Picture(pixels))
    found = load(tmp_path / f"a{suffix}")
    assert found.pixels.shape == given.shape
    assert found.deep == (deep and suffix in (".png", ".tif", ".tiff", ".ppm", ".pgm", ".avif"))


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("clear", [False, True])
def test_lossless_is_lossless(tmp_path: Path, pixels: NDArray[np.uint8], suffix: str, grey: bool, clear: bool) -> None:
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels
    alpha = pixels[::-1, :, 0].copy() if clear else None
    save(tmp_path / f"a{suffix}", pixels, Picture(pixels, alpha, grey), Saving(lossless=True))
    found = load(tmp_path / f"a{suffix}")
    assert np.array_equal(found.pixels, pixels)
    assert (found.alpha is None) == (alpha is None)
    assert alpha is None or np.array_equal(np.asarray(found.alpha), alpha)


def test_a_webp_that_lost_nothing_loses_nothing_again(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    save(tmp_path / "a.webp", pixels, Picture(pixels), Saving(lossless=True))
    picture = load(tmp_path / "a.webp")
    save(tmp_path / "b.webp", picture.pixels, picture)
    assert np.array_equal(load(tmp_path / "b.webp").pixels, pixels)
    save(tmp_path / "c.webp", picture.pixels, picture, Saving(quality=30))
    assert not np.array_equal(load(tmp_path / "c.webp").pixels, pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality_is_what_is_asked_for(tmp_path: Path, pixels: NDArray[np.uint8], suffix: str) -> None:
    sizes = []
    for quality in (20, 60, None):
        save(tmp_path / f"a{suffix}", pixels, Picture(pixels), Saving(quality=quality))
        sizes.append((tmp_path / f"a{suffix}").stat().st_size)
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("quality", [60, 95, 98, 100])
def test_a_jpeg_is_never_saved_coarser_than_it_was(tmp_path: Path, pixels: NDArray[np.uint8], quality: int) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=quality)
    picture = load(tmp_path / "a.jpg")
    assert picture.quality == pytest.approx(quality, abs=1)
    save(tmp_path / "b.jpg", picture.pixels, picture)
    assert load(tmp_path / "b.jpg").quality == pytest.approx(max(quality, 95), abs=1)
    with Image.open(tmp_path / "b.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # type: ignore[attr-defined]


def test_the_format_is_chosen_by_name_or_suffix(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    assert {Saving(format=word).suffix for word in ("jpeg", "JPG", ".jpg")} == {".jpeg", ".jpg"}
    assert (Saving(format="webp").suffix, Saving(format="TIFF").suffix, Saving().suffix) == (".webp", ".tiff", None)
    assert format_of(Path("a.png"), Saving(format="avif")) == "AVIF"
    save(tmp_path / "a.dat", pixels, Picture(pixels), Saving(format="png"))
    assert load(tmp_path / "a.dat").format == "PNG"
    for wrong in ({"format": "gif"}, {"format": "xyz"}, {"quality": 0}, {"quality": 101}):
        with pytest.raises(ConfigError, match="wanted"):
            Saving(**wrong)


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("deep", [False, True])
def test_equal_input_gives_equal_bytes(tmp_path: Path, pixels: NDArray[np.uint8], suffix: str, deep: bool) -> None:
    given = pixels.astype(np.uint16) * np.uint16(257) if deep else pixels
    like = Picture(given, exif=b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x04\0\0\0abc\0\0\0\0\0", dpi=(300, 300))
    for name in "ab":
        save(tmp_path / f"{name}{suffix}", given, like, provenance='{"a": 1}')
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_alpha_follows_the_depth_of_the_pixels(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    alpha = pixels[..., 0].astype(np.uint16) * np.uint16(257)
    like = Picture(pixels.astype(np.uint16) * np.uint16(257), alpha)
    save(tmp_path / "a.png", pixels, like)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())))[..., 3], pixels[..., 0])
