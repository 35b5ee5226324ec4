"""What ``daclip`` and ``finegrained`` are trained on: embeddings of images against those of texts by the frozen CLIP.

L = contrast(degradation embedding, text of the prompt) + contrast(content embedding, caption of the clean photo)

Both terms share one learned temperature, exp(logit_scale) in [1, 100]. The second is there where the recipe names a
file of captions; without it nothing trains the controller's links, which then stay at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize

from unirestorer.core import Prompts

from .daclip import DaClip, controlled, pooled
from .finegrained import FineGrained
from .phrases import pair_phrase, type_phrase
from .towers import embed_texts


def info_nce(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """The symmetric contrastive loss of CLIP: unit embeddings (B, D), row i of one belongs to row i of the other.

    Equal texts in a batch are negatives of each other: with C of them in equal shares the loss stays above ln(B / C).
    """
    logits = scale * images @ texts.T
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def multi_positive(images: Tensor, texts: Tensor, label: Tensor, scale: Tensor) -> Tensor:
    """The symmetric contrastive loss in which all images of a text are its positives (as in UniCL, Yang et al. 2022).

    images: unit embeddings (B, D). texts: those of T distinct texts (T, D). label: (B,) int64, the text of each image.
    Divergence of the softmax over texts from the image's own, and of that over images from the text's own ones in equal
    shares; texts without an image are negatives only. Its infimum is 0, whatever the batch.
    """
    logits = scale * images @ texts.T
    present = torch.unique(label)
    positive = (label == present[:, None]).to(logits)
    wanted = positive / positive.sum(1, keepdim=True)
    by_text = kl_div(log_softmax(logits.T[present], dim=1), wanted, reduction="batchmean")
    return (cross_entropy(logits, label) + by_text) / 2


@dataclass(frozen=True)
class Texts:
    """Embeddings of the distinct ones among N texts, ``table`` (T, D), and which of them each is, ``label`` (N,) int64.

    Kept apart from parameters and buffers: they follow from the texts, and there may be one per photo.
    """

    table: Tensor
    label: Tensor

    @classmethod
    def of(cls, texts: Sequence[str], clip: nn.Module) -> Texts:
        """As the text tower of ``clip`` reads ``texts``."""
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        return cls(embed_texts(clip, list(place)), torch.tensor([place[text] for text in texts]))

    def each(self, items: Tensor) -> Tensor:
        """The embedding (B, D) of each of the texts ``items`` (B,) int64."""
        return self.table[self.label[items.cpu()]].to(items.device)

    def among_all(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """All distinct texts (T, D), and which each of ``items`` (B,) is."""
        return self.table.to(items.device), self.label[items.cpu()].to(items.device)

    def among_themselves(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct texts of ``items`` (B,) alone, and which each of those is."""
        present, label = torch.unique(self.label[items.cpu()], return_inverse=True)
        return self.table[present].to(items.device), label.to(items.device)


class DaClipObjective(nn.Module):
    """forward(images, prompt, photo) is the scalar loss of DA-CLIP; a prompt is the word of its type.

    The state dict has the names and shapes of the published checkpoint.
    """

    def __init__(self, extractor: DaClip, prompts: Prompts) -> None:
        super().__init__()
        self.prepare = extractor.prepare
        self.clip = extractor.clip()
        self.visual = self.clip.visual
        self.visual_control = extractor.visual_control
        self.visual_control.transformer.zero_modules.requires_grad_(bool(prompts.captions))
        self.logit_scale = extractor.logit_scale
        self.prompts = self.read_prompts(extractor, prompts)
        self.captions = Texts.of(prompts.captions, self.clip) if prompts.captions else None

    def read_prompts(self, extractor: DaClip, prompts: Prompts) -> Texts:
        """The text of every prompt."""
        config = extractor.config
        kinds = [type_phrase(kind, config.words) for kind, _ in prompts.pairs]
        return Texts.of([config.template.replace("{prompt}", kind) for kind in kinds], self.clip)

    def forward(self, images: Tensor, prompt: Tensor, photo: Tensor) -> Tensor:
        """images (B, 3, H, W) in [0, 1]; ``prompt`` (B,) int64 indexes ``Prompts.pairs``, ``photo`` the captions."""
        with torch.no_grad():
            self.logit_scale.clamp_(0, log(100))
        prepared = self.prepare(images)
        if self.captions is None:
            return self._of_degradation(pooled(self.visual_control, prepared), prompt)
        content, degradation = controlled(self.visual_control, self.visual, prepared)
        return self._of_degradation(degradation, prompt) + self._of_content(content, photo, self.captions)

    def _of_degradation(self, embedding: Tensor, prompt: Tensor) -> Tensor:
        with torch.autocast(embedding.device.type, enabled=False):
            return self.degradation_loss(normalize(embedding.float(), dim=1), prompt, self.logit_scale.exp())

    def _of_content(self, embedding: Tensor, photo: Tensor, captions: Texts) -> Tensor:
        with torch.autocast(embedding.device.type, enabled=False):
            return self.content_loss(normalize(embedding.float(), dim=1), photo, captions, self.logit_scale.exp())

    def degradation_loss(self, embedding: Tensor, prompt: Tensor, scale: Tensor) -> Tensor:
        """Of unit degradation embeddings (B, D) against the texts of their prompts."""
        return info_nce(embedding, self.prompts.each(prompt), scale)

    def content_loss(self, embedding: Tensor, photo: Tensor, captions: Texts, scale: Tensor) -> Tensor:
        """Of unit content embeddings (B, D) against the captions of their photos."""
        return info_nce(embedding, captions.each(photo), scale)


class FineGrainedObjective(DaClipObjective):
    """forward(images, prompt, photo) is the scalar loss of the paper's extractor; a prompt names type and degree."""

    def __init__(self, extractor: FineGrained, prompts: Prompts) -> None:
        super().__init__(extractor, prompts)
        self.type_weight = extractor.config.type_weight
        self.kinds = super().read_prompts(extractor, prompts)

    def read_prompts(self, extractor: DaClip, prompts: Prompts) -> Texts:
        """The text of every prompt."""
        config = extractor.config
        pairs = [pair_phrase(kind, degree, config.words) for kind, degree in prompts.pairs]
        return Texts.of([config.template.replace("{prompt}", pair) for pair in pairs], self.clip)

    def degradation_loss(self, embedding: Tensor, prompt: Tensor, scale: Tensor) -> Tensor:
        """Of unit degradation embeddings (B, D) against all prompts, and by ``type_weight`` against all types."""
        loss = multi_positive(embedding, *self.prompts.among_all(prompt), scale)
        if self.type_weight:
            loss = loss + self.type_weight * multi_positive(embedding, *self.kinds.among_all(prompt), scale)
        return loss

    def content_loss(self, embedding: Tensor, photo: Tensor, captions: Texts, scale: Tensor) -> Tensor:
        """Of unit content embeddings (B, D) against the captions in the batch."""
        return multi_positive(embedding, *captions.among_themselves(photo), scale)
