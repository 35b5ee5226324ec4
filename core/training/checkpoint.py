"""Checkpoints of the training loop: one safetensors file, written whole or not at all. No pickle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")


class Checkpoint:
    """Weights, buffers, the running average of the weights, and AdamW's moments, in one file."""

    def __init__(
        self,
        path: Path,
        parameters: list[nn.Parameter],
        buffers: list[Tensor],
        average: list[Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.path = path
        self.buffers = buffers
        self.parameters = parameters
        self.average = average
        self.optimizer = optimizer

    def save(self, step: int) -> None:
        """Replace the file by the state after ``step`` steps."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        tensors = {name: tensor.detach().clone().contiguous() for name, tensor in self._tensors()}
        save_file(tensors, temporary, metadata={"step": str(step)})
        os.replace(temporary, self.path)

    def load(self) -> int:
        """Restore the saved state and return its step; 0 when there is none or it belongs to another network."""
        if not self.path.exists():
            return 0
        try:
            with safe_open(self.path, framework="pt") as file:
                step = int(file.metadata()["step"])
                saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (SafetensorError, OSError, KeyError, ValueError):
            return 0
        self._create_moments(step)
        current = dict(self._tensors())
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in current.items()}:
            self.optimizer.state.clear()
            return 0
        with torch.no_grad():
            for name, tensor in current.items():
                tensor.copy_(saved[name])
        return step

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from ((f"buffer.{index}", buffer) for index, buffer in enumerate(self.buffers))
        for index, (parameter, average) in enumerate(zip(self.parameters, self.average, strict=True)):
            yield f"weight.{index}", parameter
            yield f"average.{index}", average
            for moment in MOMENTS:
                if moment in self.optimizer.state[parameter]:
                    yield f"{moment}.{index}", self.optimizer.state[parameter][moment]

    def _create_moments(self, step: int) -> None:
        for parameter in self.parameters:
            state = self.optimizer.state[parameter]
            state["step"] = torch.tensor(float(step))
            for moment in MOMENTS:
                state[moment] = torch.zeros_like(parameter)
