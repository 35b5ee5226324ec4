"""Experts made of nothing but a file of weights, through spandrel."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unirestorer.core.errors import ConfigError
from unirestorer.core.weights import pack_state, sha256
from unirestorer.plugins.experts import checkpoint
from unirestorer.plugins.experts.checkpoint import LICENCES, recognise, revive
from unirestorer.plugins.experts.configs import LoraConfig, SpandrelConfig
from unirestorer.plugins.experts.lora import Lora

SIZES = ((1, 1), (5, 17), (33, 20), (64, 32))
KNOWN: dict[str, tuple[str, dict[str, Any], str]] = {
    "Compact": ("spandrel.architectures.Compact.__arch.SRVGG:SRVGGNetCompact", {"num_conv": 2, "upscale": 1}, "BSD"),
    "DRUNet": ("spandrel.architectures.DRUNet:DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [4] * 4, "nb": 4}, "MIT"),
    "NAFNet": ("spandrel.architectures.NAFNet:NAFNet", {"width": 4, "enc_blk_nums": [1], "dec_blk_nums": [1]}, "MIT"),
    "SwinIR": (
        "spandrel.architectures.SwinIR:SwinIR",
        {"upscale": 1, "img_size": 16, "window_size": 8, "depths": [1], "num_heads": [2], "embed_dim": 8},
        "Apache",
    ),
    "Restormer": (
        "spandrel_extra_arches.architectures.Restormer:Restormer",
        {"dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1] * 4},
        "non-commercial",
    ),
}
SCALE_4 = ("spandrel.architectures.ESRGAN.__arch.RRDB:RRDBNet", {"num_filters": 4, "num_blocks": 1, "scale": 4})
GREY = (
    "spandrel.architectures.NAFNet:NAFNet",
    {"img_channel": 1, "width": 4, "enc_blk_nums": [1], "dec_blk_nums": [1]},
)
MASKED: tuple[str, dict[str, Any]] = ("spandrel.architectures.LaMa:LaMa", {})


def state_of(place: str, options: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict of a new network of spandrel's class."""
    checkpoint._architectures()
    module, _, name = place.partition(":")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        network: nn.Module = getattr(importlib.import_module(module), name)(**options)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def photo(height: int, width: int, number: int = 2) -> Tensor:
    return torch.rand(number, 3, height, width, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where spandrel_extra_arches is not installed."""
    monkeypatch.setattr(f"{checkpoint.__name__}.find_spec", lambda name: None)
    checkpoint._architectures.cache_clear()
    yield
    checkpoint._architectures.cache_clear()


def test_every_architecture_has_a_licence() -> None:
    registry = checkpoint._architectures()
    assert {str(kind.architecture.id) for kind in registry} == set(LICENCES)
    extra = importlib.import_module("spandrel_extra_arches").EXTRA_REGISTRY
    restricted = {name for name, licence in LICENCES.items() if "non-commercial" in licence}
    assert {str(kind.architecture.id) for kind in extra} == restricted


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_network_restores_as_spandrel_does(name: str) -> None:
    place, options, licence = KNOWN[name]
    state = state_of(place, options)
    config = recognise(state)
    assert config.architecture == name
    assert licence in config.licence
    network = revive(SpandrelConfig.model_validate(config.model_dump(mode="json")), state)
    assert config.parameters == sum(parameter.numel() for parameter in network.parameters())
    theirs = checkpoint._architectures().load(dict(state))
    theirs.model.eval()
    for height, width in SIZES:
        images = photo(height, width)
        with torch.inference_mode():
            ours = network(images)
        wanted = torch.cat([theirs(image[None].clone()) for image in images])
        torch.testing.assert_close(ours.clamp(0, 1), wanted.clone(), rtol=1e-5, atol=1e-5)


def test_nothing_of_the_process_or_the_file_changes() -> None:
    state = state_of(*KNOWN["SwinIR"][:2])
    spandrel = importlib.import_module("spandrel")
    before = torch.random.get_rng_state(), len(spandrel.MAIN_REGISTRY), sha256(pack_state(state))
    with warnings.catch_warnings():
        rules = list(warnings.filters)
        revive(recognise(state), state)
        assert warnings.filters == rules
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (len(spandrel.MAIN_REGISTRY), sha256(pack_state(state))) == before[1:]


def test_gradients_and_adapters_go_through_it() -> None:
    state = state_of(*KNOWN["Compact"][:2])
    network = revive(SpandrelConfig(architecture="Compact"), state)
    images = photo(9, 9).requires_grad_()
    network(images).square().mean().backward()
    assert images.grad is not None
    assert all(parameter.grad is not None for parameter in network.parameters())
    adapter = Lora(LoraConfig(), network)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.02)
    adapter(photo(9, 9)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in adapter.parameters())
    torch.testing.assert_close(adapter.merged()(photo(9, 9)), adapter(photo(9, 9)))


def test_the_output_may_be_written_into_outside_inference_mode() -> None:
    network = revive(SpandrelConfig(), state_of(*KNOWN["Compact"][:2]))
    with torch.no_grad():
        assert float(network(photo(8, 8)).clamp_(0, 1).max()) <= 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (SCALE_4, "ESRGAN enlarges 4 times, wanted scale 1"),
        (GREY, "NAFNet maps 1 to 1 channels, wanted 3 to 3"),
        (MASKED, "LaMa needs a mask beside the image"),
    ],
)
def test_what_does_not_restore_rgb_images_at_their_size_is_one_line(given: tuple[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"spandrel: {reason}")) as caught:
        recognise(state_of(*given))
    assert "\n" not in str(caught.value)


def test_what_spandrel_does_not_know_and_what_only_looks_like_it_is_one_line() -> None:
    with pytest.raises(ConfigError, match="no architecture has these 2 parameter names; use another file"):
        recognise(nn.Linear(3, 3).state_dict())
    state = state_of(*KNOWN["NAFNet"][:2])
    state["ending.bias"] = torch.zeros(7)
    with pytest.raises(ConfigError, match="cannot load it") as caught:
        recognise(state)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_package_the_line_says_what_it_adds() -> None:
    state = state_of(*KNOWN["Restormer"][:2])
    for look in (recognise, lambda state: revive(SpandrelConfig(architecture="Restormer"), state)):
        with pytest.raises(ConfigError, match=r"unirestorer\[extra-arches\].*non-commercial"):
            look(state)
