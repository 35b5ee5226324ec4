"""The Transformer block of Restormer: attention between channels (MDTA) and a gated feed-forward network (GDFN).

Both are a 1x1 convolution, a depthwise 3x3 convolution and what is done with the channels; section 3 of the paper,
equations 1 and 2. What makes them quick on a CPU, and the same up to rounding:

- They work in bands of rows that stay in the caches, with a row of the neighbours above and below. The wide activations
  (5.3 times the channels of the image, in GDFN) are never there for the whole image.
- Queries and keys are not normalised themselves; their products, one small matrix per head, are divided by their norms.
- Attention weights and the projection after them are multiplied first: per image one matrix, a 1x1 convolution of the
  values.
- All activations are in ``channels_last``, where the channels of a pixel lie side by side.

While no gradients are recorded a block may overwrite its input.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .configs import RestormerConfig

BAND = 2**21
"""Values of the widest activation of a band: 8 MiB of float32."""


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel; without a bias also without subtracting the mean.

    The variance is that about the mean in both cases.
    """

    def __init__(self, width: int, *, bias: bool) -> None:
        super().__init__()
        self.body = nn.LayerNorm(width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        last = x.permute(0, 2, 3, 1)
        if self.body.bias is not None:
            normed: Tensor = self.body(last)
        else:
            centred = last - last.mean(-1, keepdim=True, dtype=_precise(x))
            variance = centred.square().mean(-1, keepdim=True)
            normed = last * (variance + self.body.eps).rsqrt() * self.body.weight
        return normed.permute(0, 3, 1, 2)


class Attention(nn.Module):
    """MDTA, equation 1: each output channel is a mixture of the channels of its head, by cosine of query and key."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=bias)
        self.project_out = nn.Conv2d(width, width, 1, bias=bias)

    def forward(self, x: Tensor, norm: ChannelNorm) -> Tensor:
        """(B, width, H, W) -> x + attention of norm(x)."""
        batch, width = x.shape[:2]
        heads, spans, dtype = len(self.temperature), _spans(x, 3 * width), _precise(x)
        products = squares = torch.zeros((), dtype=dtype, device=x.device)
        values = []
        for first, last in spans:
            normed, rows = _with_neighbours(x, norm, first, last)
            values.append(_convolved(normed, self.qkv, self.qkv_dwconv, slice(2 * width, None), rows))
            both = _convolved(normed, self.qkv, self.qkv_dwconv, slice(2 * width), rows)
            both = both.permute(0, 2, 3, 1).reshape(batch, -1, 2, heads, width // heads)
            query, key = both.permute(2, 0, 3, 1, 4)  # each (B, heads, pixels, channels)
            products = products + (query.transpose(2, 3) @ key).to(dtype)
            squares = squares + both.square().sum(1, dtype=dtype)
        matrices = self._projected(products, squares)
        pairs = zip(values, spans, strict=True)
        return _joined((self._mixed(value, matrices).add_(x[:, :, slice(*span)]) for value, span in pairs), x)

    def _mixed(self, values: Tensor, matrices: Tensor) -> Tensor:
        """Each image's ``values`` (B, width, h, W) by its matrix (B, width, width, 1, 1)."""
        pairs = zip(values.chunk(len(values)), matrices, strict=True)
        mixed = [F.conv2d(image, matrix, self.project_out.bias) for image, matrix in pairs]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _projected(self, products: Tensor, squares: Tensor) -> Tensor:
        """What the values are multiplied by, (B, width, width, 1, 1), projection included.

        ``products`` (B, heads, c, c) of queries and keys; ``squares`` (B, 2, heads, c), their sums of squares.
        """
        inverse = squares.clamp(min=1e-24).rsqrt()
        cosines = products * inverse[:, 0, :, :, None] * inverse[:, 1, :, None, :]
        weights = (cosines * self.temperature).softmax(dim=-1)
        batch, heads, channels, _ = weights.shape
        project = self.project_out.weight.view(-1, heads, channels).transpose(0, 1)
        return (project @ weights).transpose(1, 2).reshape(batch, -1, heads * channels, 1, 1)


class FeedForward(nn.Module):
    """GDFN, equation 2: one half of the hidden channels, through GELU, gates the other half."""

    def __init__(self, width: int, hidden: int, *, bias: bool) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(width, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, width, 1, bias=bias)

    def forward(self, x: Tensor, norm: ChannelNorm) -> Tensor:
        """(B, width, H, W) -> x + the gated network of norm(x)."""
        return _joined((self._band(x, norm, *span) for span in _spans(x, self.dwconv.out_channels)), x)

    def _band(self, x: Tensor, norm: ChannelNorm, first: int, last: int) -> Tensor:
        """Rows ``first`` to ``last`` of the output."""
        hidden = self.project_out.in_channels
        normed, rows = _with_neighbours(x, norm, first, last)
        gate = F.gelu(_convolved(normed, self.project_in, self.dwconv, slice(hidden), rows))
        gated = gate * _convolved(normed, self.project_in, self.dwconv, slice(hidden, None), rows)
        out: Tensor = self.project_out(gated)
        return out.add_(x[:, :, first:last])


class TransformerBlock(nn.Module):
    """Both parts, each after a normalisation and with its input added."""

    def __init__(self, config: RestormerConfig, width: int, heads: int) -> None:
        super().__init__()
        with_bias = config.layer_norm == "WithBias"
        self.norm1 = ChannelNorm(width, bias=with_bias)
        self.attn = Attention(width, heads, bias=config.bias)
        self.norm2 = ChannelNorm(width, bias=with_bias)
        self.ffn = FeedForward(width, int(width * config.ffn_expansion_factor), bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        out: Tensor = self.ffn(self.attn(x, self.norm1), self.norm2)
        return out


def _precise(x: Tensor) -> torch.dtype:
    """What sums are kept in: float32 where ``x`` is bfloat16."""
    return torch.promote_types(x.dtype, torch.float32)


def _spans(x: Tensor, channels: int) -> list[tuple[int, int]]:
    """First row and row after the last of each band of ``x``, whose widest activation has ``channels``."""
    height, width = x.shape[2:]
    values = len(x) * height * width * channels
    count = min(-(-values // BAND), -(-height // 4)) if x.device.type == "cpu" else 1
    return list(pairwise(height * index // count for index in range(count + 1)))


def _with_neighbours(x: Tensor, norm: ChannelNorm, first: int, last: int) -> tuple[Tensor, slice]:
    """Rows ``first`` to ``last`` of ``x``, normalised, with those next to them that exist; where they are in that."""
    above = min(first, 1)
    return norm(x[:, :, first - above : last + 1]), slice(above, above + last - first)


def _convolved(x: Tensor, point: nn.Conv2d, depth: nn.Conv2d, channels: slice, rows: slice) -> Tensor:
    """Those ``channels`` and ``rows`` of the 1x1 convolution ``point`` and then the depthwise one."""
    x = F.conv2d(x, point.weight[channels], None if point.bias is None else point.bias[channels])
    bias = None if depth.bias is None else depth.bias[channels]
    return F.conv2d(x, depth.weight[channels], bias, padding=1, groups=x.shape[1])[:, :, rows]


def _joined(bands: Iterable[Tensor], x: Tensor) -> Tensor:
    """The bands below each other; in the memory of ``x`` where no gradients are recorded."""
    parts = list(bands)
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts, dim=2) if torch.is_grad_enabled() else torch.cat(parts, dim=2, out=x)
