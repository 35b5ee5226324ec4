"""Images come back as the kind that was given: here the model adds 10 / 255 to dark ones."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import unirestorer
from unirestorer import api, kinds
from unirestorer.core.canvas import PixelSheet
from unirestorer.core.errors import ConfigError, ImageError, ShapeError
from unirestorer.core.images import load
from unirestorer.core.images.streaming import Streamed, open_streamed
from unirestorer.core.treatment import Treatment
from unirestorer.model import Model, preview

Photo = Callable[..., Path]
NOISE = np.random.default_rng(3).integers(20, 100, (30, 40, 4), dtype=np.uint8)
SHAPES = [(30, 40), (30, 40, 3), (30, 40, 4)]


@pytest.fixture
def model() -> Model:
    return api.load()


def array(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    values = NOISE[..., 0] if len(shape) == 2 else NOISE[..., : shape[2]]
    if dtype == "uint16":
        return values.astype(np.uint16) * np.uint16(257) + np.uint16(5)
    return values if dtype == "uint8" else (values / 255).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_gives_an_array_of_its_shape_and_dtype(model: Model, shape: tuple[int, ...], dtype: str) -> None:
    given = array(shape, dtype)
    kept = given.copy()
    result = model.restore(given)
    added = {"uint8": 10, "uint16": 10 * 257}.get(dtype, 10 / 255)
    assert (result.image.shape, result.image.dtype, result.unchanged) == (given.shape, given.dtype, False)
    made = np.asarray(result.image, np.float64)
    if len(shape) == 3 and shape[2] == 4:
        assert np.array_equal(made[..., 3], given[..., 3])
        made, kept = made[..., :3], kept[..., :3]
    assert np.abs(made - kept - added).max() <= {"float16": 1e-3, "uint16": 1}.get(dtype, 1e-6)
    assert np.array_equal(given, array(shape, dtype))


@pytest.mark.parametrize("view", [np.flipud, np.fliplr, lambda a: a.transpose(1, 0, 2), lambda a: a[::2, ::3]])
def test_arrays_lie_in_memory_as_they_like(model: Model, view: Callable[[Any], Any]) -> None:
    for given in (view(array((30, 40, 3), "uint8")), view(array((30, 40, 3), "float32"))):
        assert np.allclose(model.restore(given).image, model.restore(given.copy()).image, rtol=0, atol=0)
    for dtype in ("uint16", "float32"):
        other = array((30, 40, 4), dtype).astype(np.dtype(dtype).newbyteorder(">"))
        result = model.restore(other).image
        assert result.dtype == other.dtype
        assert np.array_equal(result, model.restore(other.astype(dtype)).image)
    frozen = array((30, 40, 3), "uint8")
    frozen.flags.writeable = False
    assert model.restore(frozen).image.flags.writeable


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 24, 32), (1, 3, 24, 32), (4, 3, 24, 32)])
def test_a_tensor_gives_a_tensor_that_can_be_trained_with(
    model: Model, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    given = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 0.5).to(dtype).requires_grad_()
    result = model.restore(given).image
    assert (result.shape, result.dtype, result.device) == (given.shape, given.dtype, given.device)
    assert not result.requires_grad
    assert not result.is_inference()
    assert torch.allclose(result.float(), given.detach().float() + 10 / 255, rtol=0, atol=5e-3)
    result += 1
    assert float(given.detach().max()) < 1


def test_each_image_of_a_batch_takes_its_own_route(model: Model) -> None:
    batch = torch.stack([torch.full((3, 8, 8), level) for level in (0.1, 0.9, 0.2)])
    result = model.restore(batch)
    assert [route[0].experts for route in result.routes] == [("dark",), ("clean",), ("dark",)]
    assert torch.equal(result.image[1], batch[1])
    assert torch.equal(result.image[0], model.restore(batch[0]).image)
    assert repr(result).count("expert all > ") == 3
    with pytest.raises(ShapeError, match="batch of 3"):
        _ = result.pixels


@pytest.mark.parametrize("bright", [False, True])
@pytest.mark.parametrize(
    ("mode", "restored"),
    [
        ("RGB", "RGB"),
        ("RGBA", "RGBA"),
        ("L", "L"),
        ("LA", "LA"),
        ("1", "L"),
        ("P", "RGB"),
        ("PA", "RGBA"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("I;16", "I;16"),
    ],
)
def test_a_pillow_image_gives_one(model: Model, mode: str, restored: str, bright: bool) -> None:
    rgb = Image.fromarray(NOISE[..., :3] + np.uint8(120 * bright))
    deep = Image.fromarray(np.asarray(rgb.convert("L"), dtype=np.uint16) * np.uint16(257))
    given = deep if mode == "I;16" else rgb.convert("LA").convert("PA") if mode == "PA" else rgb.convert(mode)
    result = model.restore(given, task="clean" if bright else "dark")
    assert (result.image.mode, result.image.size) == (mode if bright else restored, given.size)
    assert result.unchanged is bright
    if bright:
        assert result.image.tobytes() == given.tobytes()
        assert result.image is not given


def test_files_keep_their_metadata_and_depth(model: Model, photo: Photo, tmp_path: Path) -> None:
    with Image.open(photo(tmp_path / "a.png")) as image:
        exif = Image.Exif()
        exif[0x010E], exif[0x0112] = "a lake", 6
        image.save(tmp_path / "a.jpg", exif=exif, icc_profile=b"profile", dpi=(300, 300))
    result = model.restore(tmp_path / "a.jpg")
    assert result.image.size == (30, 40)
    assert dict(result.image.getexif()) == {0x010E: "a lake"}
    assert result.image.info["icc_profile"] == b"profile"
    result.save(tmp_path / "b.jpg", quality=50)
    result.save(str(tmp_path / "c.jpg"), quality=95)
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "c.jpg").stat().st_size
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.getexif()[0x010E] == "a lake"
        assert 0x0112 not in written.getexif() or written.getexif()[0x0112] == 1


def test_sixteen_bits_are_in_pixels_and_in_what_is_saved(model: Model, tmp_path: Path) -> None:
    deep = array((30, 40, 3), "uint16")
    model.restore(deep).save(tmp_path / "deep.png")
    result = model.restore(tmp_path / "deep.png", strength=0)
    assert (str(result.pixels.dtype), result.image.mode) == ("uint16", "RGB")
    assert np.array_equal(model.restore(tmp_path / "deep.png").pixels, deep + 2 * 10 * 257)
    assert model.restore(array((30, 40), "uint16")).image.dtype == np.uint16


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 3), ("uint16", 4), ("uint16", 2)])
def test_a_file_that_stays_on_disk_gives_the_same(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, channels: int
) -> None:
    model.restore(array((30, 40) if channels == 2 else (30, 40, channels), dtype)).save(tmp_path / "a.png")
    loaded = model.restore(tmp_path / "a.png")
    monkeypatch.setattr(kinds, "load_source", lambda path, treatment: open_streamed(path))
    streamed = model.restore(tmp_path / "a.png")
    assert isinstance(streamed.restoration.image, Streamed)
    assert streamed.image.mode == loaded.image.mode
    assert streamed.image.tobytes() == loaded.image.tobytes()
    assert np.array_equal(streamed.pixels, loaded.pixels)
    assert streamed.compare(20).tobytes() == loaded.compare(20).tobytes()
    assert model.diagnose(tmp_path / "a.png") == loaded.estimate
    loaded.save(tmp_path / "b.tif")
    streamed.save(tmp_path / "c.tif")
    assert np.array_equal(load(tmp_path / "b.tif").pixels, load(tmp_path / "c.tif").pixels)
    damaged = unirestorer.degrade(tmp_path / "a.png", "noise", seed=1)
    damaged.save(tmp_path / "d.png")
    assert str(load(tmp_path / "d.png").pixels.dtype) == dtype


def test_an_untouched_file_is_saved_byte_for_byte(model: Model, photo: Photo, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png", level=200)
    result = model.restore(path)
    assert result.unchanged
    assert result.save(tmp_path / "b.png") == ()
    assert (tmp_path / "b.png").read_bytes() == path.read_bytes()
    with pytest.raises(ImageError, match="would overwrite an input"):
        result.save(path)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_never_was_a_file_is_saved_too(model: Model, tmp_path: Path, shape: tuple[int, ...]) -> None:
    for dtype in ("uint8", "float32"):
        result = model.restore(array(shape, dtype))
        result.save(tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as written:
            expected = array(shape, "uint8") + np.uint8(10)
            if expected.shape[2:] == (4,):
                expected[..., 3] -= 10
            assert np.array_equal(np.asarray(written), expected)
    model.restore(torch.full((3, 8, 8), 0.1)).save(tmp_path / "b.png")
    assert load(tmp_path / "b.png").pixels.shape == (8, 8, 3)


def test_strength_and_steps_are_those_of_the_call_then_of_the_model(model: Model) -> None:
    given = array((30, 40, 3), "uint8")
    half = Treatment(strength=0.5)
    for result in (
        model.restore(given, strength=0.5),
        model.restore(given, treatment=half),
        api.load(treatment=half).restore(given),
    ):
        assert np.array_equal(result.image, given + 5)
    assert np.array_equal(model.restore(given, strength=1.0, treatment=half).image, given + 10)
    with pytest.raises(ConfigError, match="strength"):
        model.restore(given, strength=2)
    with pytest.raises(ConfigError, match="steps"):
        model.restore(given, steps=0)


def test_what_became_of_the_colours_is_noted(model: Model, tmp_path: Path) -> None:
    for value, unchanged in ((20, False), (200, True)):
        given = Image.new("RGB", (8, 8), (value, value, value)).convert("CMYK")
        given.save(tmp_path / "a.jpg")
        file, image = model.restore(tmp_path / "a.jpg"), model.restore(given)
        assert file.unchanged is image.unchanged is unchanged
        assert "CMYK became RGB without a profile" in file.notes
        assert ("CMYK became RGB without a profile" in image.notes) is not unchanged, "it is still CMYK"


def test_a_notebook_shows_before_and_after(model: Model) -> None:
    given = np.zeros((1500, 3000, 3), dtype=np.uint8)
    given[::2] = 20
    result = model.restore(given)
    assert Image.open(BytesIO(result._repr_png_())).size == (1000, 500)
    assert result.compare(100).size == (202, 50)
    assert result.compare(100).getpixel((10, 10)) == (10, 10, 10)
    assert result.compare(100).getpixel((190, 10)) == (20, 20, 20)
    assert repr(result).startswith("<Result dark (0.90), expert all > dark, ")
    assert str(model.diagnose(given)).startswith("dark (0.90), expert all > dark\n  levels")


@pytest.mark.parametrize("side", [1, 7, 64, 100])
def test_a_preview_is_the_mean_of_squares_at_any_size(side: int) -> None:
    small = preview(PixelSheet(np.full((200, 131, 3), 77, dtype=np.uint8)), side)
    assert max(small.size) <= side
    assert (np.asarray(small) == 77).all()
