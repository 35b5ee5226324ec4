"""The gated chain and its text form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unirestorer.core.errors import ConfigError
from unirestorer.degradations.chain import PAPER_ORDER, Chain, Link, own_params, parse_chain
from unirestorer.degradations.configs import MIXTURES

from .helpers import SPECS, build, generator, images, rows


def _problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_chain(text, SPECS)
    return caught.value.problems


def test_links_are_applied_in_order() -> None:
    clean = images(2)
    chain = parse_chain("blur,jpeg", SPECS)
    params = chain.sample(2, generator())
    blurred = build("blur").apply(clean, own_params(params, "blur"))
    assert torch.equal(chain.apply(clean, params), build("jpeg").apply(blurred, own_params(params, "jpeg")))


def test_the_paper_order_is_lowlight_blur_noise_rain_snow_haze_jpeg() -> None:
    assert PAPER_ORDER == ("lowlight", "blur", "noise", "rain", "snow", "haze", "jpeg")
    chain = parse_chain(",".join(PAPER_ORDER), SPECS, gate=0.5)
    assert chain.apply(images(4), chain.sample(4, generator())).shape == (4, 3, 40, 48)


def test_a_closed_gate_leaves_the_image_and_an_open_one_does_not() -> None:
    clean = images(2)
    chain = parse_chain("noise", SPECS)
    params = {**chain.sample(2, generator()), "gates": torch.tensor([[True], [False]])}
    damaged = chain.apply(clean, params)
    assert not torch.equal(damaged[0], clean[0])
    assert torch.equal(damaged[1], clean[1])


def test_gates_open_with_their_own_probability() -> None:
    chain = parse_chain("noise,rain,haze", SPECS, gate=(0.0, 0.5, 1.0))
    gates = chain.sample(2000, generator())["gates"]
    assert gates.dtype == torch.bool
    assert gates.float().mean(0).tolist() == pytest.approx([0, 0.5, 1], abs=0.04)


def test_a_chain_treats_a_batch_as_its_items() -> None:
    clean = images(6)
    chain = parse_chain(",".join(PAPER_ORDER), SPECS, gate=0.5)
    params = chain.sample(6, generator(2))
    batch = chain.apply(clean, params)
    assert all(torch.equal(batch[i : i + 1], chain.apply(clean[i : i + 1], rows(params, i))) for i in range(6))


def test_links_of_one_name_have_parameters_of_their_own() -> None:
    chain = parse_chain("noise:sigma=20,noise:sigma=30", SPECS)
    params = chain.sample(1, generator())
    assert (params["noise.sigma"].item(), params["noise#2.sigma"].item()) == (20, 30)


def test_degrees_name_the_open_links() -> None:
    chain = parse_chain("noise:sigma=15,rain:strength=120", SPECS, "out")
    params = {**chain.sample(3, generator()), "gates": torch.tensor([[True, True], [False, True], [False, False]])}
    assert chain.degree(params) == ["noise small + rain large", "rain large", "none"]


def test_values_and_ranges_replace_those_of_the_preset(tmp_path: Path) -> None:
    (tmp_path / "map.png").touch()
    text = f"blur:sigma=2:size=9..15:anisotropic=0.25, haze:depth_folder={tmp_path}"
    blur, haze = (link.config for link in parse_chain(text, SPECS, "out").links)
    assert blur == SPECS["blur"].config.model_validate({"sigma": (2, 2), "size": (9, 15), "anisotropic": 0.25})
    assert haze == SPECS["haze"].config.model_validate({"beta": (2.5, 3.0), "depth_folder": tmp_path})


def test_every_problem_of_a_malformed_chain_is_reported_at_once_with_its_place() -> None:
    problems = _problems("noise:sigma=loud,,gaze,blur:radius=3:size=4:sigma=9..2:x")
    assert problems[0] == "chain item 1 'noise:sigma=loud': sigma: want a whole number or a range low..high, got 'loud'"
    assert problems[1].startswith("chain item 2 '': no degradation named; known: blur, clean, h-n")
    assert problems[2].startswith("chain item 3 'gaze': unknown degradation 'gaze'; did you mean 'haze'?")
    assert "unknown field 'radius' of blur; known: size, sigma, anisotropic" in problems[3]
    assert "want field=value, got 'x'" in problems[4]
    assert {"size", "sigma"} == {problem.split("'.")[1].split(":")[0] for problem in problems[5:]}


@pytest.mark.parametrize("text", ["", "noise:sigma=", "noise:sigma=25.5", "noise:sigma=20:sigma=30", "clean:x=1"])
def test_malformed_items_are_refused_with_one_problem(text: str) -> None:
    assert len(_problems(text)) == 1


def test_a_folder_that_is_missing_is_reported_with_its_place() -> None:
    assert (
        "chain item 2 'haze:depth_folder=nowhere': nowhere: no such folder"
        in _problems("noise,haze:depth_folder=nowhere")[0]
    )


@pytest.mark.parametrize("gate", [1.5, (0.5, 0.5), (float("nan"),)])
def test_gates_that_are_no_probabilities_are_refused(gate: float | tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="probabilities"):
        Chain([Link("noise", build("noise"))], gate)


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one degradation"):
        Chain([])


def test_a_degree_name_can_be_names_alone_or_how_bad_it_is_in_all() -> None:
    text, gates = "noise:sigma=40,haze:beta=1,rain:strength=10", [[True, True, False], [True, False, True], [False] * 3]
    said = {}
    for wording in ("full", "names", "severity"):
        chain = parse_chain(text, SPECS, wording=wording)
        said[wording] = chain.degree({**chain.sample(3, generator()), "gates": torch.tensor(gates)})
    assert said["full"] == ["noise large + haze normal", "noise large + rain small", "none"]
    assert said["names"] == ["noise + haze", "noise + rain", "none"]
    assert said["severity"] == ["heavy", "heavy", "none"]
    mild = parse_chain("noise:sigma=16,haze:beta=2,rain:strength=10", SPECS, wording="severity")
    assert mild.degree(mild.sample(1, generator())) == ["light"]


@pytest.mark.parametrize(("name", "links"), MIXTURES.items())
def test_a_named_mixture_is_its_chain_in_the_order_of_the_paper(name: str, links: str) -> None:
    names = links.split(",")
    assert names == sorted(names, key=PAPER_ORDER.index)
    letters = {"haze": "h", "rain": "r", "noise": "n", "lowlight": "ll", "snow": "s", "blur": "b"}
    assert set(name.split("-")) == {letters[link] for link in names}
    mixture, chain = build(name, "out"), parse_chain(links, SPECS, "out")
    params = mixture.sample(2, generator())
    assert torch.equal(mixture.apply(images(2), params), chain.apply(images(2), chain.sample(2, generator())))
    assert set(mixture.degree(params)) <= {"light", "heavy"}
