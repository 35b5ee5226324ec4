"""``compact``: a small convolutional DR extractor trained contrastively on type and degree.

The paper's fine-grained extractor (section 3.2) aligns image embeddings with the text embeddings of prompts such as
"small noise". Here every prompt has a learned embedding instead of a text tower's. Two terms, both multi-positive: a
softmax over prompt embeddings (equal prompts are one class, never negatives of each other) and a supervised
contrastive term between images (Khosla et al. 2020), each over prompts and over types.

Input: a centre crop at native resolution, never resized, since resizing erases noise and compression marks.
Pixel-unshuffle keeps the finest detail; mean and standard deviation over positions describe texture without caring
where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import cross_entropy, max_pool2d, normalize, pixel_unshuffle

from unirestorer.core import Prompts

from .configs import CompactConfig

if TYPE_CHECKING:
    from torch import Tensor


def centre_crop(images: Tensor, side: int) -> Tensor:
    """The middle (side, side) of images (B, 3, H, W), or less where they are smaller; tiny ones are padded to 32 px."""
    height, width = images.shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    crop = images[..., top : top + side, left : left + side]
    short_y, short_x = max(0, 32 - crop.shape[-2]), max(0, 32 - crop.shape[-1])
    crop = nn.functional.pad(crop, (0, short_x, 0, short_y), mode="replicate")
    return crop[..., : crop.shape[-2] // 2 * 2, : crop.shape[-1] // 2 * 2]


def _convolution(narrow: int, wide: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(narrow, wide, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]


def blocking(images: Tensor) -> Tensor:
    """Traces of the JPEG grid in images (B, 3, H, W), (B, 80): how much steeper the image is at each phase of it.

    The excess of the absolute difference of neighbours over the mean of its two neighbours, averaged along the grid
    line and folded by the grid's period: 8 px in luma, 16 px in the halved chroma. Sorted over phases, so that a crop
    may begin anywhere. After Wang, Bovik, Evan (2000), "Blind measurement of blocking artifacts in images".
    """
    luma = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    planes = ((luma, 8), (images[:, 2] - luma, 16), (images[:, 0] - luma, 16))
    parts = []
    for plane, period in planes:
        for lines in (plane, plane.transpose(1, 2)):
            step = (lines[:, :, 1:] - lines[:, :, :-1]).abs()
            excess = step[:, :, 1:-1] - 0.5 * (step[:, :, :-2] + step[:, :, 2:])
            profile = excess.clamp(-0.05, 0.05).mean(1)  # (B, W - 3)
            whole = profile.shape[1] // period * period
            folded = profile[:, :whole].reshape(len(profile), -1, period).mean(1)
            parts.append(folded.sort(dim=1).values)
    return 100 * torch.cat(parts, dim=1)


def _moments(maps: Tensor) -> list[Tensor]:
    """Mean and standard deviation over positions, each (B, C)."""
    return [maps.mean((2, 3)), maps.std((2, 3), correction=0)]


class CompactExtractor(nn.Module):
    """Images (B, 3, H, W) in [0, 1], any H and W, to raw DRs (B, dim)."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        layers = _convolution(12, config.widths[0], 1)
        for narrow, wide in zip(config.widths[:-1], config.widths[1:], strict=True):
            layers += _convolution(narrow, wide, 2)
        last = config.widths[-1]
        layers += _convolution(last, last, 1)
        self.features = nn.Sequential(*layers)
        inside = 2 * (last + 12 + 2) + 80
        self.project = nn.Sequential(
            nn.BatchNorm1d(inside), nn.Linear(inside, 2 * config.dim), nn.ReLU(), nn.Linear(2 * config.dim, config.dim)
        )

    @property
    def dim(self) -> int:
        """Width of the representation."""
        return self.config.dim

    def forward(self, images: Tensor) -> Tensor:
        """Raw, un-normalised DRs."""
        crop = centre_crop(images, self.config.crop)
        x = pixel_unshuffle(crop, 2) - 0.5  # (B, 12, h, w)
        dark = -max_pool2d(-x.amin(1, keepdim=True), 8, ceil_mode=True)  # dark channel: high in haze (He et al. 2009)
        bright = max_pool2d(x.amax(1, keepdim=True), 8, ceil_mode=True)  # bright channel: low in low light
        parts = [*_moments(self.features(x)), *_moments(x), *_moments(dark), *_moments(bright), blocking(crop)]
        dr: Tensor = self.project(torch.cat(parts, dim=1))
        return dr


class PromptContrast(nn.Module):
    """The training objective: forward(images, prompt) is a scalar loss."""

    def __init__(self, extractor: CompactExtractor, prompts: Prompts) -> None:
        super().__init__()
        self.extractor = extractor
        self.temperature = extractor.config.temperature
        self.prompt = nn.Parameter(torch.empty(len(prompts.pairs), extractor.dim))
        self.kind = nn.Parameter(torch.empty(len(prompts.types), extractor.dim))
        for table in (self.prompt, self.kind):
            nn.init.normal_(table)
        self.register_buffer("type_of", torch.tensor(prompts.type_of), persistent=False)

    def forward(self, images: Tensor, prompt: Tensor) -> Tensor:
        """``prompt`` (B,) int64 indexes ``Prompts.pairs``."""
        dr = normalize(self.extractor(images), dim=1)
        kind = self.type_of[prompt]  # type: ignore[index]
        by_prompt = cross_entropy(dr @ normalize(self.prompt, dim=1).T / self.temperature, prompt)
        by_type = cross_entropy(dr @ normalize(self.kind, dim=1).T / self.temperature, kind)
        between = self._contrast(dr, prompt) + self._contrast(dr, kind)
        return by_type + 0.5 * by_prompt + 0.25 * between

    def _contrast(self, dr: Tensor, label: Tensor) -> Tensor:
        """Supervised contrastive loss: every pair of equal label is a positive; zero where a batch has none."""
        own = torch.eye(len(dr), dtype=torch.bool, device=dr.device)
        logits = (dr @ dr.T / self.temperature).masked_fill(own, -1e9)
        positive = (label[:, None] == label[None]) & ~own
        log_probability = logits - logits.logsumexp(dim=1, keepdim=True)
        count = positive.sum(1)
        per_item = -(log_probability * positive).sum(1) / count.clamp(min=1)
        return per_item.sum() / (count > 0).sum().clamp(min=1)
