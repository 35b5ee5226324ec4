"""Restormer beside the authors' network, which spandrel_extra_arches carries: the same parameters, the same numbers."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unirestorer.core.checkpoints import read_state
from unirestorer.core.vision import prepare_torchvision
from unirestorer.plugins.experts import restormer_blocks
from unirestorer.plugins.experts.configs import RestormerConfig
from unirestorer.plugins.experts.published import RESTORMER
from unirestorer.plugins.experts.restormer import Restormer, recognise

Reference = Callable[..., nn.Module]
SMALL = RestormerConfig(dim=8, num_blocks=(1, 2, 1, 2), num_refinement_blocks=2, heads=(1, 2, 2, 4))
FORMS = [
    SMALL,
    SMALL.model_copy(update={"layer_norm": "BiasFree"}),
    SMALL.model_copy(update={"bias": True, "ffn_expansion_factor": 2.0, "heads": (2, 4, 8, 8)}),
]
SIZES = [(8, 8), (24, 40), (64, 16)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    prepare_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module("spandrel_extra_arches.architectures.Restormer")

    def build(config: RestormerConfig, **others: Any) -> nn.Module:
        network: nn.Module = module.Restormer(
            **config.model_dump(exclude={"layer_norm"}), LayerNorm_type=config.layer_norm, **others
        )
        return network

    return build


@pytest.fixture(params=[2**21, 2000], ids=["whole", "bands"])
def band(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with bands so narrow that every image here is cut into several."""
    monkeypatch.setattr(restormer_blocks, "BAND", request.param)


