"""Writing parameters down and replaying them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from unirestorer.core.errors import ConfigError, ImageError
from unirestorer.degradations.chain import PAPER_ORDER, Chain, Link, parse_chain
from unirestorer.degradations.sidecar import load_sidecar, pixels_sha256, read_sidecar, save_sidecar

from .helpers import SPECS, build, generator, images


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    chain = parse_chain("noise,noise,haze:beta=0.1", SPECS)
    params = chain.sample(2, generator(7))
    path = tmp_path / "photo.json"
    save_sidecar(path, chain, params, chain.apply(images(2), params), source="photo.png", seed=7)
    return path


def _spoil(path: Path, **changes: Any) -> list[str]:
    content = json.loads(path.read_text())
    for place, value in changes.items():
        *parents, last = place.split("__")
        target = content
        for parent in parents:
            target = target[int(parent) if parent.isdigit() else parent.replace("_dot_", ".")]
        target[last] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        load_sidecar(path, SPECS)
    assert all(problem.startswith(f"{path}: ") and "\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def test_replay_makes_the_same_pixels_bit_for_bit(tmp_path: Path) -> None:
    clean = images(5)
    chain = parse_chain(",".join(PAPER_ORDER), SPECS, gate=0.7)
    params = chain.sample(5, generator(7))
    output = chain.apply(clean, params)
    save_sidecar(tmp_path / "s.json", chain, params, output, source="photo.png", seed=7)
    again, same = load_sidecar(tmp_path / "s.json", SPECS)
    assert same.keys() == params.keys()
    assert all(torch.equal(same[key], params[key]) and same[key].dtype == params[key].dtype for key in params)
    assert torch.equal(again.apply(clean, same), output)
    assert again.gate == chain.gate
    assert read_sidecar(tmp_path / "s.json").output_sha256 == pixels_sha256(again.apply(clean, same))


def test_the_file_says_what_was_done(sidecar: Path) -> None:
    content = read_sidecar(sidecar)
    assert (content.source, content.seed, [step.name for step in content.chain]) == (
        "photo.png",
        7,
        ["noise", "noise", "haze"],
    )
    assert content.degree[0].endswith("haze normal")


def test_nothing_but_the_file_is_left_in_the_folder(sidecar: Path) -> None:
    assert list(sidecar.parent.iterdir()) == [sidecar]


@pytest.mark.parametrize("text", ["", "{", "\x00", "[]", "3", "[" * 100_000])
def test_a_file_that_is_no_sidecar_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_sidecar(tmp_path / "s.json", SPECS)
    assert len(caught.value.problems) == 1
    assert len(str(caught.value)) < 1000


def test_bytes_that_are_no_text_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ConfigError, match="not a JSON file"):
        load_sidecar(tmp_path / "s.json", SPECS)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_sidecar(tmp_path / "missing.json", SPECS)


def test_every_wrong_field_is_a_line(sidecar: Path) -> None:
    problems = _spoil(sidecar, format="unirestorer-degradation/9", seed="x", surprise=1)
    assert len(problems) == 3


def test_wrong_parameters_are_all_named(sidecar: Path) -> None:
    long = {"dtype": "int64", "shape": [2], "values": [1, 2]}
    short = {"dtype": "float32", "shape": [1], "values": [1.5]}
    problems = _spoil(sidecar, params={"gates": long, "noise.sigma": short, "rain.seed": long})
    text = "\n".join(problems)
    assert "parameter 'haze.beta' is missing" in text
    assert "parameter 'rain.seed' is unknown" in text
    assert "parameters differ in their number of items" in text
    assert "parameter 'gates' is int64 [2], want bool ['n', 3]" in text
    assert "parameter 'noise.sigma' is float32 [1], want int64 ['n']" in text


@pytest.mark.parametrize(
    ("dtype", "shape", "values"),
    [
        ("int64", [3], [1, 2]),
        ("int64", [1], [1.5]),
        ("bool", [1], [1]),
        ("float32", [1], [True]),
        ("int64", [1], [2**63]),
    ],
)
def test_arrays_must_agree_with_themselves(sidecar: Path, dtype: str, shape: list[int], values: list[Any]) -> None:
    array = {"dtype": dtype, "shape": shape, "values": values}
    assert len(_spoil(sidecar, params__noise_dot_seed={}, params={"noise.seed": array})) == 1


def test_unknown_degradations_and_wrong_configs_are_all_named(sidecar: Path) -> None:
    problems = _spoil(sidecar, chain__0__name="fog", chain__2__config={"beta": [3, 1]})
    assert len(problems) == 2
    assert "chain item 1 'fog': unknown degradation; known: blur" in problems[0]
    assert "chain item 3 'haze'.beta" in problems[1]


def test_a_wrong_number_of_gates_is_refused(sidecar: Path) -> None:
    assert "want 3 probabilities" in _spoil(sidecar, gate=[1.0])[0]


def test_an_unwritable_place_is_named(sidecar: Path, tmp_path: Path) -> None:
    chain, params = load_sidecar(sidecar, SPECS)
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="cannot be written"):
        save_sidecar(tmp_path / "file" / "s.json", chain, params, images(2), source="", seed=None)


def test_a_chain_without_configs_cannot_be_written_down(tmp_path: Path) -> None:
    chain = Chain([Link("noise", build("noise"))])
    with pytest.raises(ConfigError, match="has no config"):
        save_sidecar(tmp_path / "s.json", chain, chain.sample(1, generator()), images(1), source="", seed=None)
