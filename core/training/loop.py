"""One loop for extractors, experts and routers, on Accelerate.

Everything that depends on the step is a pure function of the step: the batch, the learning rate, the noise. So a
checkpoint is weights, averages and the optimizer's moments, and a resumed run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..errors import UniRestorerError
from ..recipe import TrainingConfig
from .checkpoint import Checkpoint

M = TypeVar("M", bound=nn.Module)
Batches = Callable[[int], tuple[Tensor, ...]]
"""The batch number i of an endless stream; equal numbers give equal batches."""
OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


class Progress(Protocol):
    """Told how a run goes; the command line shows a bar."""

    def __call__(self, step: int, steps: int, loss: float) -> None:
        """``step`` of ``steps`` are done; ``loss`` is that of the last one."""
        ...


class DivergedError(UniRestorerError, ArithmeticError):
    """The loss became infinite or not a number."""


def seeded(build: Callable[[], M], seed: int) -> M:
    """``build()`` with weights initialised from ``seed``; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(seed)
        return build()


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up over ``warmup`` steps, then constant or cosine from ``lr`` to ``floor`` of it at the last step."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * done)))


def optimizer_of(parameters: Sequence[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer that ``config`` describes."""
    groups: list[dict[str, Any]] = [{"params": list(parameters)}]
    if config.decayed == "matrices":
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
    make, decay = OPTIMIZERS[config.optimizer], config.weight_decay
    return make(groups, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=decay)


def fit(
    objective: nn.Module,
    batches: Batches,
    config: TrainingConfig,
    *,
    checkpoint: Path,
    progress: Progress | None = None,
) -> None:
    """Train ``objective``, whose forward(*batch) is the scalar loss; afterwards it carries the averaged (EMA) weights.

    An interrupted run goes on from ``checkpoint``, a file that the caller removes once the result is safe. Afterwards
    the objective is on the CPU. Raises ``DivergedError`` when the loss is not finite.
    """
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    parameters = [p for p in objective.parameters() if p.requires_grad]
    average = [p.detach().clone().to(accelerator.device) for p in parameters]
    optimizer = optimizer_of(parameters, config)
    model, optimizer = accelerator.prepare(objective, optimizer)
    saved = Checkpoint(checkpoint, parameters, list(objective.buffers()), average, optimizer)
    model.train()
    for step in range(saved.load(), config.steps):
        number = step * accelerator.num_processes + accelerator.process_index
        batch = (tensor.to(accelerator.device) for tensor in batches(number))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            loss = model(*batch)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        optimizer.zero_grad()
        decay = min(config.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)
        if (step + 1) % 50 == 0 or step + 1 == config.steps:
            value = float(loss.detach())
            if not math.isfinite(value):
                raise DivergedError(
                    f"training diverged at step {step + 1}: loss is {value}; lower lr (now {config.lr})"
                )
            if progress is not None and accelerator.is_main_process:
                progress(step + 1, config.steps, value)
        if (step + 1) % config.checkpoint_every == 0 and accelerator.is_main_process:
            saved.save(step + 1)
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    objective.eval().to("cpu")
