"""The equations of NAFNet, SwinIR and Retinexformer, written out on a state dict: references for the networks.

``w`` maps the public parameter names to tensors, ``p`` is the prefix of a part's names.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Weights = Mapping[str, Tensor]


def conv(x: Tensor, w: Weights, p: str, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution with zero padding; the size becomes that of the input divided by the stride."""
    kernel = w[f"{p}.weight"]
    padding = (kernel.shape[-1] - stride + 1) // 2
    return F.conv2d(x, kernel, w.get(f"{p}.bias"), stride, padding, groups=groups)


def channel_norm(x: Tensor, w: Weights, p: str, eps: float) -> Tensor:
    """Layer normalisation over axis 1."""
    centred = x - x.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()
    shape = (-1, *[1] * (x.ndim - 2))
    return scaled * w[f"{p}.weight"].view(shape) + w[f"{p}.bias"].view(shape)


def naf_block(x: Tensor, w: Weights, p: str) -> Tensor:
    """SimpleGate(a, b) = a b; SCA(x) = x (W pool(x)); two residual halves, scaled by beta and gamma."""
    y = conv(channel_norm(x, w, f"{p}.norm1", 1e-6), w, f"{p}.conv1")
    y = conv(y, w, f"{p}.conv2", groups=y.shape[1])
    a, b = y.chunk(2, 1)
    y = a * b
    y = y * conv(y.mean((2, 3), keepdim=True), w, f"{p}.sca.1")
    x = x + conv(y, w, f"{p}.conv3") * w[f"{p}.beta"]
    y = conv(channel_norm(x, w, f"{p}.norm2", 1e-6), w, f"{p}.conv4")
    a, b = y.chunk(2, 1)
    return x + conv(a * b, w, f"{p}.conv5") * w[f"{p}.gamma"]


def naf_blocks(x: Tensor, w: Weights, p: str) -> Tensor:
    for index in range(count(w, p)):
        x = naf_block(x, w, f"{p}.{index}")
    return x


def nafnet(image: Tensor, w: Weights) -> Tensor:
    """U-Net: strided convolution down, 1x1 convolution and pixel shuffle up, skips added, image added."""
    x, skips, levels = conv(image, w, "intro"), [], count(w, "encoders")
    for level in range(levels):
        x = naf_blocks(x, w, f"encoders.{level}")
        skips.append(x)
        x = conv(x, w, f"downs.{level}", stride=2)
    x = naf_blocks(x, w, "middle_blks")
    for level in range(levels):
        x = F.pixel_shuffle(conv(x, w, f"ups.{level}.0"), 2) + skips.pop()
        x = naf_blocks(x, w, f"decoders.{level}")
    return image + conv(x, w, "ending")


