"""Networks as safetensors bytes: the only form in which weights are kept."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from .errors import RegistryError


def pack(module: nn.Module) -> NDArray[np.uint8]:
    """The state dict of ``module`` as the bytes of a safetensors file, uint8 (W,)."""
    state = {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
    return np.frombuffer(save(state), dtype=np.uint8)


def sha256(weights: NDArray[np.uint8]) -> str:
    """Hex digest of the packed bytes."""
    return hashlib.sha256(weights.tobytes()).hexdigest()


def unpack(module: nn.Module, weights: NDArray[np.uint8], where: str) -> None:
    """Load packed bytes into ``module`` (float16 becomes float32); raises ``RegistryError`` when they do not fit."""
    try:
        state = load(weights.tobytes())
        module.load_state_dict({name: t.float() if t.dtype == torch.float16 else t for name, t in state.items()})
    except (SafetensorError, RuntimeError) as error:
        raise RegistryError(f"{where}: weights do not fit the network: {' '.join(str(error).split())[:300]}") from None
