"""Filters on single images (C, H, W): convolution by FFT, box and guided filters. Any H, W >= 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def fast_length(length: int) -> int:
    """The smallest product of powers of 2, 3 and 5 that is >= ``length``: FFT sizes free of large primes."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def pad(image: Tensor, radius: int) -> Tensor:
    """(C, H, W) with ``radius`` more pixels on each side: reflected, or replicated along a side that is too short."""
    height, width = image.shape[-2:]
    vertical = "reflect" if radius < height else "replicate"
    horizontal = "reflect" if radius < width else "replicate"
    rows = F.pad(image[None], (0, 0, radius, radius), mode=vertical)
    return F.pad(rows, (radius, radius, 0, 0), mode=horizontal)[0]


def convolve(image: Tensor, kernel: Tensor) -> Tensor:
    """True (flipped) convolution of (C, H, W) with a (k, k) kernel, k odd; borders as in ``pad``; output (C, H, W).

    Computed channel by channel through the FFT: its cost does not depend on k; rounding is about 1e-7 of the maximum.
    """
    radius = kernel.shape[-1] // 2
    height, width = image.shape[-2:]
    padded = pad(image, radius)
    size = [fast_length(length) for length in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(kernel.to(image), s=size)
    window = (slice(2 * radius, 2 * radius + height), slice(2 * radius, 2 * radius + width))
    return torch.stack([torch.fft.irfft2(torch.fft.rfft2(channel, s=size) * spectrum, s=size)[window] for channel in padded])


def _sums(image: Tensor, radius: int) -> Tensor:
    sums = F.pad(image, (radius + 1, radius)).cumsum(-1)
    return sums[..., 2 * radius + 1 :] - sums[..., : -2 * radius - 1]


def box(image: Tensor, radius: int) -> Tensor:
    """Mean over the (2 radius + 1)^2 window, counting only pixels inside the image."""
    rows = _sums(image, radius) / _sums(torch.ones_like(image[..., :1, :]), radius)
    columns = rows.transpose(-1, -2)
    return (_sums(columns, radius) / _sums(torch.ones_like(columns[..., :1, :]), radius)).transpose(-1, -2).contiguous()


def guided(image: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Guided filter (He, Sun, Tang 2010) of ``image`` (H, W) by a gray ``guide`` (H, W) in [0, 1]: smooth, keeps edges."""
    mean_guide, mean_image = box(guide, radius), box(image, radius)
    slope = (box(guide * image, radius) - mean_guide * mean_image) / (
        (box(guide * guide, radius) - mean_guide**2).clamp_min(0.0) + eps
    )
    return box(slope, radius) * guide + box(mean_image - slope * mean_guide, radius)


def luminance(image: Tensor) -> Tensor:
    """BT.601 luma (H, W) of an sRGB image (3, H, W)."""
    return 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
