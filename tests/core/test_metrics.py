"""PSNR and SSIM in every convention against scikit-image, piq, SciPy, a dense convolution and the written formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unirestorer.core.errors import ConfigError, ShapeError
from unirestorer.core.evaluating.conventions import CONVENTIONS, MIOIR, PAPER, STANDARD, Convention, Y
from unirestorer.core.evaluating.metrics import CEILING, Metrics, psnr, ssim
from unirestorer.core.vision import prepare_torchvision

_declared = prepare_torchvision()
import piq  # noqa: E402

Image = NDArray[np.uint8]
Planes = NDArray[np.float64]
Similarity = Callable[[Planes, Planes], float]
FLOATING = Convention(name="floating", rounded=False)
FRAMED = Convention(name="framed", border=3, ssim="volume", luma_tasks=("rain",))
ALL = [*CONVENTIONS.values(), FRAMED]
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def smooth(height: int, width: int) -> Image:
    rng = np.random.default_rng(0)
    walk = np.cumsum(np.cumsum(rng.normal(0, 1, (height, width, 3)), 0), 1)
    return np.interp(walk, (walk.min(), walk.max()), (0, 255)).astype(np.uint8)


def noisy(clean: Image, sigma: float) -> Image:
    return np.clip(clean + np.random.default_rng(1).normal(0, sigma, clean.shape), 0, 255).astype(np.uint8)


def flat(value: int) -> Image:
    return np.full((21, 25, 3), value, np.uint8)


def static(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (22, 31, 3), dtype=np.uint8)


PAIRS = {
    "noise": (noisy(smooth(32, 24), 20), smooth(32, 24)),
    "little noise": (noisy(smooth(21, 34), 1), smooth(21, 34)),
    "nothing in common": (static(2), static(3)),
    "white": (flat(255), flat(254)),
    "grey": (flat(203), flat(207)),
}
"""The flat ones are where sums of squares in single precision go wrong."""


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[Image, Image]:
    return PAIRS[request.param]


@pytest.fixture(params=ALL, ids=lambda convention: convention.name)
def convention(request: pytest.FixtureRequest) -> Convention:
    chosen: Convention = request.param
    return chosen


@pytest.fixture(params=["noise", "rain"])
def task(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def compared(pixels: Image, convention: Convention, task: str) -> Planes:
    """(H, W, C) as a convention defines what is compared, by scikit-image."""
    inside = slice(convention.border, -convention.border or None)
    luma = convention.channels == "y" or (bool(convention.luma_tasks) and task == "rain")
    planes: Planes = rgb2ycbcr(pixels)[..., :1] if luma else pixels.astype(np.float64)
    return planes[inside, inside]


def tensor(planes: Planes) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))[None]


def by_scikit_image(image: Planes, truth: Planes) -> float:
    """The valid region by its own mean over the map, which has mirrored edges."""
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, everywhere = structural_similarity(image, truth, channel_axis=2, full=True, **options)
    return float(everywhere[5:-5, 5:-5].mean())


def by_piq(image: Planes, truth: Planes) -> float:
    return float(piq.ssim(tensor(image), tensor(truth), data_range=255, downsample=False))


def similarity(mean: Callable[[Planes], Planes], x: Planes, y: Planes) -> Planes:
    """Equation 13 of Wang et al. 2004, where ``mean`` takes the local mean."""
    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y, cov = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
    return (2 * mu_x * mu_y + C1) * (2 * cov + C2) / ((mu_x**2 + mu_y**2 + C1) * (var_x + var_y + C2))


def by_scipy(image: Planes, truth: Planes) -> float:
    def mean(values: Planes) -> Planes:
        for axis in range(3 if values.shape[2] == 3 else 2):
            values = gaussian_filter1d(values, 1.5, axis=axis, mode="nearest", radius=5)
        return values

    return float(similarity(mean, image, truth).mean())


@cache
def window() -> Planes:
    """(11, 11, 11), not separated."""
    steps = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"))
    values: Planes = np.exp(-(steps**2).sum(0) / (2 * 1.5**2))
    values /= values.sum()
    return values


def by_dense_convolution(image: Planes, truth: Planes) -> float:
    volume = image.shape[2] == 3
    kernel = torch.from_numpy(window() if volume else window().sum(2, keepdims=True))[None, None]

    def mean(values: Planes) -> Planes:
        padding = (5, 5, 5, 5, 5, 5) if volume else (0, 0, 5, 5, 5, 5)
        padded = torch.nn.functional.pad(torch.from_numpy(values)[None, None], padding, mode="replicate")
        local: Planes = torch.nn.functional.conv3d(padded, kernel)[0, 0].numpy()
        return local

    return float(similarity(mean, image, truth).mean())


INDEPENDENT: dict[str, tuple[Similarity, Similarity]] = {
    "gaussian": (by_scikit_image, by_piq),
    "volume": (by_scipy, by_dense_convolution),
}


def test_ssim_agrees_with_independent_implementations(
    pair: tuple[Image, Image], convention: Convention, task: str
) -> None:
    value = ssim(*pair, convention, task)
    planes = [compared(pixels, convention, task) for pixels in pair]
    for independent in INDEPENDENT[convention.ssim]:
        assert value == pytest.approx(independent(planes[0], planes[1]), abs=1e-9)


def test_an_image_larger_than_the_cache_is_put_together_without_seams(task: str) -> None:
    pair = noisy(smooth(350, 130), 20), smooth(350, 130)
    image, truth = (compared(pixels, PAPER, task) for pixels in pair)
    assert ssim(*pair, PAPER, task) == pytest.approx(by_scipy(image, truth), abs=1e-9)
    image, truth = (compared(pixels, MIOIR, task) for pixels in pair)
    assert ssim(*pair, MIOIR, task) == pytest.approx(by_scikit_image(image, truth), abs=1e-9)


def test_psnr_agrees_with_independent_implementations(
    pair: tuple[Image, Image], convention: Convention, task: str
) -> None:
    value = psnr(*pair, convention, task)
    image, truth = (compared(pixels, convention, task) for pixels in pair)
    assert value == pytest.approx(peak_signal_noise_ratio(truth, image, data_range=255), abs=1e-5)
    assert value == pytest.approx(10 * math.log10(255**2 / float(np.mean((image - truth) ** 2))), abs=1e-5)


@pytest.mark.parametrize("name", ["noise", "nothing in common"])
def test_psnr_agrees_with_piq(name: str, convention: Convention, task: str) -> None:
    """Below 30 dB: it adds 1e-8 to the mean squared error."""
    image, truth = (tensor(compared(pixels, convention, task)) for pixels in PAIRS[name])
    assert psnr(*PAIRS[name], convention, task) == pytest.approx(float(piq.psnr(image, truth, 255)), abs=1e-4)


def test_the_volume_is_the_written_formula() -> None:
    """At every pixel, sums over 1331 places, of which those beyond an edge stand for the nearest inside."""
    image, truth = noisy(smooth(7, 13), 20), smooth(7, 13)
    weights = window()

    def at(place: tuple[int, ...]) -> float:
        near = [np.clip(np.arange(-5, 6) + i, 0, size - 1) for i, size in zip(place, image.shape, strict=True)]
        x, y = (pixels[np.ix_(*near)].astype(np.float64) for pixels in (image, truth))
        mu_x, mu_y = (weights * x).sum(), (weights * y).sum()
        var_x, var_y = (weights * (x - mu_x) ** 2).sum(), (weights * (y - mu_y) ** 2).sum()
        cov = (weights * (x - mu_x) * (y - mu_y)).sum()
        return float((2 * mu_x * mu_y + C1) * (2 * cov + C2) / ((mu_x**2 + mu_y**2 + C1) * (var_x + var_y + C2)))

    written = float(np.mean([at(place) for place in np.ndindex(image.shape)]))
    assert ssim(image, truth, PAPER) == pytest.approx(written, abs=1e-12)


def test_conventions_differ_where_they_should() -> None:
    pair = PAIRS["noise"]
    assert psnr(*pair, PAPER, "noise") == psnr(*pair, STANDARD, "rain") == psnr(*pair)
    assert psnr(*pair, PAPER, "rain") == psnr(*pair, PAPER, "Rain100L") == psnr(*pair, Y, "noise") == psnr(*pair, Y)
    values = [ssim(*pair, PAPER, "noise"), ssim(*pair, PAPER, "rain"), *(ssim(*pair, c) for c in (STANDARD, Y, MIOIR))]
    distances = [abs(a - b) for i, a in enumerate(values) for b in values[:i]]
    assert min(distances) > 1e-3
    inner = (pair[0][4:-4, 4:-4], pair[1][4:-4, 4:-4])
    assert psnr(*pair, MIOIR) == psnr(*inner)
    assert ssim(*pair, MIOIR) == pytest.approx(ssim(*inner), abs=1e-12)


def test_what_is_not_8_bit_is_rounded_where_the_convention_says_so() -> None:
    image, truth = PAIRS["noise"]
    between = np.clip(image + np.random.default_rng(4).uniform(-0.49, 0.49, image.shape), 0, 255)
    floating = (between / 255).astype(np.float32)
    assert psnr(floating, truth) == psnr(image, truth)
    assert ssim(floating, truth) == ssim(image, truth)
    exact = 10 * math.log10(1 / float(np.mean((floating.astype(np.float64) - truth / 255) ** 2)))
    assert psnr(floating, truth, FLOATING) == pytest.approx(exact, abs=1e-5)
    assert exact != pytest.approx(psnr(image, truth), abs=1e-4)
    assert ssim(floating, truth, FLOATING) == pytest.approx(
        by_piq(floating * np.float64(255), truth.astype(float)), abs=1e-6
    )
    assert psnr(image, truth, FLOATING) == psnr(image, truth)


def test_equal_images_are_infinitely_close_and_count_as_60_db() -> None:
    _, clean = PAIRS["noise"]
    assert psnr(clean, clean) == math.inf
    scores = Metrics().score(clean, clean, "noise")
    assert scores["standard.psnr"] == scores["paper.psnr"] == CEILING == 60.0
    assert scores["standard.ssim"] == pytest.approx(1.0)
    barely = clean.copy()
    barely[0, 0, 0] ^= 1
    assert math.isfinite(psnr(barely, clean))
    assert Metrics().score(barely, clean)["standard.psnr"] == CEILING


def test_several_conventions_at_once_give_what_each_gives_alone(pair: tuple[Image, Image], task: str) -> None:
    scores = Metrics([*ALL, FLOATING]).score(*pair, task)
    for convention in [*ALL, FLOATING]:
        assert scores.pop(f"{convention.name}.psnr") == min(CEILING, psnr(*pair, convention, task))
        assert scores.pop(f"{convention.name}.ssim") == ssim(*pair, convention, task)
    assert scores == {}


def test_images_are_not_changed_and_may_be_read_only_views() -> None:
    image, truth = (np.flip(np.broadcast_to(pixels, pixels.shape), 1) for pixels in PAIRS["noise"])
    kept = image.copy(), truth.copy()
    assert psnr(image, truth) == pytest.approx(psnr(*PAIRS["noise"]), abs=1e-9)
    Metrics().score(image, truth, "rain")
    assert np.array_equal(image, kept[0])
    assert np.array_equal(truth, kept[1])


def test_a_photo_without_truth_has_no_scores_of_conventions() -> None:
    assert Metrics().score(PAIRS["noise"][0], None, "rain") == {}


@pytest.mark.parametrize(
    ("image", "truth", "convention", "said"),
    [
        (smooth(20, 30), smooth(20, 31), STANDARD, "got an image of 20 x 30 and a truth of 20 x 31 pixels"),
        (smooth(10, 30), smooth(10, 30), STANDARD, "wanted at least 11 x 11 for SSIM's window of 11 x 11"),
        (smooth(18, 30), smooth(18, 30), MIOIR, "got 18 x 30 pixels, wanted at least 19 x 19 .* 'mioir'"),
        (smooth(6, 30), smooth(6, 30), FRAMED, "wanted at least 7 x 7 for a pixel inside the border"),
        (smooth(20, 30)[..., 0], smooth(20, 30)[..., 0], STANDARD, r"got \(20, 30\) uint8, wanted RGB"),
        (smooth(20, 30).astype(np.int16), smooth(20, 30), STANDARD, "int16, wanted RGB"),
        (smooth(20, 30).astype(np.float32), smooth(20, 30), STANDARD, "wanted 0 to 1; clip them"),
        (np.full((20, 30, 3), np.nan, np.float32), smooth(20, 30), STANDARD, "nan to nan"),
    ],
)
def test_what_cannot_be_compared_is_one_line(image: Image, truth: Image, convention: Convention, said: str) -> None:
    with pytest.raises(ShapeError, match=said) as caught:
        ssim(image, truth, convention)
    assert "\n" not in str(caught.value)


def test_the_smallest_image_is_one_window() -> None:
    pair = noisy(smooth(11, 11), 20), smooth(11, 11)
    assert ssim(*pair) == pytest.approx(by_scikit_image(*(pixels.astype(np.float64) for pixels in pair)), abs=1e-9)
    one = smooth(1, 1)
    assert ssim(one, one, PAPER) == pytest.approx(1.0)
    with pytest.raises(ShapeError, match="wanted at least 9 x 9"):
        psnr(smooth(8, 8), smooth(8, 8), MIOIR)


def test_every_convention_says_what_it_is_in_a_sentence_of_its_own() -> None:
    sentences = [convention.says() for convention in (*ALL, FLOATING)]
    assert len(set(sentences)) == len(sentences)
    for convention, sentence in zip((*ALL, FLOATING), sentences, strict=True):
        assert sentence.startswith(f"{convention.name}: ")
        assert sentence.count(". ") == 0
        assert sentence.endswith(".")
    assert "Y (BT.601, 16..235) for tasks with rain" in PAPER.says()
    assert "11 x 11 x 11" in PAPER.says()
    assert "border of 4 px" in MIOIR.says()
    assert CONVENTIONS["paper"] is PAPER


def test_facts_say_what_was_computed() -> None:
    assert Metrics([STANDARD, Y]).facts() == {
        "conventions": {"standard": STANDARD.says(), "y": Y.says()},
        "ceiling": 60.0,
    }


def test_a_convention_asked_for_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="'y' is asked for twice"):
        Metrics([Y, STANDARD, Y])
