"""What the built-in degradations promise beyond the conformance kit (``tests/contracts``)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from unirestorer.core.contracts import Preset
from unirestorer.core.errors import ShapeError
from unirestorer.degradations.configs import MIXTURES

from .helpers import NAMES, SPECS, build, generator, images


def test_the_degradations_and_mixtures_of_the_paper_and_our_own_are_registered() -> None:
    single = {"blur", "haze", "jpeg", "lowlight", "noise", "rain", "snow"}
    assert set(NAMES) == single | {"clean", "mixed", "shake", "tone"} | set(MIXTURES)
    assert len(MIXTURES) == 7


def test_listing_the_degradations_does_not_import_torch() -> None:
    code = (
        "import sys, unirestorer.plugins.degradations as p;"
        "p.register_synthesizers(); sys.exit(sum(name in sys.modules for name in ('torch', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"clean"}))
def test_two_items_of_a_batch_are_damaged_differently(name: str) -> None:
    clean = images(1).expand(2, -1, -1, -1).clone()
    synthesizer = build(name)
    damaged = synthesizer.apply(clean, synthesizer.sample(2, generator(4)))
    assert not torch.equal(damaged[0], damaged[1])
    assert not torch.equal(damaged, clean)


@pytest.mark.parametrize("name", ["noise", "rain", "snow", "haze"])
def test_the_seed_alone_changes_the_damage(name: str) -> None:
    synthesizer = build(name)
    params = synthesizer.sample(1, generator())
    twice = {key: value.expand(2).clone() for key, value in params.items()} | {"seed": torch.tensor([5, 6])}
    damaged = synthesizer.apply(images(1).expand(2, -1, -1, -1), twice)
    assert not torch.equal(damaged[0], damaged[1])


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (2, 3, 8, 8)])
def test_wrong_image_shapes_or_counts_are_refused(shape: tuple[int, ...]) -> None:
    synthesizer = build("noise")
    with pytest.raises(ShapeError, match=r"want float images|must have shape"):
        synthesizer.apply(torch.zeros(shape), synthesizer.sample(1, generator()))


RANGES: list[tuple[str, str, Preset, float, float]] = [
    ("noise", "sigma", "in", 15, 50),
    ("noise", "sigma", "out", 50, 70),
    ("blur", "sigma_x", "in", 1, 3),
    ("blur", "sigma_y", "out", 3, 5),
    ("blur", "size", "in", 7, 21),
    ("rain", "strength", "in", 50, 99),
    ("rain", "strength", "out", 100, 149),
    ("rain", "width", "in", 3, 11),
    ("rain", "length", "in", 20, 40),
    ("rain", "angle", "in", -45, 44),
    ("haze", "beta", "in", 0.5, 2.5),
    ("haze", "beta", "out", 2.5, 3),
    ("haze", "airlight", "in", 0.8, 1),
    ("lowlight", "gamma", "in", 1.5, 3),
    ("lowlight", "gamma", "out", 3, 4),
    ("shake", "length", "in", 6, 20),
    ("shake", "length", "out", 20, 30),
    ("jpeg", "quality", "in", 30, 70),
    ("jpeg", "quality", "out", 10, 30),
    ("snow", "size", "in", 0, 2),
]


@pytest.mark.parametrize(("name", "key", "preset", "low", "high"), RANGES)
def test_presets_fill_the_published_ranges(name: str, key: str, preset: Preset, low: float, high: float) -> None:
    drawn = build(name, preset).sample(4000, generator())[key].double()
    slack = 0.02 * (high - low)
    assert low <= drawn.amin() <= low + slack
    assert high - slack <= drawn.amax() <= high


DEGREES: list[tuple[str, str, list[float], list[str]]] = [
    ("noise", "sigma", [0, 19, 20, 34, 35, 70], ["small", "small", "medium", "medium", "large", "large"]),
    ("rain", "strength", [0, 49, 50, 99, 100], ["small", "small", "medium", "medium", "large"]),
    ("haze", "beta", [0.5, 1.49, 1.5, 3], ["normal", "normal", "thick", "thick"]),
    ("lowlight", "gamma", [1.5, 1.99, 2, 4], ["light", "light", "heavy", "heavy"]),
    ("jpeg", "quality", [10, 29, 30, 49, 50, 70], ["large", "large", "medium", "medium", "small", "small"]),
    ("snow", "size", [0, 1, 2], ["small", "medium", "large"]),
]


@pytest.mark.parametrize(("name", "key", "values", "names"), DEGREES)
def test_degrees_change_at_their_boundaries(name: str, key: str, values: list[float], names: list[str]) -> None:
    synthesizer = build(name)
    params = dict(synthesizer.sample(len(values), generator()))
    params[key] = torch.tensor(values, dtype=torch.float64)
    if name == "snow":
        params[key] = params[key].long()
    assert synthesizer.degree(params) == names


def test_blur_degree_changes_at_a_mean_sigma_of_two() -> None:
    params = {"sigma_x": torch.tensor([1.9, 2.0, 1.0, 1.4]), "sigma_y": torch.tensor([1.9, 2.0, 3.0, 3.0])}
    assert build("blur").degree(params) == ["small", "large", "small", "large"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("noise", {"sigma": (5, 2)}),
        ("noise", {"sigma": (-1, 2)}),
        ("haze", {"beta": (0.5, float("nan"))}),
        ("blur", {"size": (6, 8)}),
        ("blur", {"anisotropic": 1.5}),
        ("jpeg", {"quality": (0, 10)}),
        ("rain", {"wetness": 3}),
    ],
)
def test_configs_refuse_impossible_ranges_and_unknown_fields(name: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPECS[name].config.model_validate(values)
