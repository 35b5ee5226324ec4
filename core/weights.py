"""Networks as safetensors bytes: the only form in which weights are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from .errors import RegistryError


def pack(module: nn.Module) -> NDArray[np.uint8]:
    """The state dict of ``module`` as the bytes of a safetensors file, uint8 (W,)."""
    return pack_state(module.state_dict())


def pack_state(state: Mapping[str, Tensor]) -> NDArray[np.uint8]:
    """``state`` as the bytes of a safetensors file, uint8 (W,); each tensor whole, also where some share memory."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        own = tensor.detach().contiguous()
        apart[name] = own.clone() if own.untyped_storage().data_ptr() in seen else own
        seen.add(own.untyped_storage().data_ptr())
    return np.frombuffer(save(apart), dtype=np.uint8)


def sha256(weights: NDArray[np.uint8]) -> str:
    """Hex digest of the packed bytes."""
    return hashlib.sha256(weights.tobytes()).hexdigest()


def state_of(weights: NDArray[np.uint8], where: str) -> dict[str, Tensor]:
    """Packed bytes as a state dict (float16 becomes float32); raises ``RegistryError`` when they are none."""
    try:
        state = load(weights.tobytes())
    except SafetensorError as error:
        raise RegistryError(f"{where}: weights are no safetensors file: {' '.join(str(error).split())[:300]}") from None
    return {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()}


def unpack(module: nn.Module, weights: NDArray[np.uint8], where: str) -> None:
    """Load packed bytes into ``module`` (float16 becomes float32); raises ``RegistryError`` when they do not fit."""
    try:
        module.load_state_dict(state_of(weights, where))
    except RuntimeError as error:
        raise RegistryError(f"{where}: weights do not fit the network: {' '.join(str(error).split())[:300]}") from None
