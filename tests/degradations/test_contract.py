"""What every built-in degradation promises, whatever it does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from unirestorer.core.contracts import Preset
from unirestorer.core.errors import ShapeError

from .helpers import NAMES, SPECS, build, generator, images, rows

SIZES = [(1, 1), (10, 10), (1, 9), (5, 37), (37, 5), (2, 2), (64, 48)]

IDENTITY: dict[str, dict[str, Any]] = {
    "clean": {},
    "lowlight": {"gamma": (1, 1)},
    "mixed": {"links": "noise:sigma=0,rain:strength=0"},
    "shake": {"length": (0, 0)},
    "tone": {"gain": (1, 1), "gamma": (1, 1), "contrast": (1, 1), "saturation": (1, 1)},
    "blur": {"sigma": (0, 0)},
    "noise": {"sigma": (0, 0)},
    "rain": {"strength": (0, 0)},
    "snow": {"density": (0, 0)},
    "haze": {"beta": (0, 0)},
}


def test_the_seven_degradations_of_the_paper_and_clean_are_registered() -> None:
    assert NAMES == ["blur", "clean", "haze", "jpeg", "lowlight", "mixed", "noise", "rain", "shake", "snow", "tone"]


def test_listing_the_degradations_does_not_import_torch() -> None:
    code = (
        "import sys, unirestorer.plugins.degradations as p;"
        "p.register_synthesizers(); sys.exit(sum(name in sys.modules for name in ('torch', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_size_gives_float32_of_the_same_shape_in_range(name: str, height: int, width: int) -> None:
    clean = images(3, height, width)
    synthesizer = build(name)
    damaged = synthesizer.apply(clean, synthesizer.sample(3, generator()))
    assert damaged.shape == clean.shape
    assert damaged.dtype == torch.float32
    assert bool(torch.isfinite(damaged).all())
    assert 0 <= damaged.amin() <= damaged.amax() <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["in", "out"])
@pytest.mark.parametrize(("height", "width"), [(37, 41), (64, 64)])
def test_a_batch_equals_its_items_one_by_one_bit_for_bit(name: str, preset: Preset, height: int, width: int) -> None:
    clean = images(4, height, width)
    synthesizer = build(name, preset)
    params = synthesizer.sample(4, generator(3))
    batch = synthesizer.apply(clean, params)
    for item in range(4):
        alone = synthesizer.apply(clean[item : item + 1].clone(), rows(params, item))
        assert torch.equal(batch[item : item + 1], alone)


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_and_global_random_state_do_not_matter(name: str) -> None:
    clean = images(2)
    synthesizer = build(name)
    params = synthesizer.sample(2, generator())
    first = synthesizer.apply(clean, params)
    torch.rand(7)
    assert torch.equal(first, synthesizer.apply(clean.contiguous(memory_format=torch.channels_last), params))


@pytest.mark.parametrize("name", NAMES)
def test_neither_sampling_nor_applying_touches_the_global_random_state(name: str) -> None:
    before = torch.get_rng_state()
    synthesizer = build(name)
    synthesizer.apply(images(2), synthesizer.sample(2, generator()))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_equal_generators_draw_equal_parameters_with_n_first(name: str) -> None:
    first, second = build(name).sample(5, generator(9)), build(name).sample(5, generator(9))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) and len(first[key]) == 5 for key in first)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"clean"}))
def test_two_items_of_a_batch_are_damaged_differently_and_the_input_is_kept(name: str) -> None:
    clean = images(1).expand(2, -1, -1, -1).clone()
    kept = clean.clone()
    synthesizer = build(name)
    damaged = synthesizer.apply(clean, synthesizer.sample(2, generator(4)))
    assert not torch.equal(damaged[0], damaged[1])
    assert not torch.equal(damaged, kept)
    assert torch.equal(clean, kept)


@pytest.mark.parametrize("name", ["noise", "rain", "snow", "haze"])
def test_the_seed_alone_changes_the_damage(name: str) -> None:
    synthesizer = build(name)
    params = synthesizer.sample(1, generator())
    twice = {key: value.expand(2).clone() for key, value in params.items()} | {"seed": torch.tensor([5, 6])}
    damaged = synthesizer.apply(images(1).expand(2, -1, -1, -1), twice)
    assert not torch.equal(damaged[0], damaged[1])


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_does_not_matter(name: str) -> None:
    clean = images(2, 211, 323)
    synthesizer = build(name, "out")
    params = synthesizer.sample(2, generator(1))
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(synthesizer.apply(clean, params))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("name", sorted(IDENTITY))
def test_zero_strength_is_exactly_the_identity(name: str) -> None:
    clean = images(2)
    synthesizer = build(name, **IDENTITY[name])
    assert torch.equal(synthesizer.apply(clean, synthesizer.sample(2, generator())), clean)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_is_fine(name: str) -> None:
    synthesizer = build(name)
    params = synthesizer.sample(0, generator())
    assert synthesizer.apply(torch.zeros(0, 3, 8, 8), params).shape == (0, 3, 8, 8)
    assert synthesizer.degree(params) == []


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
