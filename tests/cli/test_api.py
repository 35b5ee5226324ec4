from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unirestorer
from unirestorer import api
from unirestorer.core.errors import ConfigError, RegistryError, ShapeError, UnknownNameError
from unirestorer.kinds import ImageLike
from unirestorer.model import Model

Photo = Callable[..., Path]


@pytest.fixture(autouse=True)
def model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api._loaded.cache_clear()
    monkeypatch.setattr(api, "_model_path", lambda model: Path(model or tmp_path / "model.zarr.zip"))


def test_every_public_name_exists() -> None:
    for name in unirestorer.__all__:
        assert getattr(unirestorer, name) is not None
    assert set(unirestorer.__all__) <= set(dir(unirestorer))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = unirestorer.nonsense


def test_paths_pillow_images_and_bytes_give_the_same_pixels(photo: Photo, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    with Image.open(path) as image:
        pixels = np.array(image)
        results = [unirestorer.restore(source).pixels for source in (path, str(path), image, pixels)]
    assert all(np.array_equal(result, pixels + 10) for result in results)


def test_floats_are_restored_without_rounding() -> None:
    array = np.full((8, 9, 3), 0.123456, dtype=np.float64)
    assert np.allclose(unirestorer.restore(array).image, 0.123456 + 10 / 255, rtol=0, atol=1e-6)
    tensor = torch.full((3, 8, 9), 0.123456)
    for source in (tensor, tensor[None]):
        result = unirestorer.restore(source).image
        assert result.shape == source.shape
        assert torch.allclose(result, torch.tensor(0.123456 + 10 / 255))


def test_a_batch_is_restored_image_by_image() -> None:
    batch = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.9)])
    assert [route[0].estimate.task for route in unirestorer.restore(batch).routes] == ["dark", "clean"]


def test_a_task_can_be_named() -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    assert unirestorer.restore(pixels, task="clean").unchanged
    assert unirestorer.diagnose(pixels, task=["dark"]).task == "dark"
    assert unirestorer.diagnose(torch.zeros(3, 8, 8)).task == "dark"
    with pytest.raises(UnknownNameError, match="unknown task"):
        unirestorer.restore(pixels, task="nonsense")


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8, 2)), np.zeros(8), np.zeros((0, 8, 3)), np.zeros((8, 8, 3), dtype=np.int32), 5, None],
)
def test_what_is_no_image_is_refused(image: ImageLike) -> None:
    with pytest.raises(ShapeError, match="wanted"):
        unirestorer.restore(image)


def test_the_model_is_loaded_once_until_its_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    fake = api.load

    def count(model: Path) -> Model:
        loads.append(model)
        return fake(model)

    monkeypatch.setattr(api, "load", count)
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    unirestorer.restore(pixels)
    unirestorer.restore(pixels)
    assert len(loads) == 1
    (tmp_path / "model.zarr.zip").touch()
    unirestorer.restore(pixels)
    assert len(loads) == 2


def test_degrading_repeats_itself_and_is_replayed(photo: Photo, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    first = unirestorer.degrade(path, "noise", seed=5)
    again = unirestorer.degrade(path, "noise", seed=5)
    assert torch.equal(first.tensor, again.tensor)
    first.save(tmp_path / "b.png")
    assert torch.equal(unirestorer.replay(path, tmp_path / "b.png.json").tensor, first.tensor)


def test_each_image_of_a_batch_gets_damage_of_its_own() -> None:
    result = unirestorer.degrade(torch.full((2, 3, 8, 8), 0.5), "noise", seed=5)
    assert len(result.degree) == 2
    assert not torch.equal(result.tensor[0], result.tensor[1])
    with pytest.raises(ShapeError, match="a batch of 2"):
        _ = result.pixels


def test_wrong_seeds_and_presets_are_refused() -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(ConfigError, match="seed"):
        unirestorer.degrade(pixels, "noise", seed=-1)
    with pytest.raises(UnknownNameError, match="preset"):
        unirestorer.degrade(pixels, "noise", preset="middle")


def test_a_package_without_a_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(api, "files", lambda package: tmp_path)
    with pytest.raises(RegistryError, match="holds no model"):
        api.load()
    with pytest.raises(RegistryError, match="no such registry"):
        api.load(tmp_path / "none.zip")
