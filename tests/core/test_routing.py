from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unirestorer.core import losses
from unirestorer.core.errors import ShapeError
from unirestorer.core.recipe import RoutersConfig, TrainingConfig
from unirestorer.core.routing import NoisyGate, RouterObjective, Routers
from unirestorer.core.training.loop import fit, seeded

ANCESTORS = torch.tensor([[0, 1, 3], [0, 1, 4], [0, 2, 5]])


def routers() -> Routers:
    return seeded(lambda: Routers(8, ANCESTORS), 0)


def test_untrained_routers_are_undecided() -> None:
    out = routers()(torch.randn(4, 8))
    assert torch.allclose(out.leaf, torch.full((4, 3), 1 / 3))
    assert torch.allclose(out.level, torch.full((4, 3), 1 / 3))


def test_without_noise_the_gate_is_deterministic_and_with_it_the_scale_is_softplus_plus_a_hundredth() -> None:
    gate, noise = NoisyGate(8, 3), torch.ones(2, 3)
    assert torch.equal(gate(torch.zeros(2, 8)), torch.zeros(2, 3))
    assert torch.allclose(gate(torch.zeros(2, 8), noise), torch.full((2, 3), 0.6931472 + 0.01))


def test_an_instruction_removes_leaves_and_levels_before_the_softmax() -> None:
    allowed = torch.tensor([False, False, True, False, False, True])
    out = routers()(torch.randn(2, 8), allowed=allowed)
    assert torch.allclose(out.leaf, torch.tensor([[0.0, 0.0, 1.0]] * 2))
    assert torch.allclose(out.level, torch.tensor([[0.0, 0.5, 0.5]] * 2))


def test_an_instruction_that_forbids_everything_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least one"):
        routers()(torch.randn(1, 8), allowed=torch.zeros(6, dtype=torch.bool))


def test_node_probabilities_sum_to_one_and_share_ancestors() -> None:
    leaf, level = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0.1, 0.2, 0.7]])
    nodes = losses.node_probabilities(leaf, level, ANCESTORS, 6)
    assert torch.allclose(nodes, torch.tensor([[0.1, 0.16, 0.04, 0.35, 0.21, 0.14]]))


def test_the_uncertainty_loss_is_least_where_variance_equals_the_squared_gap() -> None:
    gap = torch.full((1, 4), 0.5)
    at = [losses.uncertainty(torch.zeros(1, 4), torch.full((1, 4), s), gap) for s in (-2.5, -1.3862944, -0.5)]
    assert at[1] < at[0]
    assert at[1] < at[2]
    assert float(at[1]) == pytest.approx(0.5 * (1 - 1.3862944))


def test_load_balance_is_the_squared_coefficient_of_variation() -> None:
    assert float(losses.load_balance(torch.tensor([[0.5, 0.5], [0.5, 0.5]]))) == 0
    assert float(losses.load_balance(torch.tensor([[1.0, 0.0]]))) == pytest.approx(1.0)


def test_the_gated_cost_raises_the_gate_of_a_cheap_expert_and_lowers_a_dear_one() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0]], requires_grad=True)
    level = torch.tensor([[0.1, 0.1, 0.8]])
    for price, sign in ((-1.0, -1), (1.0, 1)):
        cost = torch.zeros(1, 6)
        cost[0, 3] = price
        (gradient,) = torch.autograd.grad(losses.gated_cost(logits.softmax(1), level, ANCESTORS, cost), logits)
        assert gradient[0, 0].sign() == sign


@pytest.mark.parametrize("objective", ["expected", "paper"])
def test_training_routes_each_kind_to_its_cheapest_expert(objective: str, tmp_path: Path) -> None:
    kinds = torch.eye(8)[:3] * 3
    cost = torch.ones(3, 6)
    cost[0, 3] = cost[1, 1] = cost[2, 0] = 0
    training = TrainingConfig(steps=1500, batch=24, lr=3e-3, ema=0.9)
    config = RoutersConfig(objective=objective, alpha=0.0, beta=0.01, training=training)  # type: ignore[arg-type]
    network = routers()

    def batches(number: int) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(number)
        rows = torch.randint(3, (24,), generator=generator)
        noise = torch.randn(24, 6, generator=generator)
        return kinds[rows], cost[rows], torch.zeros(24, 8), noise[:, :3], noise[:, 3:]

    fit(RouterObjective(network, config), batches, training, checkpoint=tmp_path / "c.safetensors")
    out = network(kinds)
    paid = cost[torch.arange(3), ANCESTORS[out.leaf.argmax(1), out.level.argmax(1)]]
    assert float(paid.sum()) <= (0 if objective == "expected" else 1)
