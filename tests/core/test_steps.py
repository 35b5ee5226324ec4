"""Passes one after the other: each for what is left, until it is clean, unsure, or no better; and how much is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from unirestorer.core.errors import ConfigError
from unirestorer.core.images import Picture
from unirestorer.core.mixture import Estimate
from unirestorer.core.reports import Outcome, outcome_json
from unirestorer.core.restoring import Restoration, Restorer
from unirestorer.core.treatment import Treatment

from .healing import Healing, found, photo

RED, BLUE = 40 / 255, 20 / 255
"""What the two damages of these tests take from a channel; rain is on red, haze on blue."""


def lift(channel: int, amount: float) -> object:
    def expert(image: Tensor) -> Tensor:
        out = image.clone()
        out[:, channel] += amount
        return out

    return expert


def damaged(red: bool = True, blue: bool = True) -> Picture:
    """A photo whose corner pixel is black where it is undamaged; there the damages are told apart."""
    pixels = photo().pixels.astype(np.int16)
    pixels = np.clip(pixels, 60, 195)
    return Picture((pixels - np.array([40 * red, 0, 20 * blue])).astype(np.uint8))


def look(undamaged: dict[str, float] | None = None, sure: float = 1.0, novelty: float = 0.5) -> object:
    """Estimates by the darkest red and blue: rain first, then haze, then nothing."""
    shares = undamaged or {}

    def estimate(image: Tensor) -> Estimate:
        low = image.amin((0, 2, 3)) * 255
        first = bool((image[0, 0] * 255).min() < 59.5)
        if first:
            return found(2, undamaged=shares.get("rain", 0.0))
        if low[2] < 59.5:
            return found(4, sure, undamaged=shares.get("haze", 0.1), novelty=novelty)
        return found(5, undamaged=shares.get("clean", 0.9))

    return estimate


EXPERTS = {"rain/heavy": lift(0, RED), "haze/thick": lift(2, BLUE)}


def restored(picture: Picture, seen: object, steps: int, **said: float) -> Restoration:
    mixture = Healing(seen, EXPERTS)  # type: ignore[arg-type]
    return Restorer(mixture, Treatment(tile=0, steps=steps, **said)).restore(picture)  # type: ignore[arg-type]


def told(done: Restoration) -> list[tuple[str, str]]:
    return [(step.outcome, step.experts[0]) for step in done.route]


def test_one_pass_is_for_one_damage() -> None:
    done = restored(damaged(), look(), 1)
    assert told(done) == [("kept", "rain/heavy")]
    assert np.array_equal(done.pixels, damaged(red=False).pixels)


def test_passes_go_on_until_it_is_clean() -> None:
    done = restored(damaged(), look(), 9)
    assert told(done) == [("kept", "rain/heavy"), ("kept", "haze/thick"), ("unchanged", "clean")]
    assert done.route[-1].reason == "looks undamaged (clean 0.90)"
    assert np.array_equal(done.pixels, damaged(False, False).pixels)
    assert (done.unchanged, done.why) == (False, "")
    assert all(set(step.seconds) == {"route", "expert"} for step in done.route)


def test_no_more_passes_than_asked_for() -> None:
    done = restored(damaged(), look(), 2)
    assert told(done) == [("kept", "rain/heavy"), ("kept", "haze/thick")]


def test_a_clean_picture_is_left_alone_however_many() -> None:
    done = restored(damaged(False, False), look(), 5)
    assert told(done) == [("unchanged", "clean")]
    assert done.unchanged


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (look(sure=0.8), "too unsure that haze is left (0.80, wanted"),
        (look(novelty=1.2), "unlike anything that the model knows"),
        (look({"haze": 0.6}), "looks undamaged (clean 0.60)"),
    ],
)
def test_a_further_pass_needs_good_reasons(seen: object, reason: str) -> None:
    done = restored(damaged(), seen, 3)
    assert told(done) == [("kept", "rain/heavy"), ("unchanged", "haze/thick")]
    assert reason in done.route[1].reason
    assert np.array_equal(done.pixels, damaged(red=False).pixels)


def test_a_damage_is_not_treated_twice() -> None:
    mixture = Healing(lambda image: found(2))
    done = Restorer(mixture, Treatment(tile=0, steps=4)).restore(damaged())
    assert told(done) == [("kept", "rain/heavy"), ("unchanged", "rain/heavy")]
    assert done.route[1].reason == "rain was treated already"
    assert mixture.ran == ["rain/heavy"]


def test_a_pass_that_makes_it_worse_is_undone() -> None:
    done = restored(damaged(), look({"haze": 0.4, "clean": 0.3}), 4)
    assert told(done) == [("kept", "rain/heavy"), ("undone", "haze/thick")]
    assert done.route[1].reason == "looks more damaged than before (undamaged 0.30, was 0.40)"
    assert np.array_equal(done.pixels, damaged(red=False).pixels)


def test_a_further_pass_that_does_harm_falls_back_like_the_first() -> None:
    black = {**EXPERTS, "haze/thick": torch.zeros_like, "haze": lift(2, BLUE)}
    mixture = Healing(look(), black)  # type: ignore[arg-type]
    done = Restorer(mixture, Treatment(tile=0, steps=2)).restore(damaged())
    assert told(done) == [("kept", "rain/heavy"), ("undone", "haze/thick"), ("kept", "haze")]
    assert np.array_equal(done.pixels, damaged(False, False).pixels)


def test_every_step_is_in_the_report() -> None:
    done = restored(damaged(), look(), 3)
    values = outcome_json(Outcome(Path("a.png"), Path("b.png"), done))
    assert [(step["outcome"], step["experts"], step["reason"]) for step in values["steps"]] == [
        ("kept", ["rain/heavy"], ""),
        ("kept", ["haze/thick"], ""),
        ("unchanged", ["clean"], "looks undamaged (clean 0.90)"),
    ]
    assert values["steps"][0]["meters"]["structure"] > 0.9
    assert values["treatment"]["steps"] == 3


# Strength


def deep() -> NDArray[np.uint16]:
    return damaged().pixels.astype(np.uint16) * 257


@pytest.mark.parametrize("pixels", [damaged().pixels, deep()])
@pytest.mark.parametrize("steps", [1, 3])
def test_strength_blends_the_whole_change(pixels: NDArray[np.uint8] | NDArray[np.uint16], steps: int) -> None:
    picture = Picture(pixels)
    full = restored(picture, look(), steps).pixels.astype(np.float64)
    for strength in (0.25, 0.5, 0.9):
        part = restored(picture, look(), steps, strength=strength)
        wanted = pixels + strength * (full - pixels)
        assert part.pixels.dtype == pixels.dtype
        assert np.abs(part.pixels - wanted).max() <= 0.51
        assert not part.unchanged
    assert np.array_equal(restored(picture, look(), steps, strength=1.0).pixels, full)


def test_no_strength_is_the_picture_itself_and_costs_no_expert() -> None:
    picture, mixture = damaged(), Healing(look(), EXPERTS)  # type: ignore[arg-type]
    done = Restorer(mixture, Treatment(tile=0, steps=3, strength=0)).restore(picture)
    assert done.picture is picture
    assert (done.unchanged, done.why, mixture.ran) == (True, "strength 0", [])
    assert done.estimate.task == "rain"


def test_strength_of_tensors() -> None:
    image = torch.from_numpy(damaged().pixels.copy()).permute(2, 0, 1)[None].float() / 255
    mixture = Healing(look(), EXPERTS)  # type: ignore[arg-type]
    full, half, none = (
        Restorer(mixture, Treatment(tile=0, strength=strength)).restore_tensor(image).tensor
        for strength in (1.0, 0.5, 0.0)
    )
    assert torch.equal(none, image)
    assert torch.allclose(half, (image + full) / 2, atol=1e-6)


def test_strength_of_a_picture_of_many_rows() -> None:
    tall = Picture(np.concatenate([damaged().eight[:50, :20]] * 9))
    full = restored(tall, look(), 1).pixels.astype(np.float64)
    half = restored(tall, look(), 1, strength=0.5).pixels
    assert np.abs(half - (tall.pixels + full) / 2).max() <= 0.51


@pytest.mark.parametrize(("name", "value"), [("strength", -0.1), ("strength", 1.1), ("steps", 0)])
def test_impossible_treatments_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value:g}, wanted"):
        Treatment(**{name: value})  # type: ignore[arg-type]
