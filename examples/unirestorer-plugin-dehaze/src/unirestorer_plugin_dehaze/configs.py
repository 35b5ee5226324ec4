"""What a recipe may set. Free of torch, so that plugins can be listed quickly."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt
from unirestorer.core import Config

Pair = tuple[float, float]


def _within(low: float, high: float) -> AfterValidator:
    """A validator of ranges: low <= high, and both inside [``low``, ``high``]; NaN fails."""

    def check(span: Pair) -> Pair:
        if not low <= span[0] <= span[1] <= high:
            raise ValueError(f"want (low, high) with {low:g} <= low <= high <= {high:g}")
        return span

    return AfterValidator(check)


Hue = Annotated[Pair, _within(0, 360)]


class ColouredHazeConfig(Config):
    """Ranges as (low, high), both ends included; see ``coloured_haze.py``. All are our own choice."""

    beta: Annotated[Pair, _within(0, 20)] = Field(
        default=(1.0, 2.8), description="attenuation along the densest line of sight; 0 = no damage"
    )
    patchiness: Annotated[Pair, _within(0, 1)] = Field(
        default=(0.2, 1.0), description="0 = even haze, 1 = banks with clear air between them"
    )
    hues: tuple[Hue, ...] = Field(
        default=((15, 32), (32, 52), (205, 240)),
        min_length=1,
        description="hues of the airlight in degrees, one span per kind: sunset, smog, dusk",
    )
    saturation: Annotated[Pair, _within(0, 1)] = Field(
        default=(0.5, 0.95), description="HSV saturation of the airlight"
    )
    value: Annotated[Pair, _within(0, 1)] = Field(default=(0.65, 0.95), description="HSV value of the airlight")
    drift: Annotated[Pair, _within(0, 1)] = Field(
        default=(0.0, 0.7), description="how far the airlight changes across the image; 0 = not at all"
    )


class HazeGridConfig(Config):
    """Widths of the four scales and how far the coarsest one looks; see ``haze_grid.py``."""

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(16, 32, 48, 64), description="channels at 1/2, 1/4, 1/8 and 1/16 of the input size"
    )
    blocks: PositiveInt = Field(default=3, description="residual blocks at 1/16; each widens the view by 64 pixels")
