"""The two branches and routers (paper section 3.3): which leaf, and how far down the tree to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from . import losses
from .errors import RegistryError, ShapeError
from .recipe import RoutersConfig

HEAD_LAYERS = 5
_BOTH = ("leaf", "level")


@dataclass(frozen=True)
class Temperatures:
    """What divides the logits of the leaf and of the level router, both above 0. The likeliest one stays the same."""

    leaf: float = 1.0
    level: float = 1.0


@dataclass(frozen=True)
class RouterOptions:
    """What the weights of routers do not say: end of the heads, how many experts are blended, temperatures."""

    norm: str = "none"
    top_k: int = 1
    temperatures: Temperatures = Temperatures()

    @classmethod
    def of(cls, config: RoutersConfig) -> RouterOptions:
        """As a recipe says, before calibration."""
        return cls(config.norm, config.top_k, Temperatures(config.temperature, config.temperature))

    @classmethod
    def recorded(cls, attributes: Mapping[str, Any], where: str) -> RouterOptions:
        """Those that a record says; older ones say nothing. Raises ``RegistryError`` for what is not understood."""
        config, heat = attributes["config"], attributes.get("temperatures", asdict(Temperatures()))
        options = cls(config.get("norm", "none"), config.get("top_k", 1), Temperatures(*map(heat.get, _BOTH)))
        if options.norm not in ("none", "batch"):
            raise RegistryError(f"{where}: norm is {options.norm!r}, wanted 'none' or 'batch'; update unirestorer")
        for what, value in {"top_k": options.top_k, **asdict(options.temperatures)}.items():
            if not isinstance(value, int | float) or not 0 < value < torch.inf:
                raise RegistryError(f"{where}: {what} is {value!r}, wanted a number above 0; train the routers again")
        return options


PLAIN = RouterOptions()
"""The options of routers that say nothing of them."""


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


def head(dim: int, norm: str = "none") -> nn.Sequential:
    """Five linear layers dim -> dim without bias, LeakyReLU 0.1 between; ``norm`` batch: batch normalisation last."""
    layers: list[nn.Module] = []
    for index in range(HEAD_LAYERS):
        layers += [nn.Linear(dim, dim, bias=False)]
        layers += [nn.LeakyReLU(0.1)] if index < HEAD_LAYERS - 1 else []
    return nn.Sequential(*layers, *([nn.BatchNorm1d(dim)] if norm == "batch" else []))


class Routers(nn.Module):
    """Raw DRs (B, D) to leaf and level probabilities; standardises with the training set's mean and deviation."""

    centre: Tensor
    spread: Tensor
    ancestors: Tensor

    def __init__(self, dim: int, ancestors: Tensor, options: RouterOptions = PLAIN) -> None:
        """``ancestors`` (K, L) int64: node above each leaf at each level."""
        super().__init__()
        leaves, levels = ancestors.shape
        self.options = options
        self.degradation = head(dim, options.norm)
        self.granularity = head(dim, options.norm)
        self.leaf_gate = NoisyGate(dim, leaves)
        self.level_gate = NoisyGate(dim, levels)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.register_buffer("ancestors", ancestors)

    def forward(self, dr: Tensor, noise: tuple[Tensor, Tensor] | None = None, allowed: Tensor | None = None) -> Routing:
        """``noise``: standard normal (B, K) and (B, L) in training. ``allowed``: bool (M,) over nodes, an instruction.

        Probabilities are a softmax over all logits, divided by the temperature (paper eq. 2; top-1 comes after it). An
        instruction acts as -inf before the softmax: leaves and levels that it does not open (``openings``) get
        probability 0. Raises ``ShapeError`` when nothing is allowed.
        """
        leaf, level, mean, log_variance = self.logits(dr, noise)
        temperatures = self.options.temperatures
        leaf, level = leaf / temperatures.leaf, level / temperatures.level
        if allowed is not None:
            open_leaves, open_levels = openings(self.ancestors, allowed)
            if not open_leaves.any():
                raise ShapeError("instruction: no node of the tree is allowed, wanted at least one")
            leaf = leaf.masked_fill(~open_leaves, -torch.inf)
            level = level.masked_fill(~open_levels, -torch.inf)
        return Routing(leaf.softmax(1), level.softmax(1), mean, log_variance)

    def logits(self, dr: Tensor, noise: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (B, K) and (B, L) before temperature and instruction, and the branches' outputs (B, D)."""
        x = (dr - self.centre) / self.spread
        mean, log_variance = self.degradation(x), self.granularity(x)
        leaf = self.leaf_gate(mean, noise[0] if noise else None)
        level = self.level_gate(log_variance, noise[1] if noise else None)
        return leaf, level, mean, log_variance

    @torch.no_grad()
    def settle(self, dr: Tensor) -> None:
        """Take the statistics of batch normalisation from all of ``dr`` (N, D), N > 1; then evaluation mode.

        Those gathered in training belong to the weights of before their averaging, and to DRs with jitter.
        """
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm1d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over batches, of which there is one
        if norms:
            self.train()(dr)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.eval()


def openings(ancestors: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Leaves (K,) and levels (L,) that the ``allowed`` nodes (M,) leave open, of a tree with ``ancestors`` (K, L).

    A level is open where a node that stands there is allowed; a leaf, where a node above it or itself is, other than
    the root: that is above them all and says nothing of any, except where it is all that is allowed.
    """
    usable = allowed[ancestors]
    below = usable & (ancestors > 0)
    return (below if below.any() else usable).any(1), usable.any(0)


class RouterObjective(nn.Module):
    """Paper eq. 9 on (DR, cost) pairs: task term + alpha * uncertainty (eq. 7) + beta * load balance (eq. 8).

    Load is balanced over levels, as the authors' release does, and over leaves unless ``config.balance`` is ``level``.
    """

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
        balance = losses.load_balance(out.level)
        if self.config.balance == "both":
            balance = balance + losses.load_balance(out.leaf)
        spread = losses.uncertainty(out.mean, out.log_variance, centre)
        return task + self.config.alpha * spread + self.config.beta * balance