def swin_attention(x: Tensor, w: Weights, p: str, window: int, shift: int) -> Tensor:
    """softmax(q k^T / sqrt(d) + B) v among the pixels of a window; x (B, C, H, W).

    The plane is shifted cyclically by ``shift``; pixels that only the shift brought together do not see each other.
    B depends on the difference of two pixels' positions, by a table of (2 window - 1)^2 entries.
    """
    batch, channels, height, width = x.shape
    table = w[f"{p}.relative_position_bias_table"]
    heads, out = table.shape[1], torch.zeros_like(x)
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    down = rows.reshape(-1, 1) - rows.reshape(1, -1) + window - 1
    right = columns.reshape(-1, 1) - columns.reshape(1, -1) + window - 1
    bias = table[down * (2 * window - 1) + right].permute(2, 0, 1)
    for top in range(0, height, window):
        for left in range(0, width, window):
            i, j = (rows + top + shift).flatten(), (columns + left + shift).flatten()
            wrapped = (i >= height) * 2 + (j >= width) * 1
            i, j = i % height, j % width
            tokens = x[:, :, i, j].transpose(1, 2)
            q, k, v = F.linear(tokens, w[f"{p}.qkv.weight"], w[f"{p}.qkv.bias"]).chunk(3, -1)
            q, k, v = (part.reshape(batch, window**2, heads, -1).transpose(1, 2) for part in (q, k, v))
            score = q @ k.transpose(2, 3) / (channels // heads) ** 0.5 + bias
            score = score - 100.0 * (wrapped[:, None] != wrapped[None, :])
            mixed = (score.softmax(-1) @ v).transpose(1, 2).reshape(batch, window**2, channels)
            mixed = F.linear(mixed, w[f"{p}.proj.weight"], w[f"{p}.proj.bias"])
            out[:, :, i, j] = mixed.transpose(1, 2)
    return out


def swin_layer(x: Tensor, w: Weights, p: str, window: int, shift: int) -> Tensor:
    """x + attention(norm(x)), then x + mlp(norm(x)) with GELU."""
    x = x + swin_attention(channel_norm(x, w, f"{p}.norm1", 1e-5), w, f"{p}.attn", window, shift)
    y = channel_norm(x, w, f"{p}.norm2", 1e-5).movedim(1, -1)
    y = F.gelu(F.linear(y, w[f"{p}.mlp.fc1.weight"], w[f"{p}.mlp.fc1.bias"]))
    return x + F.linear(y, w[f"{p}.mlp.fc2.weight"], w[f"{p}.mlp.fc2.bias"]).movedim(-1, 1)


def swinir(image: Tensor, w: Weights, window: int, img_range: float) -> Tensor:
    """Convolution, residual groups of layers (every second one shifted by half a window), convolution, image added."""
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    normal = (image - mean) * img_range
    first = conv(normal, w, "conv_first")
    x = channel_norm(first, w, "patch_embed.norm", 1e-5)
    for group in range(count(w, "layers")):
        p, y = f"layers.{group}", x
        for index in range(count(w, f"{p}.residual_group.blocks")):
            y = swin_layer(y, w, f"{p}.residual_group.blocks.{index}", window, index % 2 * (window // 2))
        x = x + conv(y, w, f"{p}.conv")
    features = conv(channel_norm(x, w, "norm", 1e-5), w, "conv_after_body") + first
    return (normal + conv(features, w, "conv_last")) / img_range + mean


def guided_attention(x: Tensor, light: Tensor, w: Weights, p: str) -> Tensor:
    """Attention among the channels of a head, values scaled by the illumination features; x (B, C, H, W).

    With keys and queries of unit length over the plane: softmax(alpha K Q^T) (V * light), and a positional part made
    of V by two depthwise convolutions.
    """
    batch, channels, height, width = x.shape
    q, k, v = (F.linear(x.movedim(1, -1), w[f"{p}.to_{name}.weight"]).movedim(-1, 1) for name in "qkv")
    scale = w[f"{p}.rescale"]
    split = (batch, len(scale), -1, height * width)
    value = (v * light).reshape(split)
    q, k = (F.normalize(part.reshape(split), dim=-1) for part in (q, k))
    mixed = ((k @ q.transpose(2, 3) * scale).softmax(-1) @ value).reshape(batch, channels, height, width)
    out = F.linear(mixed.movedim(1, -1), w[f"{p}.proj.weight"], w[f"{p}.proj.bias"]).movedim(-1, 1)
    place = conv(F.gelu(conv(v, w, f"{p}.pos_emb.0", groups=channels)), w, f"{p}.pos_emb.2", groups=channels)
    return out + place


def guided_blocks(x: Tensor, light: Tensor, w: Weights, p: str) -> Tensor:
    """x + attention(x), then x + convolutions(norm(x))."""
    for index in range(count(w, f"{p}.blocks")):
        x = x + guided_attention(x, light, w, f"{p}.blocks.{index}.0")
        p_ff = f"{p}.blocks.{index}.1"
        y = F.gelu(conv(channel_norm(x, w, f"{p_ff}.norm", 1e-5), w, f"{p_ff}.fn.net.0"))
        y = F.gelu(conv(y, w, f"{p_ff}.fn.net.2", groups=y.shape[1]))
        x = x + conv(y, w, f"{p_ff}.fn.net.4")
    return x


def retinexformer(image: Tensor, w: Weights) -> Tensor:
    """Per stage: illumination features and map, the image lit up by the map, a U-Net guided by the features."""
    for stage in range(count(w, "body")):
        image = _retinex_stage(image, w, f"body.{stage}")
    return image


def _retinex_stage(image: Tensor, w: Weights, p: str) -> Tensor:
    light = conv(torch.cat([image, image.mean(1, keepdim=True)], 1), w, f"{p}.estimator.conv1")
    light = conv(light, w, f"{p}.estimator.depth_conv", groups=4)
    lit = image * conv(light, w, f"{p}.estimator.conv2") + image
    p = f"{p}.denoiser"
    x, lights, skips = conv(lit, w, f"{p}.embedding"), [light], []
    for level in range(2):
        x = guided_blocks(x, lights[-1], w, f"{p}.encoder_layers.{level}.0")
        skips.append(x)
        x = conv(x, w, f"{p}.encoder_layers.{level}.1", stride=2)
        lights.append(conv(lights[-1], w, f"{p}.encoder_layers.{level}.2", stride=2))
    x = guided_blocks(x, lights.pop(), w, f"{p}.bottleneck")
    for level in range(2):
        up = f"{p}.decoder_layers.{level}"
        x = F.conv_transpose2d(x, w[f"{up}.0.weight"], w[f"{up}.0.bias"], stride=2)
        x = guided_blocks(conv(torch.cat([x, skips.pop()], 1), w, f"{up}.1"), lights.pop(), w, f"{up}.2")
    return lit + conv(x, w, f"{p}.mapping")


def count(w: Weights, p: str) -> int:
    """How many parts ``p.0``, ``p.1``, ... there are."""
    return len({name[len(p) + 1 :].split(".")[0] for name in w if name.startswith(f"{p}.")})
