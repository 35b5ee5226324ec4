from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unirestorer.core.canvas import as_pixels, as_tensor
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.errors import ConfigError, ShapeError
from unirestorer.core.tiles import plan, run_pixels, run_tiled, spans

ANY = SizeRequirement()


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


@pytest.fixture(scope="module")
def local() -> nn.Module:
    """Looks 6 pixels far; zero padding at the border makes it sensitive to where tiles end."""
    layers: list[nn.Module] = []
    generator = torch.Generator().manual_seed(3)
    for size_in, size_out in ((3, 8), (8, 8), (8, 3)):
        layer = nn.Conv2d(size_in, size_out, 5, padding=2)
        with torch.no_grad():
            layer.weight.copy_(torch.rand(layer.weight.shape, generator=generator) / (size_in * 25))
            layer.bias.zero_()  # type: ignore[union-attr]
        layers.append(layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 100, 111, 127, 128, 129, 500, 1001])
@pytest.mark.parametrize("overlap", [0, 1, 7, 16, 21])
def test_weights_of_an_axis_sum_to_exactly_one(length: int, overlap: int) -> None:
    total = torch.zeros(length)
    for span in spans(length, 64, overlap):
        assert 0 <= span.start <= span.low < span.high <= span.stop <= length
        total[span.low : span.high] += span.weight
    assert torch.equal(total, torch.ones(length))


@pytest.mark.parametrize("length", [72, 100, 129, 1001])
def test_tiles_are_of_one_size_and_discard_their_borders(length: int) -> None:
    found = spans(length, 61, 16, multiple=8)
    (side,) = {span.stop - span.start for span in found[:-1]}
    assert 32 <= side <= 64
    assert found[-1].stop == length
    assert all(right.low - right.start >= 4 for right in found[1:])
    assert all(left.stop - left.high >= 4 for left in found[:-1])


@pytest.mark.parametrize("length", [520, 1000, 1024, 1100, 4000, 4032])
def test_tiles_just_cover_the_image(length: int) -> None:
    found = spans(length, 512, 64, multiple=16)
    surplus = sum(span.stop - span.start for span in found) - length - 64 * (len(found) - 1)
    assert 0 <= surplus < 16 * len(found)
    assert len(spans(length, 512 - 128, 64, multiple=16)) >= len(found)


def test_a_small_last_tile_is_not_made_smaller_than_the_network_takes() -> None:
    assert [span.stop - span.start for span in spans(160, 128, 16, minimum=128)] == [128, 128]


@pytest.mark.parametrize("length", [65, 100, 129, 1001])
@pytest.mark.parametrize("multiple", [2, 8, 64])
def test_tiles_start_where_strides_agree_and_weights_still_sum_to_one(length: int, multiple: int) -> None:
    total = torch.zeros(length)
    for span in spans(length, 61, 16, multiple):
        assert span.start % multiple == 0
        total[span.low : span.high] += span.weight
    assert torch.equal(total, torch.ones(length))


def test_impossible_tiles_are_refused() -> None:
    for tile, overlap in ((0, 0), (64, 22), (64, -1)):
        with pytest.raises(ConfigError, match="wanted tile"):
            spans(100, tile, overlap)


@pytest.mark.parametrize(("height", "width"), [(200, 150), (64, 300), (65, 64), (33, 20)])
def test_a_local_network_gives_the_same_tiled_and_whole(local: nn.Module, height: int, width: int) -> None:
    whole = run_tiled(image(height, width), local, ANY, tile=None)
    tiled = run_tiled(image(height, width), local, ANY, tile=64, overlap=21)
    assert (whole - tiled).abs().max() <= 1 / 255
    deep_inside = run_tiled(image(height, width), local, ANY, tile=96, overlap=32)
    assert torch.allclose(whole, deep_inside, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(195, 150), (131, 99), (67, 301)])
def test_a_network_with_strides_gives_the_same_tiled_and_whole(local: nn.Module, height: int, width: int) -> None:
    def strided(x: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(x[:, :, ::2, ::2], 2)
        result: Tensor = nn.functional.interpolate(small, scale_factor=4) * 0.5 + local(x)
        return result

    size = SizeRequirement(multiple=4)
    whole = run_tiled(image(height, width), strided, size, tile=None)
    assert torch.allclose(whole, run_tiled(image(height, width), strided, size, tile=94, overlap=30), atol=1e-6)


def test_bytes_and_floats_give_the_same_result(local: nn.Module) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 130, 3), dtype=np.uint8)
    from_bytes = run_pixels(pixels, local, ANY, tile=64, overlap=16)
    from_floats = as_pixels(run_tiled(as_tensor(pixels), local, ANY, tile=64, overlap=16))
    assert np.array_equal(from_bytes, from_floats)


def test_a_network_that_does_nothing_returns_every_byte() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 130, 3), dtype=np.uint8)
    assert np.array_equal(run_pixels(pixels, nn.Identity(), ANY, tile=64, overlap=16), pixels)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (5, 3), (17, 33), (32, 32)])
def test_any_size_is_padded_to_the_requirement_and_cropped_back(height: int, width: int) -> None:
    seen = []

    def net(padded: Tensor) -> Tensor:
        seen.append(tuple(padded.shape[2:]))
        return padded

    result = run_tiled(image(height, width), net, SizeRequirement(multiple=8, minimum=20), tile=64, overlap=16)
    assert torch.equal(result, image(height, width))
    assert all(side % 8 == 0 and side >= 20 for shape in seen for side in shape)


def test_padding_mirrors_where_it_can_and_repeats_where_it_cannot() -> None:
    seen = []

    def net(padded: Tensor) -> Tensor:
        seen.append(padded.clone())
        return padded

    row = torch.tensor([0.1, 0.2, 0.3]).expand(1, 3, 1, 3)
    run_tiled(row, net, SizeRequirement(multiple=5))
    assert torch.allclose(seen[0][0, 0, 0], torch.tensor([0.1, 0.2, 0.3, 0.2, 0.1]))
    assert torch.allclose(seen[0][0, 0, 4], seen[0][0, 0, 0])


def test_results_are_clamped() -> None:
    assert run_tiled(image(4, 4), lambda x: x + 5, ANY).max() == 1
    assert run_tiled(image(4, 4), lambda x: x - 5, ANY).min() == 0


def test_results_can_be_changed_by_the_caller() -> None:
    run_tiled(image(4, 4), nn.Identity(), ANY).add_(1)


def test_a_network_of_another_shape_or_without_finite_values_is_refused() -> None:
    with pytest.raises(ShapeError, match="same shape"):
        run_tiled(image(8, 8), lambda x: x[:, :, ::2, ::2], ANY)
    with pytest.raises(ShapeError, match="not finite"):
        run_tiled(image(8, 8), lambda x: x / 0, ANY)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(ShapeError, match="wanted"):
        run_tiled(torch.rand(3, 8, 8), nn.Identity(), ANY)
    with pytest.raises(ShapeError, match="wanted"):
        run_pixels(np.zeros((8, 8), dtype=np.uint8), nn.Identity(), ANY)


def test_the_plan_counts_the_tiles() -> None:
    assert plan(100, 100, ANY, tile=64, overlap=16).count == 4
    assert plan(100, 100, ANY, tile=None).count == 1
    assert plan(40, 100, SizeRequirement(minimum=128), tile=64, overlap=16).count == 1
