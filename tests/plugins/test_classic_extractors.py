"""``vgg``, ``ddr`` and ``manual`` beyond the conformance kit: published names, other implementations, codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, pixel_shuffle, relu

from unirestorer.core import Prompts
from unirestorer.core.errors import ConfigError
from unirestorer.core.training.loop import seeded
from unirestorer.core.vision import prepare_torchvision
from unirestorer.plugins.extractors.configs import VGG_LAYERS, DdrConfig, ManualConfig, VggConfig
from unirestorer.plugins.extractors.ddr import Ddr, SuperResolution
from unirestorer.plugins.extractors.ddr import load_weights as load_ddr
from unirestorer.plugins.extractors.manual import Guess, Manual
from unirestorer.plugins.extractors.superresolution import RRDBNet, SRResNet
from unirestorer.plugins.extractors.vgg import Vgg
from unirestorer.plugins.extractors.vgg import load_weights as load_vgg

prepare_torchvision()

PROMPTS = Prompts(("noise", "rain"), (("noise", "small"), ("noise", "large"), ("rain", "small")))
SMALL = DdrConfig(width=8, blocks=2, growth=4, crop=32, dim=6)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def stirred(network: nn.Module) -> nn.Module:
    """With weights so large that a wrong constant shows."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.15 * torch.randn(parameter.shape, generator=draw))
    return network


def full_vgg() -> Any:
    """torchvision's VGG-16, of which only the shapes are there."""
    from torchvision.models import vgg16

    with torch.device("meta"):
        return vgg16()


def test_vgg_has_the_names_and_shapes_of_torchvision() -> None:
    with torch.device("meta"):
        ours = Vgg(VggConfig(layer="pool5")).state_dict()
    theirs = {name: t for name, t in full_vgg().state_dict().items() if name.startswith("features.")}
    assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in theirs.items()}
    assert sum(t.numel() for t in ours.values()) == 14_714_688


def test_every_vgg_layer_is_where_its_name_says() -> None:
    network = full_vgg()
    assert len(VGG_LAYERS) == len(network.features)
    kinds = {"conv": nn.Conv2d, "relu": nn.ReLU, "pool": nn.MaxPool2d}
    for name, layer in zip(VGG_LAYERS, network.features, strict=True):
        assert isinstance(layer, kinds[name[:4]])
    with torch.device("meta"):
        kept = {name: len(Vgg(VggConfig(layer=name)).features) for name in VGG_LAYERS}
    assert list(kept.values()) == list(range(1, 32))


def test_vgg_computes_what_torchvision_computes(tmp_path: Path) -> None:
    features: Any = full_vgg().features
    features.to_empty(device="cpu")
    stirred(features)
    state = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(4, 4)}, tmp_path / "vgg16.pth")
    config = VggConfig(layer="relu3_3", pooling="mean+std", crop=64, weights=tmp_path / "vgg16.pth")
    extractor = Vgg(config).eval()
    load_vgg(extractor, config)
    image = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        maps = features[: VGG_LAYERS.index("relu3_3") + 1]((image - mean) / std)
        wanted = torch.cat([maps.mean((2, 3)), maps.std((2, 3), correction=0)], dim=1)
        assert torch.allclose(extractor(image), wanted, atol=1e-5)
    assert extractor.dim == 512


@pytest.mark.parametrize(("pooling", "dim"), [("mean", 64), ("std", 64), ("mean+std", 128)])
def test_vgg_pools_as_it_is_told(pooling: str, dim: int) -> None:
    extractor = Vgg(VggConfig.model_validate({"layer": "relu1_2", "pooling": pooling, "crop": 32}))
    assert extractor.dim == dim
    assert extractor(torch.rand(1, 3, 40, 40)).shape == (1, dim)


def test_an_unknown_vgg_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer of VGG-16; known: conv1_1, relu1_1"):
        VggConfig(layer="relu6_1")


