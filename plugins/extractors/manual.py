"""``manual``: the labels that come with the data set, the "manual dataset split" that the paper compares (Table 7).

A prompt (type and degree) has a code: one of its type, and ``degree`` times one of the prompt itself, so that types are
farther apart than the degrees of one. Training samples get the code of their label. A photo without a label gets the
expected code under a small classifier's guess (the features of ``compact``, trained by cross-entropy on prompts):
the routers are fitted to that, too. A damage that was not trained on has no code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unirestorer.core import Prompts
from unirestorer.core.errors import ConfigError

from .compact import CompactExtractor
from .configs import CompactConfig, ManualConfig

WIDTH = 64
"""Of the features that the classifier sees."""


class Manual(nn.Module):
    """Images (B, 3, H, W) in [0, 1], any H and W, to expected codes (B, types + prompts).

    Buffers: ``codes`` (prompts, types + prompts) and ``used`` (prompts,) bool, the slots that have a prompt; all of
    them until there are labels.
    """

    codes: Tensor
    used: Tensor

    def __init__(self, config: ManualConfig) -> None:
        super().__init__()
        self.config = config
        self.features = CompactExtractor(CompactConfig(crop=config.crop, widths=config.widths, dim=WIDTH))
        self.head = nn.Linear(WIDTH, config.prompts)
        own = config.degree * torch.eye(config.prompts)
        self.register_buffer("codes", torch.cat([torch.zeros(config.prompts, config.types), own], dim=1))
        self.register_buffer("used", torch.ones(config.prompts, dtype=torch.bool))

    @property
    def dim(self) -> int:
        """Width of the representation."""
        return self.config.types + self.config.prompts

    def logits(self, images: Tensor) -> Tensor:
        """Of the prompts, (B, prompts); minus infinity where a slot has none."""
        guess: Tensor = self.head(self.features(images))
        return guess.masked_fill(~self.used, -torch.inf)

    def forward(self, images: Tensor) -> Tensor:
        """The expected codes."""
        return self.logits(images).softmax(dim=1) @ self.codes

    def encode(self, prompts: Prompts) -> Tensor:
        """Codes (P, types + prompts) of ``prompts``; raises ``ConfigError`` for more than there are slots."""
        for name, found in (("types", prompts.types), ("prompts", prompts.pairs)):
            slots = getattr(self.config, name)
            if len(found) > slots:
                raise ConfigError(f"extractor.config.{name}: got {len(found)} {name}, wanted at most {slots}; raise it")
        codes = self.codes.new_zeros(len(prompts.pairs), self.dim)
        rows = torch.arange(len(codes))
        codes[rows, torch.tensor(prompts.type_of)] = 1
        codes[rows, self.config.types + rows] = self.config.degree
        return codes

    @torch.no_grad()
    def assign(self, prompts: Prompts) -> None:
        """Give each of ``prompts`` its slot."""
        codes = self.encode(prompts)
        self.codes[: len(codes)] = codes
        self.used[:] = torch.arange(len(self.used)) < len(codes)


class Guess(nn.Module):
    """The training objective: forward(images, prompt) is the classifier's cross-entropy on prompts."""

    def __init__(self, extractor: Manual, prompts: Prompts) -> None:
        super().__init__()
        self.extractor = extractor
        extractor.assign(prompts)

    def forward(self, images: Tensor, prompt: Tensor) -> Tensor:
        """``prompt`` (B,) int64 indexes ``Prompts.pairs``."""
        return cross_entropy(self.extractor.logits(images), prompt)
