"""PSNR and SSIM of an image against its truth, in any ``Convention``; ``Metrics`` computes several at once.

PSNR is torchmetrics'. SSIM is not: torchmetrics' mean takes in mirrored edges, its float32 is off by up to 2e-3 on flat
images, and its float64 takes eighty times as long as the separable window here (docs/metrics.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError, ShapeError
from ..vision import prepare_torchvision
from .conventions import PAPER, STANDARD, Convention
from .learned import Iqa, Lpips

Pixels = NDArray[np.uint8] | NDArray[np.floating[Any]]
"""RGB (H, W, 3): uint8, or floating point in [0, 1]."""

CEILING = 60.0
"""dB: what ``Metrics`` counts at most, so that one image that equals its truth leaves a mean finite."""

WINDOW = 11
"""Pixels along each side of SSIM's Gaussian window."""

_SIGMA = 1.5
_STRIP = 2**15  # pixels whose sums fit into a processor's cache
_RADIUS = WINDOW // 2
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # (K1 L)^2 and (K2 L)^2 of Wang et al. 2004
_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # ITU-R BT.601, studio range: black is 16, white 235


def psnr(image: Pixels, truth: Pixels, convention: Convention = STANDARD, task: str | None = None) -> float:
    """Peak signal-to-noise ratio in dB (peak 255) of ``image`` against ``truth``; infinite where they are equal.

    Raises ``ShapeError`` where shapes differ, values are not ``Pixels``, or the border leaves nothing.
    """
    return _Pair(image, truth).psnr(convention, convention.on_luma(task))


def ssim(image: Pixels, truth: Pixels, convention: Convention = STANDARD, task: str | None = None) -> float:
    """Structural similarity of ``image`` to ``truth``, at most 1 (Wang et al. 2004, equation 13; K1 0.01, K2 0.03).

    Raises ``ShapeError`` as ``psnr`` does, and where the image is smaller than the window.
    """
    return _Pair(image, truth).ssim(convention, convention.on_luma(task))


class Metrics:
    """Scores images in several conventions at once, and by learned metrics.

    conventions: distinct names. lpips: weights of LPIPS's backbone (``Lpips``), else it is left out. iqa: names of
    metrics of pyiqa (``Iqa``). Raises ``ConfigError`` where two have one name, and what ``Lpips`` and ``Iqa`` raise.
    """

    def __init__(
        self,
        conventions: Sequence[Convention] = (STANDARD, PAPER),
        lpips: Path | None = None,
        iqa: Sequence[str] = (),
    ) -> None:
        learned = ["lpips"] * (lpips is not None) + list(iqa)
        for names in ([c.name for c in conventions], learned):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ConfigError(f"metrics: '{twice[0]}' is asked for twice; leave one out")
        self.conventions = tuple(conventions)
        self.learned: tuple[Lpips | Iqa, ...] = (
            *([Lpips(lpips)] if lpips is not None else []),
            *(Iqa(name) for name in iqa),
        )

    def facts(self) -> dict[str, Any]:
        """What scores were computed with, as JSON values: sentences of conventions, versions, hashes of weights."""
        facts: dict[str, Any] = {"conventions": {c.name: c.says() for c in self.conventions}, "ceiling": CEILING}
        return facts | {m.name: {"lower_better": m.lower_better, **m.facts()} for m in self.learned}

    def score(self, restored: Pixels, truth: Pixels | None, task: str | None = None) -> dict[str, float]:
        """Scores of ``restored`` (H, W, 3) by "convention.psnr", "convention.ssim", "lpips" and names of pyiqa.

        PSNR is ``CEILING`` at most. Learned metrics see the 8-bit image. Without a truth, the ones that need none.
        Raises ``ShapeError`` as ``ssim`` does.
        """
        scores: dict[str, float] = {}
        if truth is not None:
            pair = _Pair(restored, truth)
            for convention in self.conventions:
                luma = convention.on_luma(task)
                scores[f"{convention.name}.psnr"] = min(CEILING, pair.psnr(convention, luma))
                scores[f"{convention.name}.ssim"] = pair.ssim(convention, luma)
        return scores | self._learned(restored, truth)

    def _learned(self, restored: Pixels, truth: Pixels | None) -> dict[str, float]:
        metrics = [metric for metric in self.learned if truth is not None or not metric.needs_truth]
        if not metrics:
            return {}
        _check(restored)
        image, target = _unit(restored), None if truth is None else _unit(truth)
        return {metric.name: metric(image, target) for metric in metrics}


class _Pair:
    """An image and its truth; what several conventions need is computed once, in 160 bytes a pixel."""

    def __init__(self, image: Pixels, truth: Pixels) -> None:
        for pixels in (image, truth):
            _check(pixels)
        if image.shape != truth.shape:
            raise ShapeError(
                f"metrics: got an image of {_size(image.shape)} and a truth of {_size(truth.shape)} pixels, "
                "wanted equal sizes; crop or resize one of them"
            )
        self._pixels = (image, truth)
        self._eight_bit = image.dtype == truth.dtype == np.uint8
        self._views: dict[tuple[bool, bool], _View] = {}

    def psnr(self, convention: Convention, luma: bool) -> float:
        self._check_size(convention, 1, "a pixel inside the border")
        return self._view(convention, luma).psnr(convention.border)

    def ssim(self, convention: Convention, luma: bool) -> float:
        if convention.ssim == "volume":
            self._check_size(convention, 1, "a pixel inside the border")
            return self._view(convention, luma).volume_ssim(convention.border)
        self._check_size(convention, WINDOW, f"SSIM's window of {WINDOW} x {WINDOW}")
        return self._view(convention, luma).gaussian_ssim(convention.border)

    def _view(self, convention: Convention, luma: bool) -> _View:
        rounded = convention.rounded or self._eight_bit
        if (luma, rounded) not in self._views:
            if luma:
                colours = self._view(convention, False)
                self._views[luma, rounded] = _View(_luma(colours.image), _luma(colours.truth))
            else:
                self._views[luma, rounded] = _View(*(_planes(pixels, rounded) for pixels in self._pixels))
        return self._views[luma, rounded]

    def _check_size(self, convention: Convention, inside: int, why: str) -> None:
        size, least = self._pixels[0].shape[:2], inside + 2 * convention.border
        if min(size) < least:
            raise ShapeError(
                f"metrics: got {_size(size)} pixels, wanted at least {least} x {least} for {why} in convention "
                f"'{convention.name}'; leave out the image or the convention"
            )


