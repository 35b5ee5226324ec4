"""How much of a change is kept."""

from __future__ import annotations

import torch

from ..canvas import Canvas

_ROWS = 128
"""Rows that are blended at once."""


def towards(before: Canvas, after: Canvas, strength: float) -> Canvas:
    """``before + strength * (after - before)``; at 0 and 1, ``before`` and ``after`` themselves."""
    if before is after or strength in (0, 1):
        return after if strength else before
    sheet, columns = before.blank(), slice(0, before.width)
    with torch.inference_mode():
        for top in range(0, before.height, _ROWS):
            rows = slice(top, min(top + _ROWS, before.height))
            sheet.write(top, torch.lerp(before.read(rows, columns)[0], after.read(rows, columns)[0], strength))
    return sheet