def test_weights_of_another_network_are_one_line(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.safetensors")
    config = VggConfig(layer="relu1_1", weights=tmp_path / "part.safetensors")
    with pytest.raises(ConfigError, match=r"part.safetensors: no parameter 'features.0.bias'; wanted VGG-16") as caught:
        load_vgg(Vgg(config), config)
    assert len(caught.value.problems) == 1


def test_published_sizes_of_the_super_resolution_networks() -> None:
    with torch.device("meta"):
        assert count(Ddr(DdrConfig())) == 1_517_571  # BasicSR's MSRResNet x4
        assert count(Ddr(DdrConfig(arch="esrgan"))) == 16_697_987  # ESRGAN, RRDB_ESRGAN_x4.pth


def test_rrdbnet_computes_what_spandrel_computes() -> None:
    from spandrel import ModelLoader

    network = stirred(RRDBNet(8, 2, 32)).eval()  # spandrel knows no other growth
    found = ModelLoader().load_from_state_dict(dict(network.state_dict()))
    assert (found.architecture.id, found.scale) == ("ESRGAN", 4)
    image = torch.rand(1, 3, 17, 20)
    with torch.no_grad():
        assert torch.allclose(network(image), found.model(image), atol=1e-5)


def test_srresnet_computes_its_equations() -> None:
    network = stirred(SRResNet(8, 2)).eval()
    state = network.state_dict()
    image = torch.rand(1, 3, 11, 14)

    def layer(x: Tensor, name: str) -> Tensor:
        return conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    x = leaky_relu(layer(image, "conv_first"), 0.1)
    for block in ("body.0", "body.1"):
        x = x + layer(relu(layer(x, f"{block}.conv1")), f"{block}.conv2")
    deep = x
    x = leaky_relu(pixel_shuffle(layer(x, "upconv1"), 2), 0.1)
    x = leaky_relu(pixel_shuffle(layer(x, "upconv2"), 2), 0.1)
    x = layer(leaky_relu(layer(x, "conv_hr"), 0.1), "conv_last")
    x = x + interpolate(image, size=(44, 56), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert torch.allclose(network(image), x, atol=1e-5)
        assert torch.allclose(network.deep(image), deep, atol=1e-5)  # type: ignore[operator]


def former(name: str) -> str:
    """The name in the first ESRGAN weights."""
    pairs = (("body.", "RRDB_trunk."), (".rdb", ".RDB"), ("conv_hr", "HRconv"), ("conv_up", "upconv"))
    if name.startswith("conv_body"):
        return name.replace("conv_body", "trunk_conv")
    for new, old in pairs:
        name = name.replace(new, old)
    return name


@pytest.mark.parametrize("naming", [str, former])
def test_weights_come_by_the_published_names(tmp_path: Path, naming: type[str]) -> None:
    config = SMALL.model_copy(update={"arch": "esrgan", "weights": tmp_path / "esrgan.pth"})
    source = stirred(RRDBNet(8, 2, 4))
    torch.save({"params_ema": {naming(name): t for name, t in source.state_dict().items()}}, tmp_path / "esrgan.pth")
    extractor = Ddr(config)
    load_ddr(extractor, config)
    assert all(torch.equal(a, b) for a, b in zip(extractor.network.parameters(), source.parameters(), strict=True))


def test_weights_of_a_deeper_network_are_refused(tmp_path: Path) -> None:
    torch.save({"params": SRResNet(8, 3).state_dict()}, tmp_path / "deep.pth")
    config = SMALL.model_copy(update={"weights": tmp_path / "deep.pth"})
    with pytest.raises(ConfigError, match=r"unknown parameter 'body.2.conv1.weight'; .*set arch, width, blocks"):
        load_ddr(Ddr(config), config)


def test_calibration_finds_the_principal_components() -> None:
    extractor = seeded(lambda: Ddr(SMALL), 0).eval()
    stirred(extractor.network)
    batches = [torch.rand(16, 3, 40, 40) * torch.rand(16, 1, 1, 1) for _ in range(3)]
    extractor.calibrate(iter(batches))
    with torch.no_grad():
        raw = torch.cat([extractor.pooled(images) for images in batches]).double().numpy()
        dr = torch.cat([extractor(images) for images in batches]).numpy()
    centred = raw - raw.mean(0)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(dr.std(0), strength[:6] / np.sqrt(len(raw)), rtol=1e-3)
    assert np.allclose(np.abs(centred @ axes[:6].T), np.abs(dr), atol=1e-4)
    assert np.abs(dr.mean(0)).max() < 1e-5
    components = extractor.components
    assert bool((components.gather(1, components.abs().argmax(1, keepdim=True)) > 0).all())


def test_more_components_than_features_are_refused() -> None:
    with pytest.raises(ValueError, match="dim 20 must be at most 16"):
        DdrConfig(width=8, dim=20)


def test_super_resolution_is_learnt_from_the_truth() -> None:
    objective = SuperResolution(seeded(lambda: Ddr(SMALL), 0))
    noise = torch.rand(2, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    clean = interpolate(noise, (58, 59), mode="nearest")  # 56 x 56 of it are looked at
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = objective(clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


MANUAL = ManualConfig(types=4, prompts=6, degree=0.5, crop=32, widths=(8, 8))


def test_types_are_farther_apart_than_degrees() -> None:
    codes = Manual(MANUAL).encode(PROMPTS)
    gaps = torch.cdist(codes, codes)
    assert float(gaps[0, 1]) == pytest.approx(0.5 * 2**0.5)
    assert float(gaps[0, 2]) == float(gaps[1, 2]) == pytest.approx((2 + 2 * 0.25) ** 0.5)
    assert torch.allclose(codes.norm(dim=1), codes.norm(dim=1)[:1])


def test_a_photo_gets_the_expected_code_of_the_prompts_that_were_given() -> None:
    extractor = seeded(lambda: Manual(MANUAL), 0).eval()
    Guess(extractor, PROMPTS)
    images = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        guess = extractor.logits(images).softmax(dim=1)
        dr = extractor(images)
    assert torch.equal(guess[:, 3:], torch.zeros(5, 3))
    assert torch.allclose(dr, guess[:, :3] @ extractor.encode(PROMPTS), atol=1e-6)


def test_a_photo_that_is_recognised_gets_its_label() -> None:
    extractor = seeded(lambda: Manual(MANUAL), 0).eval()
    Guess(extractor, PROMPTS)
    with torch.no_grad():
        extractor.head.weight.zero_()
        extractor.head.bias.copy_(torch.tensor([-50.0, 50, -50, 90, 90, 90]))
        dr = extractor(torch.rand(1, 3, 32, 32))
    assert torch.allclose(dr[0], extractor.encode(PROMPTS)[1], atol=1e-6)


@pytest.mark.parametrize(("field", "slots"), [("prompts", 2), ("types", 1)])
def test_more_labels_than_slots_are_one_line(field: str, slots: int) -> None:
    extractor = Manual(MANUAL.model_copy(update={field: slots}))
    with pytest.raises(ConfigError, match=rf"extractor\.config\.{field}: got \d {field}, wanted at most {slots}"):
        Guess(extractor, PROMPTS)
