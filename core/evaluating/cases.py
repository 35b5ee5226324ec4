"""An image to measure on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Case:
    """A damaged image of a suite: ``part`` it belongs to, name of the ``image``, its damage type ``task`` if known.

    damaged, truth: (H, W, 3) uint8 RGB; ``truth`` is None for photos of which nobody has it. seed: what the damage was
    drawn with, None for given pairs.
    """

    part: str
    image: str
    task: str | None
    damaged: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    seed: int | None = None
