"""Damage that varies over a picture: what is clean stays, what is damaged is restored, and the step says where."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unirestorer.core.canvas import PixelSheet, as_pixels, as_tensor
from unirestorer.core.images import Picture, load, open_streamed
from unirestorer.core.mixture import Estimate, Mixture
from unirestorer.core.restoring import Restorer
from unirestorer.core.restoring.local import smoothed, survey
from unirestorer.core.treatment import Treatment
from unirestorer.degradations.chain import parse_chain
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from .healing import NODES, Healing, found

WREN = Path(__file__).parents[2] / "examples" / "photos" / "wren-clean.jpg"
PARTS = Treatment(route_per_tile=True)
RAIN, HAZE, CLEAN = (NODES.index(name) for name in ("rain", "haze", "clean"))


@pytest.fixture(scope="module")
def embedded() -> Restorer:
    return Restorer(Mixture(open_registry(Path(str(files("unirestorer") / "model.zarr.zip"))), load_catalogue()))


def half_noisy() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A clean photo beside its mirror image, (H, W, 3), and the same with noise over the right half."""
    pixels = load(WREN).eight
    clean = np.ascontiguousarray(np.concatenate([pixels, pixels[:, ::-1]], axis=1))
    chain = parse_chain("noise:sigma=35", load_catalogue().synthesizers, "in", 1.0)
    noisy = as_pixels(chain.apply(as_tensor(clean), chain.sample(1, torch.Generator().manual_seed(1))))
    noisy[:, : pixels.shape[1]] = clean[:, : pixels.shape[1]]
    return clean, noisy


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def test_a_clean_half_stays_and_a_noisy_half_is_restored(embedded: Restorer) -> None:
    clean, damaged = half_noisy()
    middle = damaged.shape[1] // 2
    done = embedded.restore(Picture(damaged), treatment=PARTS)
    assert np.array_equal(done.pixels[:, : middle - 16], clean[:, : middle - 16])
    assert psnr(done.pixels[:, :middle], clean[:, :middle]) > 45
    before, after = (psnr(pixels[:, middle:], clean[:, middle:]) for pixels in (damaged, done.pixels))
    assert after > before + 10
    (step,) = done.route
    assert (step.outcome, step.shares["unchanged"], sum(step.shares.values())) == ("kept", 0.5, 1)
    assert step.estimate.task == "noise"
    assert any(note.startswith("in parts: unchanged 50%, noise") for note in done.notes)


def test_on_disk_it_is_the_same(embedded: Restorer, tmp_path: Path) -> None:
    _, damaged = half_noisy()
    Image.fromarray(damaged).save(tmp_path / "a.tif")
    on_disk = embedded.restore(open_streamed(tmp_path / "a.tif"), treatment=PARTS)
    in_memory = embedded.restore(Picture(damaged), treatment=PARTS)
    assert np.array_equal(on_disk.pixels, in_memory.pixels)


def test_a_picture_of_one_damage_is_restored_as_ever(embedded: Restorer) -> None:
    picture = load(WREN.with_name("otter-noise.png"))
    treatment = Treatment(route_per_tile=True, tile=0)
    whole, parts = (embedded.restore(picture, treatment=how) for how in (Treatment(tile=0), treatment))
    assert np.array_equal(whole.pixels, parts.pixels)
    assert not parts.route[0].shares


def by_brightness(image: Tensor) -> Estimate:
    """Dark is rain, grey is haze, white is clean."""
    level = float(image.mean())
    return found(RAIN if level < 0.3 else HAZE if level < 0.6 else CLEAN)


def painted(*levels: int) -> PixelSheet:
    """Stripes of 64 columns."""
    return PixelSheet(np.repeat(np.array(levels, np.uint8), 64)[None, :, None].repeat(64, 0).repeat(3, 2))


def test_each_part_goes_to_its_own_expert_and_they_are_blended() -> None:
    mixture = Healing(by_brightness, {"rain": lambda image: image + 0.2, "haze": lambda image: image - 0.1})
    picture = Picture(painted(*[25] * 4, *[128] * 4, *[255] * 4).pixels)
    treatment = Treatment(tile=64, overlap=16, route_per_tile=True, guards=False)
    done = Restorer(mixture, treatment).restore(picture)
    assert dict(done.route[0].shares) == {name: pytest.approx(1 / 3) for name in ("rain", "haze", "unchanged")}
    line = done.pixels[32, :, 0].astype(int)
    assert set(line[:230]) == {76}  # 25 + 51
    assert set(line[300:490]) <= {102, 103}  # 128 - 25.5
    assert set(line[560:]) == {255}
    assert set(done.route[0].experts) == {"rain", "haze"}


def test_a_part_that_stands_alone_and_unsure_follows_its_neighbours() -> None:
    def unsure(image: Tensor) -> Estimate:
        level = float(image.mean())
        sure = found(RAIN)
        if level > 0.5:
            return Estimate(HAZE, ("all", "haze"), "haze", {}, {}, {}, (("rain", 0.45),), tree=sure.tree)
        return sure

    canvas = painted(25, 25, 25, 255, 25, 25, 25)
    grid = survey(Healing(unsure), canvas, None, Treatment(tile=64, overlap=16, route_per_tile=True))
    assert [one.node for one in grid.estimates] == [RAIN] * 3 + [HAZE] + [RAIN] * 3
    assert grid.chosen == [RAIN] * 7


def test_smoothing_keeps_the_sum_and_what_is_even() -> None:
    mass = np.random.default_rng(0).random((5, 7, 3))
    mass /= mass.sum(axis=2, keepdims=True)
    assert np.allclose(smoothed(mass).sum(axis=2), 1)
    assert np.allclose(smoothed(np.full((1, 1, 2), 0.5)), 0.5)
    spike = np.zeros((3, 3, 1))
    spike[1, 1] = 1
    assert smoothed(spike)[1, 1, 0] == 0.25


def test_harm_by_one_part_undoes_it_all() -> None:
    mixture = Healing(by_brightness, {"rain": lambda image: torch.rand_like(image), "haze": lambda image: image * 0})
    noise = np.random.default_rng(0).integers(0, 60, (128, 512, 3), dtype=np.uint8)
    noise[:, 256:] += 90
    done = Restorer(mixture, Treatment(tile=64, overlap=16, route_per_tile=True)).restore(Picture(noise))
    assert done.unchanged
    assert done.route[0].outcome == "undone"
    assert np.array_equal(done.pixels, noise)


def test_values_that_are_no_numbers_undo_it_all() -> None:
    mixture = Healing(by_brightness, {"rain": lambda image: image / 0 * 0, "haze": lambda image: image})
    picture = Picture(painted(25, 25, 128, 128).pixels)
    done = Restorer(mixture, Treatment(tile=64, overlap=16, route_per_tile=True)).restore(picture)
    assert done.unchanged
    assert (done.route[0].outcome, "not finite" in done.route[0].reason) == ("undone", True)


def test_parts_are_not_smaller_than_what_can_be_estimated() -> None:
    grid = survey(Healing(by_brightness), painted(25, 128, 255), None, Treatment(tile=2, overlap=0))
    assert len(grid.estimates) == 3


def test_further_steps_over_parts_are_not_taken_and_it_is_said() -> None:
    mixture = Healing(by_brightness, {"rain": lambda image: image + 0.2, "haze": lambda image: image - 0.1})
    treatment = Treatment(tile=64, overlap=16, route_per_tile=True, guards=False, steps=3)
    done = Restorer(mixture, treatment).restore(Picture(painted(25, 25, 128, 128).pixels))
    assert len(done.route) == 1
    assert any(note.startswith("one step: ") for note in done.notes)
