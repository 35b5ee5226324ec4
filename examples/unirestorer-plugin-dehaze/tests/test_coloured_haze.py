from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from unirestorer.core import Params
from unirestorer.core.testing import SynthesizerContract, clean_images

from unirestorer_plugin_dehaze import COLOURED_HAZE
from unirestorer_plugin_dehaze.coloured_haze import ColouredHaze, airlight, optical_depth
from unirestorer_plugin_dehaze.configs import ColouredHazeConfig

SUNSET, SMOG, DUSK = ((15.0, 32.0),), ((32.0, 52.0),), ((205.0, 240.0),)


class TestConformance(SynthesizerContract):
    spec = COLOURED_HAZE


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sampled(n: int, **fields: Any) -> tuple[ColouredHaze, Params]:
    haze = ColouredHaze(ColouredHazeConfig(**fields))
    return haze, haze.sample(n, draw())


def one(**values: Any) -> dict[str, Tensor]:
    """Parameters of one item: beta 1, even, a gray airlight, unless given."""
    defaults = {"beta": 1.0, "patchiness": 0.0, "airlight": [0.5] * 3, "airlight_end": [0.5] * 3, "seed": 7}
    return {name: torch.tensor([value]) for name, value in (defaults | values).items()}


def test_a_single_pixel_follows_the_formula() -> None:
    # The only pixel lies in the middle between both airlights; what is left to know is its optical depth.
    params = one(beta=0.5, airlight=[0.9, 0.6, 0.3], airlight_end=[0.7, 0.6, 0.5])
    pixel = torch.tensor([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1)
    depth = float(optical_depth(1, 1, 0.0, draw(7)))
    t = math.exp(-0.5 * depth)
    wanted = [value * t + light * (1 - t) for value, light in zip((0.2, 0.4, 0.6), (0.8, 0.6, 0.4), strict=True)]
    assert 0 < depth <= 1
    assert sampled(1)[0].apply(pixel, params).flatten().tolist() == pytest.approx(wanted, abs=1e-6)


def test_black_and_white_tell_the_transmission_and_the_airlight_of_every_pixel() -> None:
    params = one(beta=2.0, patchiness=0.8, airlight=[0.9, 0.7, 0.4], airlight_end=[0.9, 0.7, 0.4])
    haze, _ = sampled(1)
    black, white = (haze.apply(torch.full((1, 3, 33, 47), value), params)[0].double() for value in (0.0, 1.0))
    depth = optical_depth(33, 47, 0.8, draw(7)).double()
    assert torch.allclose(white - black, torch.exp(-2 * depth).expand(3, -1, -1), atol=1e-6)
    light = torch.tensor([0.9, 0.7, 0.4], dtype=torch.float64)[:, None, None]
    assert torch.allclose(black, light * (1 - torch.exp(-2 * depth)), atol=1e-6)


@pytest.mark.parametrize("patchiness", [0.0, 0.5, 1.0])
def test_the_density_varies_smoothly_in_space_and_the_densest_line_of_sight_is_one(patchiness: float) -> None:
    for seed in range(10):
        depth = optical_depth(320, 480, patchiness, draw(seed))
        assert depth.amin() > 0
        assert 0.97 < depth.amax() <= 1
        assert depth.std() > 0.01
        assert (depth[1:] - depth[:-1]).abs().amax() < 0.1
        assert (depth[:, 1:] - depth[:, :-1]).abs().amax() < 0.1


def test_banks_make_the_haze_vary_across_a_row_and_even_haze_hardly_does() -> None:
    def across(patchiness: float) -> float:
        return sum(float(optical_depth(64, 96, patchiness, draw(seed)).std(1).mean()) for seed in range(20)) / 20

    assert across(1.0) > 3 * across(0.0)
    assert across(1.0) > 0.08


def test_even_haze_grows_towards_the_horizon() -> None:
    for seed in range(10):
        depth = optical_depth(64, 64, 0.0, draw(seed))
        assert depth[:8].mean() > depth[-8:].mean()


def test_the_airlight_runs_from_one_colour_to_the_other() -> None:
    start, end = torch.tensor([0.9, 0.6, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    for seed in range(5):
        light = airlight(40, 60, start, end, draw(seed))
        assert light[0].amax() - light[0].amin() > 0.3
        assert light[1].std() < 1e-6
        assert torch.allclose(light.mean((1, 2)), (start + end) / 2, atol=1e-5)


@pytest.mark.parametrize(("hues", "order"), [(SUNSET, (0, 1, 2)), (SMOG, (0, 1, 2)), (DUSK, (2, 1, 0))])
def test_the_haze_has_the_colour_of_its_kind(hues: Any, order: tuple[int, ...]) -> None:
    haze, params = sampled(200, hues=hues)
    for name in ("airlight", "airlight_end"):
        strong, middle, weak = params[name][:, order].unbind(1)
        assert bool((strong > middle).all())
        assert bool((middle > weak).all())
        assert float((strong - weak).mean()) > 0.1
    added = haze.apply(torch.zeros(1, 3, 32, 32), {key: value[:1] for key, value in params.items()})[0].mean((1, 2))
    assert added[order[0]] > added[order[2]] > 0


def test_kinds_are_drawn_equally_often() -> None:
    _, params = sampled(3000)
    blue = float((params["airlight"][:, 2] > params["airlight"][:, 0]).float().mean())
    assert blue == pytest.approx(1 / 3, abs=0.04)


def test_without_drift_the_airlight_is_one_colour() -> None:
    _, params = sampled(20, drift=(0, 0))
    assert torch.equal(params["airlight"], params["airlight_end"])


def test_presets_fill_their_ranges() -> None:
    for config in COLOURED_HAZE.presets.values():
        beta = ColouredHaze(config).sample(4000, draw())["beta"]
        low, high = config.beta
        assert low <= beta.amin() <= low + 0.02
        assert high - 0.02 <= beta.amax() <= high


def test_degrees_change_at_the_boundary() -> None:
    haze, params = sampled(4)
    beta = torch.tensor([0.1, 1.79, 1.8, 3.0], dtype=torch.float64)
    assert haze.degree({**params, "beta": beta}) == ["thin", "thin", "dense", "dense"]


def test_more_beta_hides_more() -> None:
    haze, _ = sampled(1)
    clean = clean_images(1, 48, 48)
    left = [float(haze.apply(clean, one(beta=beta)).std()) for beta in (0.0, 0.7, 1.5, 3.0)]
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize(
    "fields", [{"beta": (2, 1)}, {"beta": (-1, 2)}, {"drift": (0, float("nan"))}, {"hues": ()}, {"colour": "red"}]
)
def test_impossible_ranges_and_unknown_fields_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ColouredHazeConfig.model_validate(fields)
