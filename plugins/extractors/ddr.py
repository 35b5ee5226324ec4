"""``ddr``: deep degradation representations (Liu et al. 2021, arXiv 2108.00406), which the paper compares (Table 7).

A network for x4 super-resolution that only ever saw clean photos tells damages apart in its deep features. The DR is
what the last block of its body makes of the photo, taken for a small image: mean and standard deviation over positions,
then the first principal components of these over training samples. The largest entry of a component is positive.

Trained here with L1 on the truth of the samples and bicubic small versions of it, as the networks of the paper are.
Input: a centre crop at native resolution.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss

from unirestorer.core.checkpoints import read_state
from unirestorer.core.errors import ConfigError

from .compact import centre_crop
from .configs import DdrConfig
from .published_weights import WHERE, fill
from .superresolution import RRDBNet, SRResNet, current_names


class Ddr(nn.Module):
    """Images (B, 3, H, W) in [0, 1], any H and W, to raw DRs (B, dim). ``network`` has BasicSR's parameter names.

    The principal components (dim, 2 * width) and the mean (2 * width,) that is taken off first are buffers.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, config: DdrConfig) -> None:
        super().__init__()
        self.config = config
        self.network: SRResNet | RRDBNet
        if config.arch == "srresnet":
            self.network = SRResNet(config.width, config.blocks or 16)
        else:
            self.network = RRDBNet(config.width, config.blocks or 23, config.growth)
        self.register_buffer("mean", torch.zeros(2 * config.width))
        self.register_buffer("components", torch.eye(config.dim, 2 * config.width))

    @property
    def dim(self) -> int:
        """Width of the representation."""
        return self.config.dim

    def forward(self, images: Tensor) -> Tensor:
        """Raw, un-normalised DRs."""
        return (self.pooled(images) - self.mean) @ self.components.T

    def pooled(self, images: Tensor) -> Tensor:
        """Mean and standard deviation over positions, (B, 2 * width), of the maps after the last block of the body."""
        maps = self.network.deep(centre_crop(images, self.config.crop))
        return torch.cat([maps.mean((2, 3)), maps.std((2, 3), correction=0)], dim=1)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Find mean and components of ``batches`` of images (b, 3, H, W)."""
        rows = torch.cat([self.pooled(images) for images in batches]).double()
        mean = rows.mean(0)
        _, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        first = vectors.flip(1).T[: self.dim]
        largest = first.gather(1, first.abs().argmax(1, keepdim=True))
        self.mean.copy_(mean)
        self.components.copy_(first * largest.sign())


class SuperResolution(nn.Module):
    """The training objective: forward(clean) is the L1 error of clean crops restored from a quarter of their size."""

    def __init__(self, extractor: Ddr) -> None:
        super().__init__()
        self.network = extractor.network

    def forward(self, clean: Tensor) -> Tensor:
        """``clean`` (B, 3, H, W) in [0, 1]; what H and W exceed a multiple of 4 by is cut off."""
        height, width = (side // 4 * 4 for side in clean.shape[-2:])
        clean = clean[..., :height, :width]
        small = interpolate(clean, (height // 4, width // 4), mode="bicubic", antialias=True).clamp(0, 1)
        return l1_loss(self.network(small).float(), clean)


def load_weights(extractor: Ddr, config: DdrConfig) -> None:
    """Put the weights that ``config`` names into ``extractor``; raises ``UniRestorerError`` where they do not fit."""
    if config.weights is None:
        return
    remedy = "wanted x4 weights with BasicSR's names; set arch, width, blocks and growth to theirs"
    state = current_names(read_state(config.weights))
    beyond = next((name for name in state if name not in extractor.network.state_dict()), None)
    fill(extractor.network, state, config.weights, remedy)
    if beyond is not None:
        raise ConfigError(f"{WHERE}: {config.weights}: unknown parameter '{beyond}'; {remedy}")
