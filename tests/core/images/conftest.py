"""A picture to save and load again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def deep_pixels() -> NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
