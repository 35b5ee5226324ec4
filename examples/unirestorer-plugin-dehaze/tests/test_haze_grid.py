from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from unirestorer.core.testing import ExpertContract, clean_images

from unirestorer_plugin_dehaze import COLOURED_HAZE, HAZE_GRID
from unirestorer_plugin_dehaze.configs import HazeGridConfig

SMALL = HazeGridConfig(widths=(8, 8, 16, 16), blocks=1)


class TestConformance(ExpertContract):
    spec = HAZE_GRID


class TestSmallConformance(ExpertContract):
    spec = HAZE_GRID
    config = SMALL


def build(config: HazeGridConfig | None = None) -> nn.Module:
    torch.manual_seed(0)
    return HAZE_GRID.build(config or HazeGridConfig())


def stirred(config: HazeGridConfig | None = None) -> nn.Module:
    """A network whose last layer is not zero any more."""
    network = build(config)
    tail = network.get_submodule("tail")
    assert isinstance(tail, nn.Conv2d)
    nn.init.normal_(tail.weight, std=0.05)
    return network.eval()


def test_an_untrained_network_is_exactly_the_identity() -> None:
    images = clean_images(2, 48, 64)
    assert torch.equal(build()(images), images)


def test_the_size_is_as_documented() -> None:
    parameters = sum(parameter.numel() for parameter in build().parameters())
    assert 150_000 < parameters < 400_000


def test_it_sees_about_three_hundred_pixels_and_no_further() -> None:
    images = torch.rand(1, 3, 16, 704, generator=torch.Generator().manual_seed(0)).requires_grad_()
    stirred()(images)[0, :, :, 352].sum().backward()
    assert images.grad is not None
    seen = images.grad.abs().sum((0, 1, 2)).nonzero()
    assert 200 < int(seen.max() - seen.min()) < 400


def test_a_tile_is_restored_like_the_whole() -> None:
    network, images = stirred(SMALL), clean_images(1, 32, 512)
    with torch.inference_mode():
        whole, tile = network(images), network(images[..., 128:])
    assert torch.allclose(whole[..., 320:], tile[..., 192:], atol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_it_overfits_one_batch(beta: float) -> None:
    clean = clean_images(4, 64, 64)
    hazy = damaged(clean, beta)
    network = build()
    before = float((hazy - clean).abs().mean())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(60):
        loss = (network(hazy) - clean).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        after = float((network(hazy) - clean).abs().mean())
    assert after < before / 3


def damaged(clean: Tensor, beta: float) -> Tensor:
    haze = COLOURED_HAZE.build(COLOURED_HAZE.config(beta=(beta, beta)))
    return haze.apply(clean, haze.sample(len(clean), torch.Generator().manual_seed(1)))
