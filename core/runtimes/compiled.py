"""``compile``: networks made into C++ by PyTorch's own compiler, for machines without OpenVINO.

PyTorch keeps what it compiles in a folder of its own (``TORCHINDUCTOR_CACHE_DIR``).
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from typing import TYPE_CHECKING

import torch

from .parity import check, samples

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..contracts import Network, SizeRequirement

_COMPILERS = ("g++", "clang++", "cl") if os.name == "nt" else ("g++", "clang++")


class Compile:
    """Runs networks by ``torch.compile``, for any height and width. Needs a C++ compiler."""

    name = "compile"

    def prepare(self, module: nn.Module, key: str, size: SizeRequirement) -> Network:
        """``module`` compiled; raises ``UnsupportedError`` where it cannot be."""
        alone = threading.Lock()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, on its own parts
            compiled = torch.compile(module, dynamic=True)

            def run(image: Tensor) -> Tensor:
                with alone, torch.inference_mode(False), torch.no_grad():  # the same code in every mode
                    out: Tensor = compiled(image.detach().clone(memory_format=torch.channels_last))
                return out

            check(run, module, samples(size, scale=6))  # not small: there the compiler makes other code
        return run


def compiler() -> str | None:
    """The C++ compiler that ``torch.compile`` would use, ``None`` where there is none."""
    return next((path for name in (os.environ.get("CXX"), *_COMPILERS) if name and (path := shutil.which(name))), None)
