"""``vgg``: features of VGG-16 (Simonyan and Zisserman 2015), one of the extractors that the paper compares (Table 7).

The network is torchvision's, up to the layer that is asked for. Its maps are pooled to their mean and standard
deviation over positions, which say how strong a texture is without caring where. A network for objects knows nothing of
damage by itself; with weights of ImageNet it is a comparator, trained here it learns to name the prompts.

Input: a centre crop at native resolution, normalised as ImageNet's images are; a tiny image is padded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unirestorer.core import Prompts
from unirestorer.core.checkpoints import read_state
from unirestorer.core.vision import prepare_torchvision

from .compact import centre_crop
from .configs import VGG_LAYERS, VggConfig
from .published_weights import fill

prepare_torchvision()

from torchvision.models.vgg import cfgs, make_layers  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as torchvision's weights expect them."""


class Vgg(nn.Module):
    """Images (B, 3, H, W) in [0, 1], any H and W, to raw DRs (B, dim); parameters are named as torchvision's."""

    def __init__(self, config: VggConfig) -> None:
        super().__init__()
        self.config = config
        kept = VGG_LAYERS[: VGG_LAYERS.index(config.layer) + 1]
        parts = sum(not name.startswith("relu") for name in kept)
        self.features = make_layers(cfgs["D"][:parts])[: len(kept)]
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @property
    def dim(self) -> int:
        """Width of the representation."""
        maps = max(layer.out_channels for layer in self.features if isinstance(layer, nn.Conv2d))
        return int(maps * len(self.config.pooling.split("+")))

    def forward(self, images: Tensor) -> Tensor:
        """Raw, un-normalised DRs."""
        crop = centre_crop(images, self.config.crop)
        mean, std = (crop.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        maps: Tensor = self.features((crop - mean) / std)
        pools = {"mean": lambda: maps.mean((2, 3)), "std": lambda: maps.std((2, 3), correction=0)}
        return torch.cat([pools[name]() for name in self.config.pooling.split("+")], dim=1)


class Classification(nn.Module):
    """The training objective: forward(images, prompt) is the cross-entropy of a linear layer that no DR knows of."""

    def __init__(self, extractor: Any, prompts: Prompts) -> None:
        super().__init__()
        self.extractor = extractor
        self.head = nn.Sequential(nn.LayerNorm(extractor.dim), nn.Linear(extractor.dim, len(prompts.pairs)))

    def forward(self, images: Tensor, prompt: Tensor) -> Tensor:
        """``prompt`` (B,) int64 indexes ``Prompts.pairs``."""
        return cross_entropy(self.head(self.extractor(images)), prompt)


def load_weights(extractor: Vgg, config: VggConfig) -> None:
    """Put the weights that ``config`` names into ``extractor``; raises ``UniRestorerError`` where they do not fit."""
    if config.weights is not None:
        state = read_state(config.weights)
        fill(extractor, state, config.weights, "wanted VGG-16 (without batch normalisation) as torchvision names it")
