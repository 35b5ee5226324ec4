"""The equations of DA-CLIP's controlled forward pass, written out on a state dict with the published names.

No module of open_clip or torch takes part: ``state`` maps names to tensors, and every step is arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b."""
    return x @ weight.T + bias


def layer_norm(x: Tensor, state: State, name: str) -> Tensor:
    """Over the last axis, with epsilon 1e-5."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def attention(x: Tensor, state: State, name: str, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V per head, of tokens (B, N, C)."""
    batch, tokens, width = x.shape
    joint = linear(x, state[f"{name}.in_proj_weight"], state[f"{name}.in_proj_bias"])
    query, key, value = (part.view(batch, tokens, heads, -1).transpose(1, 2) for part in joint.chunk(3, -1))
    score = query @ key.transpose(-1, -2) / sqrt(width / heads)
    weight = score.exp() / score.exp().sum(-1, keepdim=True)
    mixed = (weight @ value).transpose(1, 2).reshape(batch, tokens, width)
    return linear(mixed, state[f"{name}.out_proj.weight"], state[f"{name}.out_proj.bias"])


def block(x: Tensor, state: State, name: str, heads: int) -> Tensor:
    """x + attention(norm(x)), then + MLP(norm(.)) with the exact GELU."""
    x = x + attention(layer_norm(x, state, f"{name}.ln_1"), state, f"{name}.attn", heads)
    y = layer_norm(x, state, f"{name}.ln_2")
    y = linear(y, state[f"{name}.mlp.c_fc.weight"], state[f"{name}.mlp.c_fc.bias"])
    y = y * (1 + torch.erf(y / sqrt(2))) / 2
    return x + linear(y, state[f"{name}.mlp.c_proj.weight"], state[f"{name}.mlp.c_proj.bias"])


def tokens_of(images: Tensor, state: State, name: str) -> Tensor:
    """Patches by the convolution, the class token before them, positions added, normalised: (B, 1 + N, C)."""
    kernel = state[f"{name}.conv1.weight"]  # (C, 3, p, p)
    width, side = kernel.shape[0], kernel.shape[-1]
    patches = images.unfold(2, side, side).unfold(3, side, side)  # (B, 3, rows, columns, p, p)
    patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    x = patches @ kernel.reshape(width, -1).T
    first = state[f"{name}.class_embedding"].expand(len(images), 1, width)
    x = torch.cat([first, x], 1) + state[f"{name}.positional_embedding"]
    return layer_norm(x, state, f"{name}.ln_pre")


def embedding_of(x: Tensor, state: State, name: str) -> Tensor:
    """The class token, normalised and projected."""
    return layer_norm(x[:, 0], state, f"{name}.ln_post") @ state[f"{name}.proj"]


def control_pass(images: Tensor, state: State, heads: int) -> tuple[Tensor, list[Tensor]]:
    """h_i = B'_i(h_{i-1}), s_i = Z_i h_i: the degradation embedding (B, D), and the signals s_1..s_n."""
    x, signals, name = tokens_of(images, state, "visual_control"), [], "visual_control.transformer"
    for number in range(depth_of(state)):
        x = block(x, state, f"{name}.transformer.resblocks.{number}", heads)
        link = f"{name}.zero_modules.{number}"
        signals.append(linear(x, state[f"{link}.weight"], state[f"{link}.bias"]))
    return embedding_of(x, state, "visual_control"), signals


def controlled_pass(images: Tensor, state: State, signals: Sequence[Tensor], heads: int) -> Tensor:
    """x_i = B_i(x_{i-1}) + (the i-th of ``signals``): the content embedding (B, D)."""
    x = tokens_of(images, state, "visual")
    for number, signal in enumerate(signals):
        x = block(x, state, f"visual.transformer.resblocks.{number}", heads) + signal
    return embedding_of(x, state, "visual")


def depth_of(state: State) -> int:
    """Number of blocks."""
    return sum(name.endswith("ln_1.weight") and name.startswith("visual_control.") for name in state)
