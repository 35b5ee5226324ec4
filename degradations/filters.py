"""Filters on single images (C, H, W): convolution by FFT, box and guided filters. Any H, W >= 1.

Results do not depend on the number of threads. Torch's ``pow``, ``hypot``, ``lerp`` and complex product round
differently at the end of a thread's share than inside it, and full sums add up in another order; so these are spelled
out here in operations that are exact or the same everywhere.
"""

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
    spectrum = torch.view_as_real(torch.fft.rfft2(kernel.to(image), s=size))
    window = (slice(2 * radius, 2 * radius + height), slice(2 * radius, 2 * radius + width))
    product = [_product(torch.view_as_real(torch.fft.rfft2(channel, s=size)), spectrum) for channel in padded]
    return torch.stack([torch.fft.irfft2(channel, s=size)[window] for channel in product])


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The complex product of two (..., 2) real views."""
    real = a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1]
    return torch.complex(real, a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0])


def power(base: Tensor, exponent: float) -> Tensor:
    """``base ** exponent`` for base >= 0 and exponent > 0; exactly ``base`` to the 0 is 1 and to the 1 is ``base``."""
    if exponent in (0.0, 1.0):
        return base if exponent else torch.ones_like(base)
    return torch.exp(exponent * torch.log(base))


def mean(image: Tensor) -> Tensor:
    """The mean of (H, W), summed row by row."""
    return image.mean(1).mean(0)


def _means(image: Tensor, radius: int) -> Tensor:
    """Running means over 2 radius + 1 columns (H, W), counting only columns inside the image."""
    width = image.shape[-1]
    ends = F.pad(F.pad(image.cumsum(1), (1, 0))[None], (radius, radius), mode="replicate")[0]
    place = torch.arange(width, device=image.device)
    count = (place + radius + 1).clamp_max(width) - (place - radius).clamp_min(0)
    return (ends[:, 2 * radius + 1 :] - ends[:, :width]) / count


def box(image: Tensor, radius: int) -> Tensor:
    """Mean of (H, W) over the (2 radius + 1)^2 window, counting only pixels inside the image."""
    return _means(_means(image, radius).t().contiguous(), radius).t().contiguous()


def guided(image: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Guided filter (He, Sun, Tang 2010) of ``image`` (H, W) by a gray ``guide`` (H, W): keeps its edges."""
    mean_guide = box(guide, radius)
    variance = (box(guide * guide, radius) - mean_guide * mean_guide).clamp_min(0.0)
    if image is guide:
        mean_image, covariance = mean_guide, variance
    else:
        mean_image = box(image, radius)
        covariance = box(guide * image, radius) - mean_guide * mean_image
    slope = covariance / (variance + eps)
    return box(slope, radius) * guide + box(mean_image - slope * mean_guide, radius)


def luminance(image: Tensor) -> Tensor:
    """BT.601 luma (H, W) of an sRGB image (3, H, W)."""
    return 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
