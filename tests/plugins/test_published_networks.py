"""The networks of papers: equal to an independent reference, and read from the names in public checkpoints."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unirestorer.core import Config, ExpertSpec
from unirestorer.core.checkpoints import read_state
from unirestorer.core.vision import prepare_torchvision
from unirestorer.core.weights import pack, unpack
from unirestorer.plugins.experts.configs import MPRNetConfig, NAFNetConfig, RetinexFormerConfig, SwinIRConfig
from unirestorer.plugins.experts.published import MPRNET, NAFNET, RETINEXFORMER, SWINIR

from . import published_equations as equations

SPECS: dict[str, ExpertSpec[Any]] = {spec.name: spec for spec in (NAFNET, SWINIR, RETINEXFORMER, MPRNET)}
SMALL: list[Config] = [
    NAFNetConfig(width=8, enc_blk_nums=(1, 2), middle_blk_num=2, dec_blk_nums=(2, 1)),
    SwinIRConfig(img_size=16, embed_dim=12, depths=(2, 2), num_heads=(2, 3)),
    SwinIRConfig(img_size=14, embed_dim=12, depths=(2,), num_heads=(2,), window_size=7, img_range=255),
    SwinIRConfig(img_size=16, embed_dim=12, depths=(2,), num_heads=(2,), mlp_ratio=3, resi_connection="3conv"),
    RetinexFormerConfig(n_feat=8, stage=2, num_blocks=(1, 2, 1)),
    MPRNetConfig(n_feat=8, scale_unetfeats=4, scale_orsnetfeats=3, num_cab=1, reduction=2),
]


def spec_of(config: Config) -> ExpertSpec[Any]:
    return next(spec for spec in SPECS.values() if spec.config is type(config))


def network(config: Config, seed: int = 0) -> nn.Module:
    """The network of ``config`` with random weights that let every part of it matter."""
    build = spec_of(config).build
    assert build
    made, draw = build(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return made.eval()


@pytest.mark.parametrize("scale", [(1, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("config", [config for config in SMALL[:5] if "3conv" not in str(config)], ids=str)
def test_a_network_is_its_written_out_equations(config: Config, scale: tuple[int, int]) -> None:
    """SwinIR keeps the masks for images of ``img_size``, and makes others for other sizes."""
    made, side = network(config), getattr(config, "img_size", 16)
    images, weights = torch.rand(2, 3, scale[0] * side, scale[1] * side), dict(made.state_dict())
    with torch.no_grad():
        if isinstance(config, SwinIRConfig):
            wanted = equations.swinir(images, weights, config.window_size, config.img_range)
        else:
            equation = equations.nafnet if isinstance(config, NAFNetConfig) else equations.retinexformer
            wanted = equation(images, weights)
        assert (wanted - images).abs().mean() > 0.1
        assert_close(made(images), wanted)


def assert_close(got: Tensor, wanted: Tensor) -> None:
    assert (got - wanted).abs().max() <= 1e-5


@pytest.fixture
def reference() -> Callable[[MPRNetConfig], nn.Module]:
    """MPRNet as the authors wrote it."""
    prepare_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module("spandrel_extra_arches.architectures.MPRNet")
    return lambda config: module.MPRNet(**config.model_dump())


@pytest.mark.parametrize("size", [(8, 8), (24, 40)])
@pytest.mark.parametrize("config", [SMALL[-1], MPRNET.trial], ids=str)
def test_mprnet_is_the_authors(
    config: MPRNetConfig, size: tuple[int, int], reference: Callable[[MPRNetConfig], nn.Module]
) -> None:
    made, theirs, images = network(config), reference(config).eval(), torch.rand(2, 3, *size)
    theirs.load_state_dict(made.state_dict())
    with torch.no_grad():
        wanted = theirs(images)[0]
        assert (wanted - images).abs().mean() > 0.1
        assert_close(made(images), wanted)


@pytest.mark.parametrize("published", MPRNET.published, ids=lambda published: published.variant)
def test_mprnet_has_the_authors_parameters(published: Any, reference: Callable[[MPRNetConfig], nn.Module]) -> None:
    assert MPRNET.build
    with torch.device("meta"):
        made, theirs = MPRNET.build(published.config), reference(published.config)
    assert shapes(made) == shapes(theirs)
    assert parameters(made) == parameters(theirs) == published.parameters


def shapes(made: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in made.state_dict().items()}


def parameters(made: nn.Module) -> int:
    return sum(parameter.numel() for parameter in made.parameters())


def test_the_shared_slope_of_mprnet_is_one_parameter_and_many_tensors() -> None:
    made = network(MPRNetConfig(n_feat=8, scale_unetfeats=4, num_cab=1))
    slopes = {name: value for name, value in made.state_dict().items() if value.ndim == 1}
    assert len(slopes) > 30
    assert len({value.data_ptr() for value in slopes.values()}) == len(slopes)
    assert sum(parameter.ndim == 1 for parameter in made.parameters()) == 1
    copy = network(MPRNetConfig(n_feat=8, scale_unetfeats=4, num_cab=1), seed=1)
    unpack(copy, pack(made), "copy")
    assert pack(copy).tobytes() == pack(made).tobytes()


PUBLISHED = [(spec, published) for spec in SPECS.values() for published in spec.published]


@pytest.mark.parametrize(("spec", "published"), PUBLISHED, ids=lambda value: getattr(value, "variant", ""))
def test_the_source_prints_the_number_of_parameters(spec: ExpertSpec[Any], published: Any) -> None:
    """To one unit of the last digit that it prints; some cut where others round."""
    printed = re.match(r"(\d+\.(\d+)) M: ", published.source)
    if printed is None:
        assert "prints 12.0 M" in published.source
    else:
        assert abs(published.parameters / 1e6 - float(printed[1])) < 10.0 ** -len(printed[2])


@pytest.mark.parametrize("config", SMALL, ids=str)
def test_weights_say_what_network_they_are_of(config: Config) -> None:
    state = network(config).state_dict()
    random = torch.random.get_rng_state()
    recognised = {name: spec.recognise(state) for name, spec in SPECS.items() if spec.recognise}
    assert recognised.pop(spec_of(config).name) == config
    assert set(recognised.values()) == {None}
    assert torch.equal(torch.random.get_rng_state(), random)


@pytest.mark.parametrize("config", SMALL, ids=str)
def test_weights_of_another_form_are_not_recognised(config: Config) -> None:
    state, recognise = dict(network(config).state_dict()), spec_of(config).recognise
    assert recognise
    weights = [name for name, value in state.items() if value.ndim > 1]
    assert recognise({name: value for name, value in state.items() if name != weights[-1]}) is None
    assert recognise({**state, "more": torch.zeros(1)}) is None
    assert recognise({**state, weights[3]: torch.zeros(2, 2)}) is None
    assert recognise({}) is None


def test_a_swinir_that_upscales_is_not_recognised() -> None:
    prepare_torchvision()
    module = importlib.import_module("spandrel.architectures.SwinIR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sizes = {"img_size": 16, "embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8}
        larger = module.SwinIR(**sizes, upscale=2, upsampler="pixelshuffledirect")
    assert SWINIR.recognise
    assert SWINIR.recognise(larger.state_dict()) is None


@pytest.mark.parametrize("config", SMALL, ids=str)
def test_a_file_as_basicsr_writes_it_becomes_a_network_again(config: Config, tmp_path: Path) -> None:
    made, path = network(config), tmp_path / "net_g.pth"
    parallel = {f"module.{name}": value for name, value in made.state_dict().items()}
    torch.save({"params": parallel, "iter": 5}, path)
    spec, state = spec_of(config), read_state(path)
    assert spec.recognise
    read = spec.recognise(state)
    assert read == config
    again = network(config, seed=1)
    again.load_state_dict(state)
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(images), made(images))


@pytest.mark.parametrize(
    ("config", "options", "problem"),
    [
        (NAFNetConfig, {"dec_blk_nums": (1,)}, "as many numbers"),
        (NAFNetConfig, {"enc_blk_nums": (1,) * 5, "dec_blk_nums": (1,) * 5}, "at most 4"),
        (SwinIRConfig, {"embed_dim": 32}, "multiple of each"),
        (SwinIRConfig, {"num_heads": (6,)}, "as many numbers"),
        (SwinIRConfig, {"window_size": 7}, "multiple of window_size 7"),
        (RetinexFormerConfig, {"n_feat": 6}, "multiple of 4"),
        (MPRNetConfig, {"n_feat": 2}, "at least reduction"),
    ],
)
def test_impossible_sizes_are_refused(config: type[Config], options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        config.model_validate(options)
