"""The low-rank adapter: loralib's layout, nothing of the base changed, trained as the host trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unirestorer.core.contracts import ExpertSpec
from unirestorer.core.errors import ConfigError
from unirestorer.core.recipe import TrainingConfig
from unirestorer.core.stages.experts import Training
from unirestorer.core.testing.adapter import BaseNetwork
from unirestorer.core.weights import pack, sha256
from unirestorer.plugins.experts.configs import LoraConfig
from unirestorer.plugins.experts.lora import Lora
from unirestorer.plugins.guarding import Source, guarded
from unirestorer.plugins.manager import load_catalogue

from ..core.sample_plugins import MenderConfig, mender

IMAGES = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def stirred(adapter: Lora) -> Lora:
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return adapter


def test_names_and_shapes_are_those_of_loralib() -> None:
    state = Lora(LoraConfig(rank=2), BaseNetwork()).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "head.lora_A": (2 * 3, 3 * 3),
        "head.lora_B": (8 * 3, 2 * 3),
        "body.0.lora_A": (2 * 3, 8 * 3),
        "body.0.lora_B": (8 // 2 * 3, 2 * 3),
        "body.1.lora_A": (2 * 5, 8 * 5),
        "body.1.lora_B": (8 // 8 * 5, 2 * 5),
        "mix.lora_A": (2, 8),
        "mix.lora_B": (8, 2),
        "tail.lora_A": (2, 8),
        "tail.lora_B": (3, 2),
    }


def test_untrained_it_is_the_base_to_the_bit() -> None:
    wanted = BaseNetwork().eval()(IMAGES)
    adapter = Lora(LoraConfig(), BaseNetwork())
    assert torch.equal(adapter(IMAGES), wanted)
    assert adapter.get_parameter("head.lora_A").abs().min() > 0


def test_what_is_added_is_the_formula() -> None:
    layers = (nn.Conv2d(8, 6, 3, groups=2, bias=False), nn.Conv2d(4, 6, (1, 3), bias=False), nn.Linear(5, 7))
    for layer in layers:
        adapter = stirred(Lora(LoraConfig(rank=3, alpha=6), nn.Sequential(layer)))
        first, second = adapter.get_parameter("0.lora_A"), adapter.get_parameter("0.lora_B")
        wanted = layer.weight + 6 / 3 * (second @ first).reshape(layer.weight.shape)
        merged = adapter.merged()
        assert isinstance(merged, nn.Sequential)
        weight = merged[0].get_parameter("weight")
        torch.testing.assert_close(weight, wanted, check_stride=False)
        assert not torch.allclose(weight, layer.weight)


def test_a_layer_alone_and_shared_weights_are_adapted_once() -> None:
    alone = stirred(Lora(LoraConfig(), nn.Conv2d(3, 3, 3, padding=1)))
    torch.testing.assert_close(alone.merged()(IMAGES), alone(IMAGES))
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    second.weight = first.weight
    tied = stirred(Lora(LoraConfig(), nn.Sequential(first, second)))
    assert list(tied.state_dict()) == ["0.lora_A", "0.lora_B"]
    torch.testing.assert_close(tied.merged()(IMAGES), tied(IMAGES))


def test_a_layer_may_be_called_as_the_adapter_calls_its_own() -> None:
    base = nn.Sequential()
    for name in ("merged", "base", "_terms"):
        base.add_module(name, nn.Conv2d(3, 3, 1))
    adapter = stirred(Lora(LoraConfig(), base))
    assert len(adapter.state_dict()) == 6
    torch.testing.assert_close(adapter.merged()(IMAGES), adapter(IMAGES))


def test_a_base_without_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="no convolution and no linear layer"):
        Lora(LoraConfig(), nn.Identity())


@pytest.mark.parametrize("name", ["resunet", "nafnet", "restormer", "swinir", "retinexformer"])
def test_every_architecture_can_carry_it(name: str) -> None:
    spec = load_catalogue().expert(name)
    assert spec.build is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = spec.build(spec.trial or spec.config()).eval()
    side = -(-max(16, spec.size.minimum) // spec.size.multiple) * spec.size.multiple
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(3))
    before = base(images).detach()
    adapter = Lora(LoraConfig(rank=1), base)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.02)
    output: Tensor = adapter.train()(images)
    output.square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in adapter.parameters())
    torch.testing.assert_close(adapter.merged()(images), output, rtol=1e-5, atol=1e-5)
    assert (output - before).abs().max() > 1e-3


def test_a_third_partys_network_can_carry_it() -> None:
    source = Source("acme", "acme-dist", "1.2", lambda: None)
    spec = guarded("expert", mender(), source)
    assert isinstance(spec, ExpertSpec)
    assert spec.build is not None
    adapter = stirred(Lora(LoraConfig(), spec.build(MenderConfig())))
    torch.testing.assert_close(adapter.merged()(IMAGES), adapter(IMAGES))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_host_trains_it_and_leaves_the_base(precision: str, tmp_path: Path) -> None:
    spec, base = load_catalogue().expert("lora"), BaseNetwork()
    digest = sha256(pack(base))
    config = TrainingConfig.model_validate(
        {"steps": 8, "batch": 2, "lr": 0.02, "warmup": 1, "ema": 0, "precision": precision}
    )
    training = Training(spec, LoraConfig(rank=2), config, seed=1, base=lambda: base)
    losses: list[float] = []
    batch = IMAGES.contiguous(memory_format=torch.channels_last), IMAGES.flip(3)
    before = float(training.objective()(*batch).detach())
    weights = training.run(lambda step: batch, tmp_path / "checkpoint", lambda step, of, loss: losses.append(loss))
    assert losses[-1] < before
    assert sha256(pack(base)) == digest
    assert len(weights) < 12_000
    again = training.run(lambda step: batch, tmp_path / "other")
    assert sha256(again) == sha256(weights)


def test_numbers_of_parameters_at_the_papers_size() -> None:
    spec = load_catalogue().expert("restormer")
    assert spec.build is not None
    with torch.device("meta"):
        base = spec.build(spec.config())
        adapter = Lora(LoraConfig(), base)
    assert sum(parameter.numel() for parameter in base.parameters()) == 26_126_644
    assert sum(parameter.numel() for parameter in adapter.parameters()) == 5_644_656
