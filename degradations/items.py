"""Drawing parameters, and applying a degradation item by item.

Items are damaged one at a time, each contiguous and with its own generator, so that an item's bits depend neither on
its place in a batch nor on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from unirestorer.core.contracts import Params
from unirestorer.core.errors import ShapeError

SEED_LIMIT = 2**31


def uniform(span: tuple[float, float], n: int, generator: torch.Generator) -> Tensor:
    """``n`` float32 values, uniform in [low, high]."""
    low, high = span
    return (low + (high - low) * torch.rand(n, generator=generator)).clamp(low, high)


def integers(span: tuple[int, int], n: int, generator: torch.Generator, step: int = 1) -> Tensor:
    """``n`` int64 values, uniform among low, low + step, ... up to high (included)."""
    low, high = span
    return low + step * torch.randint((high - low) // step + 1, (n,), generator=generator)


def seeds(n: int, generator: torch.Generator) -> Tensor:
    """``n`` int64 seeds in [0, 2^31)."""
    return torch.randint(SEED_LIMIT, (n,), generator=generator)


def generator_of(seed: int) -> torch.Generator:
    """A fresh CPU generator."""
    return torch.Generator().manual_seed(seed)


def pick(params: Params, rows: Tensor | slice) -> Params:
    """The parameters of some of the items."""
    return {name: value[rows] for name, value in params.items()}


def names_of(values: Tensor, boundaries: Sequence[float], names: Sequence[str]) -> list[str]:
    """``names[i]`` for each value, ``i`` being the number of ascending ``boundaries`` that are <= the value."""
    return [names[sum(value >= boundary for boundary in boundaries)] for value in values.tolist()]


def per_item(clean: Tensor, params: Params, keys: Iterable[str], damage: Callable[..., Tensor]) -> Tensor:
    """``damage(image (3, H, W), *scalars of keys)`` for every item of ``clean`` (n, 3, H, W), clipped to [0, 1].

    Scalars are Python numbers. Raises ``ShapeError`` when images or parameters are not of the documented shape.
    """
    if clean.ndim != 4 or clean.shape[1] != 3 or not clean.is_floating_point():
        raise ShapeError(f"degradations want float images (n, 3, H, W), got {tuple(clean.shape)} {clean.dtype}")
    columns = []
    for key in keys:
        if key not in params or tuple(params[key].shape) != clean.shape[:1]:
            got = tuple(params[key].shape) if key in params else "none"
            raise ShapeError(f"parameter '{key}' must have shape ({clean.shape[0]},) to match the images, got {got}")
        columns.append(params[key].tolist())
    out = torch.empty_like(clean, dtype=torch.float32, memory_format=torch.contiguous_format)
    for index in range(clean.shape[0]):
        image = clean[index].to(torch.float32).contiguous()
        out[index] = damage(image, *(column[index] for column in columns)).clamp(0.0, 1.0)
    return out