class _View:
    """image, truth: the channels that are compared, (C, H, W) float64 of 0..255."""

    def __init__(self, image: Tensor, truth: Tensor) -> None:
        self.image, self.truth = image, truth

    def psnr(self, border: int) -> float:
        return _psnr(_crop(self.image, border), _crop(self.truth, border))

    def gaussian_ssim(self, border: int) -> float:
        """Windows that lie inside are the same with and without what is beyond the edges."""
        return float(_crop(self._ssim[0], border + _RADIUS).mean())

    def volume_ssim(self, border: int) -> float:
        inside = _View(_crop(self.image, border), _crop(self.truth, border)) if border else self
        return inside._ssim[1]

    @cached_property
    def _ssim(self) -> tuple[Tensor, float]:
        """At every pixel (C, H, W), by windows over height and width; the mean by windows over the colours, too.

        Edges repeated. Strip by strip, as much as the processor's cache holds.
        """
        x, y = (
            functional.pad(planes[None], (_RADIUS,) * 4, mode="replicate")[0] for planes in (self.image, self.truth)
        )
        everywhere, total = torch.empty_like(self.image), 0.0
        rows = max(1, _STRIP // self.image.shape[2])
        for top in range(0, self.image.shape[1], rows):
            strip = slice(top, top + rows + 2 * _RADIUS)
            moments = _moments(x[:, strip], y[:, strip])
            everywhere[:, top : top + rows] = _similarity(moments)
            if len(x) == 3:
                moments = torch.einsum("dc,mchw->mdhw", _across_colours(), moments)
            total += float(_similarity(moments).sum())
        return everywhere, total / everywhere.numel()


def _check(pixels: Pixels) -> None:
    shape, dtype = pixels.shape, pixels.dtype
    fits = len(shape) == 3 and shape[-1] == 3 and (dtype == np.uint8 or np.issubdtype(dtype, np.floating))
    if not fits:
        raise ShapeError(f"metrics: got {shape} {dtype}, wanted RGB (H, W, 3), uint8 or floating point in [0, 1]")
    if dtype != np.uint8 and not (pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 1):
        raise ShapeError(
            f"metrics: got {dtype} values from {pixels.min():g} to {pixels.max():g}, "
            "wanted 0 to 1; clip them, or give uint8"
        )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _planes(pixels: Pixels, rounded: bool) -> Tensor:
    """(3, H, W) float64 of 0..255; rounded as images are saved, in float32."""
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels.astype(np.float32) * np.float32(255)) if rounded else pixels.astype(np.float64) * 255
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float64, order="C"))


def _unit(pixels: Pixels) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1], of the 8-bit image."""
    return (_planes(pixels, rounded=True) / 255)[None].float()


def _luma(planes: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, dtype=torch.float64)
    return 16 + torch.einsum("c,chw->hw", weights, planes)[None]


def _crop(planes: Tensor, border: int) -> Tensor:
    return planes[..., border : planes.shape[-2] - border, border : planes.shape[-1] - border]


def _psnr(image: Tensor, truth: Tensor) -> float:
    if torch.equal(image, truth):
        return math.inf
    prepare_torchvision()  # torchmetrics imports torchvision where it is installed
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(image, truth, data_range=255.0))


@cache
def _weights() -> tuple[float, ...]:
    """The Gaussian window along one axis, sum 1."""
    values = [math.exp(-((i - _RADIUS) ** 2) / (2 * _SIGMA**2)) for i in range(WINDOW)]
    return tuple(value / sum(values) for value in values)


@cache
def _across_colours() -> Tensor:
    """(3, 3): the window along the colour axis, on which the outer channels repeat: row d makes channel d."""
    matrix = torch.zeros(3, 3, dtype=torch.float64)
    for channel in range(3):
        for tap, weight in enumerate(_weights()):
            matrix[channel, min(max(channel + tap - _RADIUS, 0), 2)] += weight
    return matrix


def _moments(x: Tensor, y: Tensor) -> Tensor:
    """(4, C, h, w): local means of x, y, x^2 + y^2 and x y, (C, h + 10, w + 10), under the Gaussian window."""
    values = torch.stack([x, y, x * x + y * y, x * y])
    return _along(_along(values, 3), 2)


def _along(padded: Tensor, axis: int) -> Tensor:
    """Correlation with the symmetric window along ``axis``, at the positions that have all of it."""
    size = padded.shape[axis] - 2 * _RADIUS
    result = padded.narrow(axis, _RADIUS, size) * _weights()[_RADIUS]
    for tap in range(_RADIUS):
        both = padded.narrow(axis, tap, size) + padded.narrow(axis, WINDOW - 1 - tap, size)
        result.add_(both, alpha=_weights()[tap])
    return result


def _similarity(moments: Tensor) -> Tensor:
    """SSIM at every pixel (C, H, W). Needs the sum of both variances alone."""
    mean_x, mean_y, squares, product = moments.unbind()
    means, both = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    return (2 * means + _C1) * (2 * (product - means) + _C2) / ((both + _C1) * (squares - both + _C2))
