"""One small plugin of each kind that keeps every rule, made to be broken in one place."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unirestorer.core import (
    ClustererSpec,
    Config,
    ExpertSpec,
    ExtractorSpec,
    Params,
    Prompts,
    SizeRequirement,
    SynthesizerSpec,
)
from unirestorer.core.errors import ShapeError
from unirestorer.core.hierarchy import Hierarchy


class FogConfig(Config):
    strength: tuple[float, float] = (0.2, 0.8)


class Fog:
    """Mixes noise in."""

    def __init__(self, config: FogConfig) -> None:
        self.config = config

    def sample(self, n: int, generator: torch.Generator) -> Params:
        low, high = self.config.strength
        strength = low + (high - low) * torch.rand(n, generator=generator)
        return {"strength": strength, "seed": torch.randint(2**31, (n,), generator=generator)}

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        out = torch.empty_like(clean, memory_format=torch.contiguous_format)
        for item, (strength, seed) in enumerate(zip(params["strength"].tolist(), params["seed"].tolist(), strict=True)):
            out[item] = self.damage(clean[item].contiguous(), strength, seed)
        return out

    def damage(self, image: Tensor, strength: float, seed: int) -> Tensor:
        noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed))
        return image * (1 - strength) + strength * noise

    def degree(self, params: Params) -> list[str]:
        return ["heavy" if strength > 0.5 else "light" for strength in params["strength"].tolist()]


def fog(build: Any = Fog, **fields: Any) -> SynthesizerSpec[Any]:
    defaults = {"name": "fog", "summary": "noise mixed in", "config": FogConfig}
    return SynthesizerSpec(**{**defaults, "build": build, "identity": FogConfig(strength=(0, 0)), **fields})


class ProbeConfig(Config):
    width: int = 8


class Probe(nn.Module):
    """Moments of a convolution."""

    dim: Any = 8
    shift: Tensor

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.project = nn.Linear(16, config.width)
        self.register_buffer("shift", torch.zeros(config.width))

    def forward(self, images: Tensor) -> Tensor:
        x = self.features(images)
        dr: Tensor = self.project(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
        return dr - self.shift


class Matching(nn.Module):
    """Cross-entropy against one learned embedding per prompt."""

    def __init__(self, extractor: nn.Module, prompts: Prompts) -> None:
        super().__init__()
        self.extractor = extractor
        self.prompt = nn.Parameter(torch.randn(len(prompts.pairs), 8))

    def forward(self, images: Tensor, prompt: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.extractor(images) @ self.prompt.T, prompt)


def start(extractor: Probe, config: ProbeConfig) -> None:
    """What a file of weights would do."""
    nn.init.constant_(extractor.project.bias, 0.5)


def centre(extractor: Probe, batches: Iterable[Tensor]) -> None:
    """DRs have the mean 0 afterwards."""
    extractor.shift.add_(torch.cat([extractor(images) for images in batches]).mean(0))


def coded(extractor: Probe, prompts: Prompts) -> Tensor:
    return torch.eye(len(prompts.pairs), int(extractor.dim))


def probe(build: Any = Probe, **fields: Any) -> ExtractorSpec[Any]:
    defaults = {"name": "probe", "summary": "moments", "config": ProbeConfig, "objective": Matching}
    given = {"pretrained": start, "files": lambda config: [], "calibrate": centre, "labelled": coded}
    return ExtractorSpec(**{**defaults, **given, "build": build, **fields})


EVEN = SizeRequirement(2, 2)


class MenderConfig(Config):
    width: int = 8


class Mender(nn.Module):
    """Two convolutions at half resolution around a residual connection."""

    def __init__(self, config: MenderConfig) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(12, config.width, 3, padding=1), nn.Conv2d(config.width, 12, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.head(nn.functional.pixel_unshuffle(images, 2)))
        return images + nn.functional.pixel_shuffle(self.tail(x), 2)


def mender(build: Any = Mender, size: SizeRequirement = EVEN, **fields: Any) -> ExpertSpec[Any]:
    defaults = {"name": "mender", "summary": "two convolutions", "config": MenderConfig}
    return ExpertSpec(**{**defaults, "build": build, "size": size, **fields})


class Gain(nn.Module):
    """An adapter: a factor for every convolution of its base."""

    def __init__(self, config: MenderConfig, base: nn.Module) -> None:
        super().__init__()
        self.kept: tuple[nn.Module, ...] = (base.eval().requires_grad_(False),)
        layers = [name for name, layer in base.named_modules() if isinstance(layer, nn.Conv2d)]
        self.names = [f"{name}.weight" for name in layers]
        self.gains = nn.Parameter(torch.zeros(len(layers)))

    def weights(self, base: nn.Module) -> dict[str, Tensor]:
        return {name: base.get_parameter(name) * (1 + gain) for name, gain in zip(self.names, self.gains, strict=True)}

    def forward(self, images: Tensor) -> Tensor:
        (base,) = self.kept
        restored: Tensor = torch.func.functional_call(base, self.weights(base), (images,))
        return restored

    def merged(self) -> nn.Module:
        network = copy.deepcopy(self.kept[0])
        with torch.no_grad():
            for name, weight in self.weights(network).items():
                network.get_parameter(name).copy_(weight)
        return network


def gain(over: Any = Gain, **fields: Any) -> ExpertSpec[Any]:
    defaults = {"name": "gain", "summary": "louder convolutions", "config": MenderConfig}
    return ExpertSpec(**{**defaults, "over": over, **fields})


class HalvesConfig(Config):
    column: int = 0


class Halves:
    """A root and two leaves: the lower and the upper half of the samples along one column."""

    hierarchy_: Hierarchy

    def __init__(self, config: HalvesConfig) -> None:
        self.config = config

    def fit(self, dr: NDArray[np.float32]) -> Halves:
        if len(dr) < 2 or not np.isfinite(dr).all():
            raise ShapeError(f"halves: got {len(dr)} DRs, wanted at least 2, all finite")
        half = np.zeros(len(dr), dtype=np.int32)
        half[self.order(dr)[len(dr) // 2 :]] = 1
        self.hierarchy_ = self.tree(dr, half)
        return self

    def order(self, dr: NDArray[np.float32]) -> NDArray[np.intp]:
        return np.argsort(dr[:, self.config.column], kind="stable")

    def tree(self, dr: NDArray[np.float32], half: NDArray[np.int32]) -> Hierarchy:
        return Hierarchy(
            parent=np.array([-1, 0, 0], dtype=np.int32),
            level=np.array([0, 1, 1], dtype=np.int32),
            centroid=np.stack([dr.mean(0), *(dr[half == side].mean(0) for side in (0, 1))]).astype(np.float32),
            assign=np.stack([np.zeros_like(half), half + 1], axis=1),
            normalize=False,
        )


def halves(build: Any = Halves, **fields: Any) -> ClustererSpec[Any]:
    defaults = {"name": "halves", "summary": "two halves", "config": HalvesConfig}
    return ClustererSpec(**{**defaults, "build": build, **fields})