def stirred(network: nn.Module, seed: int = 0) -> nn.Module:
    """``network`` with weights that let every part of it matter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            fan = 2 * parameter[0].numel() if parameter.ndim == 4 else 20
            parameter.copy_((parameter.ndim < 4) * parameter + torch.randn(parameter.shape, generator=draw) / fan**0.5)
    return network.eval()


def pair(config: RestormerConfig, reference: Reference) -> tuple[nn.Module, nn.Module]:
    made, theirs = stirred(Restormer(config)), reference(config).eval()
    theirs.load_state_dict(made.state_dict())
    return made, theirs


def assert_close(got: Tensor, wanted: Tensor, tolerance: float = 1e-5) -> None:
    assert (got - wanted).abs().max() <= tolerance


@pytest.mark.usefixtures("band")
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("config", FORMS, ids=["WithBias", "BiasFree", "bias"])
def test_it_gives_the_authors_numbers(config: RestormerConfig, size: tuple[int, int], reference: Reference) -> None:
    made, theirs = pair(config, reference)
    images = torch.rand(3, 3, *size)
    before = images.clone()
    wanted = theirs(images)
    assert (wanted - images).abs().mean() > 0.1
    assert_close(made(images), wanted)
    with torch.inference_mode():
        assert_close(made(images), wanted)
    assert torch.equal(images, before)
    assert_close(made.double()(images.double()), theirs.double()(images.double()), 1e-12)


@pytest.mark.usefixtures("band")
@pytest.mark.parametrize("config", FORMS[:2], ids=["WithBias", "BiasFree"])
def test_its_gradients_are_the_authors(config: RestormerConfig, reference: Reference) -> None:
    images, target = torch.rand(2, 2, 3, 24, 40)
    found = []
    for network in pair(config, reference):
        inputs = images.clone().requires_grad_()
        (network.train()(inputs) - target).square().mean().backward()
        gradients: dict[str, Tensor | None] = {name: weight.grad for name, weight in network.named_parameters()}
        found.append({**gradients, "images": inputs.grad})
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        got = ours[name]
        assert got is not None
        assert wanted is not None
        assert wanted.abs().max() > 0
        assert (got - wanted).abs().max() <= 1e-4 * wanted.abs().max().clamp(min=1), name


def test_a_batch_off_the_cpu_is_restored_at_once() -> None:
    """What other devices run, here on the CPU: several images in one band, each mixed by its own matrix."""
    network, images = stirred(Restormer(SMALL)), torch.rand(3, 3, 16, 24)
    assert isinstance(network, Restormer)
    with torch.no_grad():
        assert_close(network._restored(images.contiguous(memory_format=torch.channels_last)), network(images))


def test_black_images_have_finite_gradients() -> None:
    """Without biases queries and keys of a black image are zero, and so are their norms."""
    network = stirred(Restormer(FORMS[1])).train()
    network(torch.zeros(1, 3, 16, 16)).square().mean().backward()
    assert all(bool(weight.grad is not None and weight.grad.isfinite().all()) for weight in network.parameters())


@pytest.mark.parametrize("config", FORMS[:2], ids=["WithBias", "BiasFree"])
def test_autocast_restores_and_trains_in_bfloat16(config: RestormerConfig) -> None:
    network, images = stirred(Restormer(config)), torch.rand(2, 3, 24, 40)
    with torch.no_grad():
        wanted = network(images)
    with torch.autocast("cpu", torch.bfloat16):
        got = network.train()(images)
        with torch.inference_mode():
            assert_close(network(images), wanted, 0.05 * float(wanted.abs().max()))
    assert_close(got, wanted, 0.05 * float(wanted.abs().max()))
    got.square().mean().backward()
    gradients = [weight.grad for weight in network.parameters()]
    assert all(g is not None and g.dtype == torch.float32 and g.isfinite().all() and g.any() for g in gradients)


@pytest.mark.parametrize("published", RESTORMER.published, ids=lambda published: published.variant)
def test_it_has_the_authors_parameters(published: Any, reference: Reference) -> None:
    assert RESTORMER.build
    with torch.device("meta"):
        made, theirs = RESTORMER.build(published.config), reference(published.config)
    assert shapes(made) == shapes(theirs)
    assert sum(weight.numel() for weight in made.parameters()) == published.parameters
    assert recognise(made.state_dict()) == published.config


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("expansion", [1.0, 1.5, 2.53, 2.66, 3.125])
@pytest.mark.parametrize("config", [*FORMS, RESTORMER.trial], ids=["WithBias", "BiasFree", "bias", "trial"])
def test_weights_say_what_network_they_are_of(config: RestormerConfig, expansion: float, reference: Reference) -> None:
    """To the same hidden channels: 2.53 is 2.5 on 8 channels."""
    config = config.model_copy(update={"ffn_expansion_factor": expansion})
    with torch.device("meta"):
        state = reference(config).state_dict()
    read = recognise(state)
    assert read is not None
    assert read.model_copy(update={"ffn_expansion_factor": expansion}) == config
    assert read.ffn_expansion_factor == pytest.approx(expansion, abs=0.05)


def test_a_file_as_basicsr_writes_it_becomes_a_network_again(tmp_path: Path) -> None:
    made, path = stirred(Restormer(SMALL)), tmp_path / "net_g.pth"
    torch.save({"params": {f"module.{name}": value for name, value in made.state_dict().items()}}, path)
    state = read_state(path)
    config = recognise(state)
    assert config is not None
    again = Restormer(config).eval()
    again.load_state_dict(state)
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(images), made(images))


def test_weights_of_another_form_are_not_recognised(reference: Reference) -> None:
    state = dict(Restormer(RESTORMER.trial or SMALL).state_dict())
    for name in state:
        assert recognise({key: value for key, value in state.items() if key != name}) is None, name
        assert recognise({**state, name: torch.zeros(2, 1)}) is None, name
        assert recognise({**state, name: torch.zeros(())}) is None, name
    assert recognise({**state, "more": torch.zeros(1)}) is None
    assert recognise({}) is None
    dual_pixel = reference(SMALL, inp_channels=6, dual_pixel_task=True).state_dict()
    grey = reference(SMALL, inp_channels=1, out_channels=1).state_dict()
    assert (recognise(dual_pixel), recognise(grey)) == (None, None)


def test_bands_cover_the_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for height in range(1, 40):
        for limit in (1, 300, 2000, 10**9):
            monkeypatch.setattr(restormer_blocks, "BAND", limit)
            spans = restormer_blocks._spans(torch.empty(1, 8, height, 5), 24)
            assert (spans[0][0], spans[-1][1]) == (0, height)
            assert all(end == start for (_, end), (start, _) in pairwise(spans))
            assert all(start < end for start, end in spans)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dim": 9}, "multiple of 2"),
        ({"heads": (1, 2, 3, 8), "dim": 10}, "must divide the channels of their levels, 10, 20, 40, 80"),
        ({"ffn_expansion_factor": 0.01}, "at least 1 / dim"),
        ({"num_blocks": (4, 6, 6)}, "num_blocks"),
        ({"num_refinement_blocks": 0}, "greater than 0"),
        ({"layer_norm": "None"}, "BiasFree"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        RestormerConfig.model_validate(options)
