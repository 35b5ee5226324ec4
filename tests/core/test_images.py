from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from unirestorer.core.errors import ImageError, ShapeError
from unirestorer.core.images import Picture, find_images, from_pil, load, save


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def png_16_bit(colours: int) -> bytes:
    """A 2 x 1 PNG of 16 bits per channel; colour type 2 has three channels, 0 has one."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes(2 * 2 * (3 if colours == 2 else 1))
    header = struct.pack(">IIBBBBB", 2, 1, 16, colours, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def only_line(error: pytest.ExceptionInfo[ImageError]) -> str:
    line = str(error.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm"])
def test_lossless_formats_return_the_pixels_they_were_given(
    tmp_path: Path, pixels: NDArray[np.uint8], suffix: str
) -> None:
    save(tmp_path / f"a{suffix}", pixels, Picture(pixels))
    assert np.array_equal(load(tmp_path / f"a{suffix}").pixels, pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_return_nearly_the_pixels_they_were_given(tmp_path: Path, suffix: str) -> None:
    smooth = np.broadcast_to(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (20, 30, 3)).copy()
    save(tmp_path / f"a{suffix}", smooth, Picture(smooth))
    assert np.abs(load(tmp_path / f"a{suffix}").pixels.astype(int) - smooth).max() <= 8


def test_orientation_is_applied_once_and_reset(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Maker"
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    picture = load(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, np.rot90(pixels, -1))
    save(tmp_path / "b.png", picture.pixels, picture)
    again = load(tmp_path / "b.png")
    assert np.array_equal(again.pixels, picture.pixels)
    with Image.open(tmp_path / "b.png") as image:
        assert image.getexif()[ExifTags.Base.Make] == "Maker"
        assert ExifTags.Base.Orientation not in image.getexif()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_and_icc_survive(tmp_path: Path, pixels: NDArray[np.uint8], suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    profile = b"not a real profile, but bytes"
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", exif=exif, icc_profile=profile)
    picture = load(tmp_path / f"a{suffix}")
    save(tmp_path / f"b{suffix}", picture.pixels, picture)
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.getexif()[ExifTags.Base.Artist] == "somebody"
        assert image.info["icc_profile"] == profile


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
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


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_files_stay_grey(tmp_path: Path, pixels: NDArray[np.uint8], mode: str) -> None:
    Image.fromarray(pixels).convert("L").convert(mode).save(tmp_path / "a.png")
    picture = load(tmp_path / "a.png")
    assert picture.grey
    save(tmp_path / "b.png", picture.pixels, picture)
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode in ("L", "LA")
    assert np.array_equal(load(tmp_path / "b.png").pixels, picture.pixels)


def test_a_palette_with_transparency_becomes_rgb_with_alpha(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    palette = Image.fromarray(pixels).quantize(8)
    palette.save(tmp_path / "a.png", transparency=3)
    picture = load(tmp_path / "a.png")
    assert picture.alpha is not None
    assert set(np.unique(picture.alpha)) == {0, 255}
    assert np.array_equal(picture.pixels, np.array(palette.convert("RGB")))


def test_cmyk_becomes_rgb_without_its_profile(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg", icc_profile=b"for four inks")
    picture = load(tmp_path / "a.jpg")
    assert picture.pixels.shape == (4, 4, 3)
    assert picture.pixels[0, 0, 0] > 250
    assert picture.icc == b""


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    dot = np.array([[[1, 2, 3]]], dtype=np.uint8)
    save(tmp_path / "a.png", dot, Picture(dot))
    assert np.array_equal(load(tmp_path / "a.png").pixels, dot)


def test_a_phone_photo_with_a_second_picture_is_read_as_its_first(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    first = Image.fromarray(pixels)
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[first.rotate(180)], quality=95)
    picture = load(tmp_path / "a.jpg")
    assert picture.format == "JPEG"
    assert picture.pixels.shape == pixels.shape


def test_a_damaged_exif_block_does_not_stop_the_photo(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09broken")
    assert load(tmp_path / "a.jpg").pixels.shape == pixels.shape


def _bad_files() -> dict[str, tuple[bytes, str]]:
    photo = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(photo, "PNG")
    jpeg = io.BytesIO()
    Image.open(photo).save(jpeg, "JPEG")
    moving = io.BytesIO()
    Image.new("L", (4, 4)).save(moving, "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 9)])
    bomb = bytearray(photo.getvalue())
    bomb[16:24] = struct.pack(">II", 30000, 30000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    large = bytearray(bomb)
    large[16:24] = struct.pack(">II", 10000, 10000)
    large[29:33] = struct.pack(">I", zlib.crc32(large[12:29]))
    return {
        "empty.png": (b"", "empty"),
        "text.png": (b"just some words", "not an image"),
        "cut.png": (photo.getvalue()[: len(photo.getvalue()) // 2], "cannot be decoded"),
        "cut.jpg": (jpeg.getvalue()[: len(jpeg.getvalue()) // 2], "cannot be decoded"),
        "header.png": (photo.getvalue()[:20], "."),
        "moving.gif": (moving.getvalue(), "2 frames"),
        "bomb.png": (bytes(bomb), "megapixels"),
        "large.png": (bytes(large), "megapixels"),
        "deep.png": (png_16_bit(2), "not supported yet: 16-bit"),
        "deep_grey.png": (png_16_bit(0), "not supported yet: 16-bit"),
        "deep.ppm": (b"P6 1 1 65535\n" + bytes(6), "not supported yet: 16-bit"),
        "unsupported.ico": (b"\0\0\1\0\1\0" + bytes(40), "not an image"),
    }


BAD_FILES = _bad_files()


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_gives_one_line_with_its_name(tmp_path: Path, name: str) -> None:
    data, words = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=words) as error:
        load(tmp_path / name)
    assert only_line(error).startswith(str(tmp_path / name))


def test_every_truncation_of_a_file_is_an_image_or_an_image_error(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (9, 9), (5, 60, 200)).save(whole, "TIFF")
    for length in range(1, len(whole.getvalue()), 7):
        (tmp_path / "a.tif").write_bytes(whole.getvalue()[:length])
        with suppress(ImageError):
            assert load(tmp_path / "a.tif").pixels.shape == (9, 9, 3)


def test_a_deep_tiff_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), dtype=np.uint16)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="16-bit"):
        load(tmp_path / "a.tif")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        load(tmp_path / "none.png")
    with pytest.raises(ImageError, match="a folder"):
        load(tmp_path)


def test_a_name_that_is_too_long_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be opened"):
        load(tmp_path / ("a" * 300 + ".png"))


def test_an_image_in_memory_of_16_bits_is_refused() -> None:
    with pytest.raises(ImageError, match="16-bit"):
        from_pil(Image.fromarray(np.zeros((2, 2), dtype=np.uint16)))


def test_loading_does_not_hide_the_warnings_of_others(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    save(tmp_path / "a.png", pixels, Picture(pixels))
    load(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


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


def test_folders_are_mirrored_and_other_files_left_out(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "sub/c.gif", "notes.txt", ".hidden.png", "out/done.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_images([tmp_path], skip=tmp_path / "out")
    assert [target.as_posix() for _, target in found] == ["a.jpg", "b.PNG", "sub/c.gif.png"]
    assert all((tmp_path / source).exists() for source, _ in found)


def test_a_folder_without_images_and_a_missing_path_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no images"):
        find_images([tmp_path])
    with pytest.raises(ImageError, match="no such file or folder"):
        find_images([tmp_path / "none"])
