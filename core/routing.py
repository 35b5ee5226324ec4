"""The two branches and routers (paper section 3.3): which leaf, and how far down the tree to trust it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from . import losses
from .errors import ShapeError
from .recipe import RoutersConfig

HEAD_LAYERS = 5


class Routing(NamedTuple):
    """Leaf probabilities (B, K), level probabilities (B, L), branch outputs e_d and e_g (B, D)."""

    leaf: Tensor
    level: Tensor
    mean: Tensor
    log_variance: Tensor


class NoisyGate(nn.Module):
    """One linear layer to n logits and n noise scales, zero-initialised; noise in training (Shazeer et al. 2017)."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 2 * outputs, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, e: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B, D) to logits (B, n); ``noise`` (B, n) standard normal is scaled by softplus of the second half + 0.01."""
        logits: Tensor
        logits, scale = self.linear(e).chunk(2, dim=1)
        return logits if noise is None else logits + noise * (softplus(scale) + 0.01)


def head(dim: int) -> nn.Sequential:
    """Five linear layers dim -> dim without bias, LeakyReLU 0.1 between them."""
    layers: list[nn.Module] = []
    for index in range(HEAD_LAYERS):
        layers += [nn.Linear(dim, dim, bias=False)]
        layers += [nn.LeakyReLU(0.1)] if index < HEAD_LAYERS - 1 else []
    return nn.Sequential(*layers)


class Routers(nn.Module):
    """Raw DRs (B, D) to leaf and level probabilities; standardises with the training set's mean and deviation."""

    centre: Tensor
    spread: Tensor
    ancestors: Tensor

    def __init__(self, dim: int, ancestors: Tensor) -> None:
        """``ancestors`` (K, L) int64: node above each leaf at each level."""
        super().__init__()
        leaves, levels = ancestors.shape
        self.degradation = head(dim)
        self.granularity = head(dim)
        self.leaf_gate = NoisyGate(dim, leaves)
        self.level_gate = NoisyGate(dim, levels)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.register_buffer("ancestors", ancestors)

    def forward(self, dr: Tensor, noise: tuple[Tensor, Tensor] | None = None, allowed: Tensor | None = None) -> Routing:
        """``noise``: standard normal (B, K) and (B, L) in training. ``allowed``: bool (M,) over nodes, an instruction.

        An instruction acts as -inf before the softmax: leaves without any allowed node above them, and levels without
        any allowed node, get probability 0. Raises ``ShapeError`` when nothing is allowed.
        """
        x = (dr - self.centre) / self.spread
        mean, log_variance = self.degradation(x), self.granularity(x)
        leaf = self.leaf_gate(mean, noise[0] if noise else None)
        level = self.level_gate(log_variance, noise[1] if noise else None)
        if allowed is not None:
            usable = allowed[self.ancestors]  # (K, L)
            if not usable.any():
                raise ShapeError("instruction: no node of the tree is allowed, wanted at least one")
            leaf = leaf.masked_fill(~usable.any(1), -torch.inf)
            level = level.masked_fill(~usable.any(0), -torch.inf)
        return Routing(leaf.softmax(1), level.softmax(1), mean, log_variance)


class RouterObjective(nn.Module):
    """Paper eq. 9 on (DR, cost) pairs: task term + alpha * uncertainty + beta * load balance of leaves and levels."""

    def __init__(self, routers: Routers, config: RoutersConfig) -> None:
        super().__init__()
        self.routers = routers
        self.config = config
        self.task = losses.gated_cost if config.objective == "paper" else losses.expected_cost

    def forward(self, dr: Tensor, cost: Tensor, centre: Tensor, noise_leaf: Tensor, noise_level: Tensor) -> Tensor:
        """``dr`` (B, D), ``cost`` (B, M), ``centre`` (B, D) of each sample's leaf, noise (B, K) and (B, L): scalar."""
        out = self.routers(dr, (noise_leaf, noise_level))
        level = (1 - self.config.explore) * out.level + self.config.explore / out.level.shape[1]
        task = self.task(out.leaf, level, self.routers.ancestors, cost)
        balance = losses.load_balance(out.level) + losses.load_balance(out.leaf)
        spread = losses.uncertainty(out.mean, out.log_variance, centre)
        return task + self.config.alpha * spread + self.config.beta * balance
