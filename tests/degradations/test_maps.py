"""Maps from folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unirestorer.core.errors import ConfigError, ImageError
from unirestorer.degradations.maps import list_maps, load_map
from unirestorer.degradations.snow import fit

from .helpers import build, generator, images


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_maps_of_8_and_16_bits_span_zero_to_one(tmp_path: Path, dtype: type, top: int) -> None:
    Image.fromarray(np.array([[0, top]], dtype=dtype)).save(tmp_path / "map.png")
    assert load_map(tmp_path / "map.png").tolist() == [[0, 1]]


@pytest.mark.parametrize("name", ["haze", "snow"])
def test_the_map_is_chosen_by_its_parameter(tmp_path: Path, name: str) -> None:
    for index, level in enumerate((0, 200)):
        Image.fromarray(np.full((8, 8), level, np.uint8)).save(tmp_path / f"{index}.png")
    field = {"haze": "depth_folder", "snow": "mask_folder"}[name]
    synthesizer = build(name, "in", **{field: tmp_path})
    params = dict(synthesizer.sample(50, generator()))
    assert set(params["map"].tolist()) == {0, 1}
    params = {key: value[:2] for key, value in params.items()} | {"map": torch.tensor([0, 1])}
    clean = images(2, 12, 12)
    damaged = synthesizer.apply(clean, params)
    assert torch.equal(damaged[0], clean[0])
    assert not torch.equal(damaged[1], clean[1])


def test_a_large_mask_is_cropped_at_native_size_and_a_small_one_enlarged() -> None:
    mask = torch.rand(30, 40, generator=generator())
    part = fit(mask, 10, 10, seed=5)
    assert any(torch.equal(part, mask[y : y + 10, x : x + 10]) for y in range(21) for x in range(31))
    assert fit(mask, 50, 33, seed=5).shape == (50, 33)


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images in it"):
        list_maps(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        build("haze", depth_folder=tmp_path / "nowhere")


def test_a_broken_map_is_named(tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"map\.png: cannot be read"):
        load_map(tmp_path / "map.png")
