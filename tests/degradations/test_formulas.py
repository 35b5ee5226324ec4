"""Each formula against an independent computation."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unirestorer.degradations.depth import procedural_depth
from unirestorer.degradations.filters import box, fast_length, guided
from unirestorer.degradations.flakes import snow_mask
from unirestorer.degradations.rain import motion_kernel, streaks
from unirestorer.degradations.shake import path_kernel

from .helpers import build, generator, images


def test_noise_has_the_asked_deviation_in_every_channel_and_channels_are_independent() -> None:
    synthesizer = build("noise", sigma=(25, 25))
    gray = torch.full((2, 3, 200, 200), 0.5)
    noise = synthesizer.apply(gray, synthesizer.sample(2, generator())) - gray
    flat = noise.transpose(0, 1).reshape(3, -1)
    assert flat.std(1) * 255 == pytest.approx([25, 25, 25], rel=0.02)
    assert (torch.corrcoef(flat) - torch.eye(3)).abs().amax() < 0.02


@pytest.mark.parametrize(
    ("size", "sigma_x", "sigma_y", "angle"), [(7, 1.0, 1.0, 0.0), (21, 3.0, 1.2, 0.6), (9, 2, 5, 2.5)]
)
def test_blurring_an_impulse_gives_the_gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float) -> None:
    impulse = torch.zeros(1, 3, 41, 41)
    impulse[..., 20, 20] = 1
    values = {"sigma_x": sigma_x, "sigma_y": sigma_y, "angle": angle}
    params = {"size": torch.tensor([size]), **{key: torch.tensor([value]) for key, value in values.items()}}
    got = build("blur").apply(impulse, params)[0, 0].double().numpy()
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T)
    radius = size // 2
    want = np.zeros((41, 41))
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            want[20 + y, 20 + x] = math.exp(-0.5 * np.array([x, y]) @ inverse @ np.array([x, y]))
    want /= want.sum()
    assert np.abs(got - want).max() < 1e-6
    assert got.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("height", [4, 10, 11])
def test_blur_keeps_a_constant_image_even_where_it_is_smaller_than_the_kernel(height: int) -> None:
    synthesizer = build("blur", size=(21, 21))
    flat = torch.full((2, 3, height, 30), 0.3)
    assert (synthesizer.apply(flat, synthesizer.sample(2, generator())) - 0.3).abs().amax() < 1e-6


def test_half_of_the_blur_kernels_are_isotropic() -> None:
    params = build("blur").sample(4000, generator())
    isotropic = params["sigma_x"] == params["sigma_y"]
    assert float(isotropic.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert params["angle"][isotropic].count_nonzero() == 0
    assert bool((params["size"] % 2 == 1).all())


def _streak_angle(kernel: Tensor) -> float:
    """Degrees from the vertical of the main axis, positive where the top leans left."""
    grid = torch.arange(len(kernel)) - len(kernel) // 2
    mass = kernel / kernel.sum()
    xx, yy, xy = (
        (mass * a * b).sum() for a, b in ((grid[None], grid[None]), (grid[:, None],) * 2, (grid[None], grid[:, None]))
    )
    return math.degrees(0.5 * math.atan2(2 * float(xy), float(yy - xx)))


@pytest.mark.parametrize("angle", [-45, -20, 0, 10, 44])
def test_rain_streaks_tilt_from_the_vertical_by_the_angle(angle: int) -> None:
    assert _streak_angle(motion_kernel(40, angle, 3)) == pytest.approx(angle, abs=1)


def test_stretched_rain_streaks_are_as_many_times_longer() -> None:
    one, three = (int((motion_kernel(20, 0, 3, stretch).sum(1) > 0.1).sum()) for stretch in (1, 3))
    assert one == pytest.approx(20 * math.sqrt(2) * 0.8, abs=3)
    assert three == pytest.approx(3 * one, abs=8)


def test_rain_drops_are_as_many_as_the_strength_says() -> None:
    one_pixel = torch.ones(1, 1)
    layer = streaks(1000, 1000, 80, one_pixel, seed=3)
    assert int((layer > 0.5).sum()) == pytest.approx(1e6 * 0.01 * 80 / 256, rel=0.05)


def test_rain_only_brightens_and_the_brightest_streak_has_the_gain() -> None:
    synthesizer = build("rain", gain=(0.5, 0.5))
    black = torch.zeros(2, 3, 64, 64)
    layer = synthesizer.apply(black, synthesizer.sample(2, generator()))
    assert layer.amax() == pytest.approx(0.5, abs=1e-6)
    assert bool((layer[:, 0] == layer[:, 1]).all())


def test_stronger_rain_covers_more() -> None:
    kernel = motion_kernel(30, 0, 3)
    weak, strong = (float((streaks(200, 200, strength, kernel, 5) > 0.1).float().mean()) for strength in (20, 150))
    assert strong > 2 * weak > 0


def test_haze_is_thicker_where_the_depth_map_is_brighter(tmp_path: pytest.TempPathFactory) -> None:
    ramp = np.linspace(0, 65535, 32).astype(np.uint16)[:, None].repeat(32, 1)
    Image.fromarray(ramp).save(f"{tmp_path}/depth.png")
    synthesizer = build("haze", beta=(2, 2), airlight=(0.9, 0.9), depth_folder=str(tmp_path))
    hazy = synthesizer.apply(torch.full((1, 3, 32, 32), 0.2), synthesizer.sample(1, generator()))
    transmission = np.exp(-2 * np.linspace(0, 1, 32))
    assert hazy[0, 0, :, 7].numpy() == pytest.approx(0.2 * transmission + 0.9 * (1 - transmission), abs=1e-4)


def test_procedural_depth_reaches_one_and_varies_between_seeds() -> None:
    image = images(1, 60, 80)[0]
    first, second = procedural_depth(image, 1), procedural_depth(image, 2)
    assert first.shape == (60, 80)
    assert first.amax() == pytest.approx(1)
    assert 0.05 <= first.amin() < 0.46
    assert not torch.equal(first, second)


def test_procedural_depth_is_mostly_farther_at_the_top() -> None:
    gray = torch.full((3, 48, 64), 0.5)
    depths = torch.stack([procedural_depth(gray, seed) for seed in range(60)])
    farther = depths[:, :12].mean((1, 2)) > depths[:, -12:].mean((1, 2))
    assert float(farther.float().mean()) > 0.7


def test_snow_is_the_image_mixed_with_white(tmp_path: pytest.TempPathFactory) -> None:
    Image.fromarray(np.full((40, 40), 51, np.uint8)).save(f"{tmp_path}/mask.png")
    synthesizer = build("snow", mask_folder=str(tmp_path))
    clean = images(1, 30, 60)
    snowy = synthesizer.apply(clean, synthesizer.sample(1, generator()))
    assert (snowy - (0.8 * clean + 0.2)).abs().amax() < 1e-6


def test_larger_snow_classes_and_densities_hide_more() -> None:
    def cover(size: int, density: float) -> float:
        return float(torch.stack([snow_mask(128, 128, size, density, seed) for seed in range(12)]).mean())

    assert 0 < cover(0, 1) < cover(1, 1) < cover(2, 1) < 0.4
    assert cover(2, 0.3) < cover(2, 1)


def test_each_larger_snow_class_has_larger_flakes() -> None:
    def largest(size: int) -> float:
        return float(torch.stack([box(snow_mask(128, 128, size, 1, seed), 3).amax() for seed in range(12)]).mean())

    assert largest(0) < 0.5 < largest(1)
    assert largest(1) < largest(2)


def test_snow_flakes_cross_the_border_without_wrapping() -> None:
    masks = torch.stack([snow_mask(6, 200, 1, 3.0, seed) for seed in range(20)])
    assert float(masks[:, 0].mean()) == pytest.approx(float(masks[:, 3].mean()), rel=0.3)


@pytest.mark.parametrize("value", [0.2, 0.7])
def test_lowlight_of_a_constant_gray_image_is_its_power(value: float) -> None:
    synthesizer = build("lowlight", gamma=(2.5, 2.5), uniformity=(0, 0), exposure=(1, 1))
    dark = synthesizer.apply(torch.full((1, 3, 20, 30), value), synthesizer.sample(1, generator()))
    assert dark.numpy() == pytest.approx(np.full((1, 3, 20, 30), value**2.5), abs=1e-5)


def test_lowlight_with_full_uniformity_scales_all_pixels_alike() -> None:
    synthesizer = build("lowlight", uniformity=(1, 1))
    clean = images(1).clamp(0.1, 1)
    ratio = synthesizer.apply(clean, synthesizer.sample(1, generator())) / clean
    assert ratio.amax() - ratio.amin() < 1e-5
    assert ratio.amax() < 0.9


def test_lowlight_without_uniformity_darkens_shadows_more() -> None:
    synthesizer = build("lowlight", uniformity=(0, 0))
    clean = torch.full((1, 3, 20, 80), 0.2)
    clean[..., 40:] = 0.8
    ratio = synthesizer.apply(clean, synthesizer.sample(1, generator())) / clean
    assert ratio[..., :20].amax() < ratio[..., 60:].amin()


def test_lowlight_noise_is_added_when_asked_for() -> None:
    synthesizer = build("lowlight", gamma=(2, 2), uniformity=(1, 1), exposure=(1, 1), noise_sigma=(5, 5))
    dark = synthesizer.apply(torch.full((1, 3, 100, 100), 0.7), synthesizer.sample(1, generator()))
    assert float(dark.std()) * 255 == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize("quality", [10, 50, 100])
def test_jpeg_equals_pillows_own_file(quality: int) -> None:
    clean = images(1, 33, 47)
    pixels = (clean[0] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    want = np.asarray(Image.open(stream))
    got = build("jpeg").apply(clean, {"quality": torch.tensor([quality])})[0].permute(1, 2, 0)
    assert np.array_equal((got * 255).round().numpy(), want)


def test_jpeg_at_quality_100_comes_near_a_gray_image() -> None:
    clean = images(1)[:, :1].expand(-1, 3, -1, -1)
    assert (build("jpeg").apply(clean, {"quality": torch.tensor([100])}) - clean).abs().amax() < 0.02


def test_box_filter_is_the_mean_of_the_pixels_inside_the_image() -> None:
    image = images(1, 7, 9)[0, 0]
    got = box(image, 2)
    assert got[0, 0] == pytest.approx(float(image[:3, :3].mean()), abs=1e-6)
    assert got[3, 8] == pytest.approx(float(image[1:6, 6:].mean()), abs=1e-6)


def test_guided_filter_keeps_a_step_that_the_guide_has() -> None:
    step = torch.zeros(20, 40)
    step[:, 20:] = 1
    assert (guided(step, step, 5, 1e-4) - step).abs().amax() < 0.01
    assert (guided(step, torch.zeros(20, 40), 5, 1e-4) - step).abs().amax() > 0.3


@pytest.mark.parametrize(("length", "want"), [(1, 1), (7, 8), (341, 360), (1000, 1000)])
def test_fast_lengths_have_only_small_primes(length: int, want: int) -> None:
    assert fast_length(length) == want


def test_a_shake_path_is_a_kernel_of_its_length() -> None:
    kernel = path_kernel(12.0, 1e-6, seed=4)
    side = kernel.shape[0]
    y, x = torch.nonzero(kernel > 1e-6, as_tuple=True)
    reach = float(((x.max() - x.min()) ** 2 + (y.max() - y.min()) ** 2).double().sqrt())
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    assert side % 2 == 1
    assert 11 <= reach <= 15  # a straight path, and a pixel of anti-aliasing at each end


def test_tone_follows_its_formula_on_a_constant_image() -> None:
    image = torch.tensor([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    one = {"gain": 0.9, "gamma": 1.2, "contrast": 1.1, "saturation": 1.3}
    z = [((0.9 * v) ** 1.2 - 0.5) * 1.1 + 0.5 for v in (0.2, 0.4, 0.6)]
    grey = 0.299 * z[0] + 0.587 * z[1] + 0.114 * z[2]
    wanted = [1.3 * (v - grey) + grey for v in z]
    got = build("tone").apply(image, {name: torch.tensor([value]) for name, value in one.items()})
    assert got[0, :, 0, 0].tolist() == pytest.approx(wanted, abs=1e-4)
