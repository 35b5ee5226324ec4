"""Files and Pillow images as pictures: modes, orientation, and what is refused in one line."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from unirestorer.core.errors import ImageError
from unirestorer.core.images import Picture, from_pil, load, save, size_of

from ...corpus import good


def only_line(error: pytest.ExceptionInfo[ImageError]) -> str:
    line = str(error.value)
    assert "\n" not in line
    return line


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


def test_a_phone_photo_with_a_second_picture_is_read_as_its_first(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    first = Image.fromarray(pixels)
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[first.rotate(180)], quality=95)
    picture = load(tmp_path / "a.jpg")
    assert picture.format == "JPEG"
    assert picture.pixels.shape == pixels.shape


def test_a_damaged_exif_block_does_not_stop_the_photo(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09broken")
    assert load(tmp_path / "a.jpg").pixels.shape == pixels.shape


def test_a_grey_palette_is_grey(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(good()["gif-grey.gif"])
    assert load(tmp_path / "a.gif").grey


@pytest.mark.parametrize("name", ["tiff-CMYK.tif", "jpeg-CMYK.jpg", "tiff-LAB.tif", "tiff-YCbCr.tif", "deep-cmyk.tif"])
def test_other_colours_become_rgb(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(good()[name])
    picture = load(tmp_path / name)
    assert picture.pixels.shape == (17, 24, 3)
    assert np.ptp(picture.eight.reshape(-1, 3), axis=0).min() > 20


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_inks_become_srgb_by_their_profile(tmp_path: Path, name: str) -> None:
    import pyvips

    profile = pyvips.Operation.call("profile_load", "cmyk")
    Image.new("CMYK", (8, 8), (255, 128, 0, 0)).save(tmp_path / name, icc_profile=bytes(profile), quality=100)
    picture = load(tmp_path / name)
    assert picture.notes == ("CMYK became sRGB by its own profile",)
    assert picture.icc == b""
    red, _, blue = picture.pixels[4, 4].astype(int)
    assert blue - red > 100
    assert blue < 220  # without the profile it would be 255


def test_cielab_becomes_the_srgb_it_was_made_of(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(pixels), transform)
    assert lab is not None
    lab.save(tmp_path / "a.tif")
    picture = load(tmp_path / "a.tif")
    assert picture.notes == ("CIELAB became sRGB",)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 3


def test_premultiplied_alpha_is_divided_out_once(tmp_path: Path) -> None:
    import tifffile

    flat = np.full((4, 4, 4), (40, 50, 60, 128), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", flat, photometric="rgb", extrasamples=["assocalpha"])
    picture = load(tmp_path / "a.tif")
    assert np.abs(picture.pixels[0, 0].astype(int) - (80, 100, 120)).max() <= 1
    assert picture.alpha is not None
    assert (picture.alpha == 128).all()


def test_what_else_is_in_a_file_is_told(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.mpo", save_all=True, append_images=[image])
    assert load(tmp_path / "a.mpo").notes == ("not carried over: further pictures (a depth map, a gain map, ...)",)
    linear, usual = PngInfo(), PngInfo()
    linear.add(b"gAMA", (100000).to_bytes(4, "big"))
    usual.add(b"gAMA", (45455).to_bytes(4, "big"))
    image.save(tmp_path / "a.png", pnginfo=linear)
    assert load(tmp_path / "a.png").notes == ("not carried over: gamma 1",)
    image.save(tmp_path / "a.png", pnginfo=usual)
    assert load(tmp_path / "a.png").notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_in_the_header_is_the_upright_one(tmp_path: Path, pixels: NDArray[np.uint8], orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for name in ("a.jpg", "a.png", "a.tif", "a.webp", "a.avif"):
        Image.fromarray(pixels).save(tmp_path / name, exif=exif)
        assert size_of(tmp_path / name) == load(tmp_path / name).pixels.shape[:2]


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
        "moving.gif": (moving.getvalue(), "2 frames, .* --all-frames"),
        "bomb.png": (bytes(bomb), "megapixels"),
        "large.png": (bytes(large), "megapixels"),
        "float.tif": (good()["float.tif"], "convert it to 16 bits"),
        "int.tif": (good()["tiff-I.tif"], "convert it to 16 bits"),
        "channels.tif": (good()["six-channels.tif"], "6 channels"),
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


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        load(tmp_path / "none.png")
    with pytest.raises(ImageError, match="a folder"):
        load(tmp_path)


def test_a_name_that_is_too_long_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be opened"):
        load(tmp_path / ("a" * 300 + ".png"))


def test_loading_does_not_hide_the_warnings_of_others(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    save(tmp_path / "a.png", pixels, Picture(pixels))
    load(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


def test_warnings_are_as_before_when_threads_load_at_once(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    save(tmp_path / "a.png", pixels, Picture(pixels))
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: load(tmp_path / "a.png"), range(40)))
    assert warnings.filters == before


def test_an_image_in_memory_keeps_its_16_bits() -> None:
    values = np.array([[0, 1], [65534, 65535]], dtype=np.uint16)
    picture = from_pil(Image.fromarray(values))
    assert picture.grey
    assert np.array_equal(picture.pixels[..., 1], values)


def test_an_image_that_pillow_cut_to_8_bits_says_so() -> None:
    with Image.open(io.BytesIO(good()["deep-3.png"])) as image:
        assert from_pil(image).notes == ("of 16 bits a channel Pillow kept 8; give the file instead",)
    with pytest.raises(ImageError, match="32-bit"):
        from_pil(Image.new("F", (3, 3)))
