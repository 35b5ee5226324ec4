"""Lets torchvision be imported where torch is a CPU build; ``prepare_torchvision`` comes before whatever imports it.

The torchvision wheels for Linux on PyPI are CUDA builds: on a CPU build of torch their extension library does not load,
and ``import torchvision`` then stops at ``operator torchvision::nms does not exist``. That one import registers shape
functions for two operators of object detection, ``nms`` and ``qnms``. Declaring them, without an implementation, is
enough for torchvision, timm, open_clip and spandrel to be imported; nothing here detects objects. Where the operators
are there, nothing is done.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def prepare_torchvision() -> Any:
    """Make ``import torchvision`` work; returns the declarations, which hold as long as they are referenced."""
    torch: Any = importlib.import_module("torch")
    if "torchvision" in sys.modules:
        return None
    _load_extension(torch)
    missing = [schema for schema in _SCHEMAS if not hasattr(torch.ops.torchvision, schema.partition("(")[0])]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in missing:
        library.define(schema)
    return library


def _load_extension(torch: Any) -> None:
    """What torchvision does first itself: a build that fits this torch brings its own operators."""
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in Path(folder).glob("_C*.so"):
            with suppress(OSError, RuntimeError):
                torch.ops.load_library(str(file))
