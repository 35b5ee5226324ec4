"""Gray maps (depth, snow masks) read from a folder of images instead of being made procedurally."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unirestorer.core.errors import ConfigError, ImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def list_maps(folder: Path | None) -> tuple[Path, ...]:
    """The images of ``folder``, sorted by name; none for ``None``. Raises ``ConfigError`` when there are none."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; want a folder of gray images")
    paths = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES))
    if not paths:
        raise ConfigError(f"{folder}: no images in it; want at least one of {', '.join(SUFFIXES)}")
    return paths


@lru_cache(maxsize=64)
def load_map(path: Path) -> Tensor:
    """A gray image of 8 or 16 bits as float32 (H, W) in [0, 1]; colour is averaged. Raises ``ImageError``."""
    try:
        with Image.open(path) as file:
            gray = file if file.mode.startswith("I") else file.convert("L")
            values = np.asarray(gray)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path}: cannot be read as a gray map ({error})") from error
    top = 255.0 if values.dtype == np.uint8 else 65535.0
    return torch.from_numpy(values.astype(np.float32) / np.float32(top)).clamp(0.0, 1.0)
