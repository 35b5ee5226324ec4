from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from unirestorer.core.errors import ShapeError
from unirestorer.core.metrics import psnr


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 1, (48, 40, 3)), 0), 1)
    clean = np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).astype(np.uint8)
    return np.clip(clean + rng.normal(0, 20, clean.shape), 0, 255).astype(np.uint8), clean


def test_psnr_agrees_with_scikit_image() -> None:
    noisy, clean = pair()
    assert psnr(noisy, clean) == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=255), abs=1e-4)


def test_equal_images_are_infinitely_close() -> None:
    assert psnr(pair()[1], pair()[1]) == math.inf


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="two equal uint8 shapes"):
        psnr(pair()[0][:10], pair()[1])
