"""``daclip``: DA-CLIP (Luo et al., ICLR 2024, "Controlling Vision-Language Models for Multi-Task Image Restoration").

A frozen CLIP and a trainable controller: a copy of its vision tower, each block followed by a linear layer that begins
at zero. The controller's pooled embedding is the degradation embedding; the outputs of its linear layers are added to
the blocks of the frozen tower, the last to the first, and that one's pooled embedding is the content embedding:

    h_i = B'_i(h_{i-1}),  s_i = Z_i h_i                  controller, i = 1..n
    x_i = B_i(x_{i-1}) + s_{n+1-i}                       frozen tower

The DR is the degradation embedding, not normalised, so an extractor keeps the controller alone; the frozen CLIP takes
part in training only (``daclip_losses.py``). Parameters are named as in the published ``daclip_ViT-B-32.pt``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .configs import DaClipConfig
from .towers import build_clip, build_visual, side_of

Hook = Callable[[nn.Module, Any, Tensor], Tensor | None]


class ControlTransformer(nn.Module):
    """The blocks of a controller, and per block a linear layer at zero; the forward pass is that of the blocks."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.zero_modules = nn.ModuleList(
            nn.Linear(transformer.width, transformer.width) for _ in transformer.resblocks
        )
        for parameter in self.zero_modules.parameters():
            nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """What the blocks make of ``tokens``."""
        out: Tensor = self.transformer(tokens, attn_mask=attn_mask)
        return out


def controlled(control: Any, visual: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Content and degradation embeddings (B, D) of prepared ``images`` (B, 3, side, side).

    ``control`` is a vision tower whose transformer is a ``ControlTransformer``, ``visual`` the tower that it controls.
    """
    outputs: list[Tensor] = []
    blocks = control.transformer.transformer.resblocks
    with _hooks(blocks, [lambda _block, _inputs, out: outputs.append(out)] * len(blocks)):
        degradation = pooled(control, images)
    signals = [link(out) for link, out in zip(control.transformer.zero_modules, outputs, strict=True)]
    with _hooks(visual.transformer.resblocks, [_adding(signal) for signal in reversed(signals)]):
        content = pooled(visual, images)
    return content, degradation


def pooled(tower: nn.Module, images: Tensor) -> Tensor:
    """The embedding (B, D) of prepared ``images``, without the tokens that some towers also return."""
    out: Any = tower(images)
    embedding: Tensor = out[0] if isinstance(out, tuple) else out
    return embedding


def _adding(signal: Tensor) -> Hook:
    return lambda _block, _inputs, out: out + signal


@contextmanager
def _hooks(blocks: Sequence[nn.Module], hooks: Sequence[Hook]) -> Iterator[None]:
    """While inside, one hook after each block; what it returns takes the place of the block's output."""
    handles = [block.register_forward_hook(hook) for block, hook in zip(blocks, hooks, strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def resized_centre(images: Tensor, side: int) -> Tensor:
    """``images`` (B, 3, H, W) as CLIP takes them: shortest side to ``side`` (bicubic), then the centre (side, side).

    Of an image more than four times as long as wide only the middle is looked at.
    """
    height, width = images.shape[-2:]
    limit = 4 * min(height, width)
    top, left = max(0, height - limit) // 2, max(0, width - limit) // 2
    images = images[..., top : top + limit, left : left + limit]
    short = min(images.shape[-2:])
    size = [side * length // short for length in images.shape[-2:]]
    images = interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (round((length - side) / 2) for length in size)
    return images[..., top : top + side, left : left + side]


class DaClip(nn.Module):
    """Images (B, 3, H, W) in [0, 1], any H and W, to raw DRs (B, dim): the controller's pooled embeddings.

    The CLIP that it is trained against is no part of the state dict.
    """

    def __init__(self, config: DaClipConfig) -> None:
        super().__init__()
        self.config = config
        self.side = side_of(config.tower)
        control: Any = build_visual(config.tower)
        control.transformer = ControlTransformer(control.transformer)
        control.transformer.zero_modules.requires_grad_(False)  # only an objective with captions can train them
        self.visual_control = control
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        self._frozen: tuple[nn.Module, ...] = ()

    @property
    def dim(self) -> int:
        """Width of the representation."""
        return int(self.visual_control.output_dim)

    def prepare(self, images: Tensor) -> Tensor:
        """``images`` (B, 3, H, W) in [0, 1] as the tower takes them: (B, 3, side, side), normalised."""
        images = self.window(images)
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.config.mean, self.config.std))
        return (images - mean) / std

    def window(self, images: Tensor) -> Tensor:
        """The part of ``images`` (B, 3, H, W) that is looked at, (B, 3, side, side)."""
        return resized_centre(images, self.side)

    def forward(self, images: Tensor) -> Tensor:
        """Raw, un-normalised DRs."""
        return pooled(self.visual_control, self.prepare(images))

    def adopt(self, clip: nn.Module) -> None:
        """Remember the CLIP that this is trained against."""
        self._frozen = (clip.eval().requires_grad_(False),)

    def clip(self) -> nn.Module:
        """The frozen CLIP: the remembered one, or a random one whose vision tower is the controller as it is."""
        if not self._frozen:
            clip = build_clip(self.config.tower)
            clip.visual.load_state_dict(without_links(self.visual_control.state_dict()))  # type: ignore[union-attr]
            self.adopt(clip)
        return self._frozen[0]


def without_links(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A controller's state dict under the names of the vision tower that it is a copy of."""
    return {
        name.replace("transformer.transformer.", "transformer.", 1): tensor
        for name, tensor in state.items()
        if not name.startswith("transformer.zero_modules.")
    }
