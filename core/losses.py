"""Terms of the router objective (paper section 3.4, eq. 7 to 9)."""

from __future__ import annotations

import torch
from torch import Tensor


def uncertainty(mean: Tensor, log_variance: Tensor, centre: Tensor) -> Tensor:
    """Negative log-likelihood of leaf centres under N(mean, exp(log_variance) I), all (B, D); eq. 7, elementwise mean.

    Eq. 7 as printed has one variance e_g per image, (u - e_d)^2 / (2 e_g) + log(e_g) / 2; here as in the work that it
    quotes (DUL, Chang et al. 2020) one for each of D elements, whose logarithm is what the branch puts out. It is kept
    within [-7, 7]; the paper names no bound, but without one the term diverges.
    """
    s = log_variance.clamp(-7, 7)
    return 0.5 * ((centre - mean) ** 2 * torch.exp(-s) + s).mean()


def load_balance(probabilities: Tensor) -> Tensor:
    """Squared coefficient of variation of the batch sums of ``probabilities`` (B, n); eq. 8.

    The authors' release takes the unbiased variance, which is n / (n - 1) times this, and does so for levels only.
    """
    load = probabilities.sum(0)
    return load.var(correction=0) / (load.mean() ** 2 + 1e-10)


def node_probabilities(leaf: Tensor, level: Tensor, ancestors: Tensor, nodes: int) -> Tensor:
    """Probability (B, M) of each expert when leaf (B, K) and level (B, L) are drawn independently (eq. 6)."""
    joint = leaf[:, :, None] * level[:, None, :]  # (B, K, L)
    flat = ancestors.flatten().expand(len(leaf), -1)  # (B, K * L)
    return torch.zeros(len(leaf), nodes, device=leaf.device).scatter_add(1, flat, joint.flatten(1))


def gated_cost(leaf: Tensor, level: Tensor, ancestors: Tensor, cost: Tensor) -> Tensor:
    """The paper's L1 through the gate of the top-1 expert, on known costs (B, M): its gradient lowers a costly gate.

    The authors scale the chosen expert's output y by g / stopgrad(g) with g = p(leaf) + p(level): its value stays, and
    the gate gets the gradient <dL1/dy, y> / g, in which no expert is compared with another. Here the cost is scaled
    so, because it is known without running experts, and it is centred over the experts: costs are positive, and every
    gate would only ever be pushed down.
    """
    top_leaf, top_level = leaf.argmax(1), level.argmax(1)
    gate = leaf.gather(1, top_leaf[:, None]) + level.gather(1, top_level[:, None])  # (B, 1)
    node = ancestors[top_leaf, top_level][:, None]
    advantage = (cost - cost.mean(1, keepdim=True)).gather(1, node)
    return (advantage * gate / gate.detach()).mean()


def expected_cost(leaf: Tensor, level: Tensor, ancestors: Tensor, cost: Tensor) -> Tensor:
    """Exact expected cost (B, M) over the tree when leaf and level are drawn from the routers."""
    return (node_probabilities(leaf, level, ancestors, cost.shape[1]) * cost).sum(1).mean()
