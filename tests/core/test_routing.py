from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from unirestorer.core import losses
from unirestorer.core.contracts import Record, Store
from unirestorer.core.errors import RegistryError, ShapeError
from unirestorer.core.extending.growth import Grown
from unirestorer.core.extending.refit import Counterparts, KeepObjective, grown_routers
from unirestorer.core.hierarchy import Hierarchy, LabelledTree
from unirestorer.core.mixture import weighted
from unirestorer.core.models import load_routers, routers_record
from unirestorer.core.recipe import RoutersConfig, TrainingConfig
from unirestorer.core.routing import PLAIN, NoisyGate, RouterObjective, RouterOptions, Routers, Temperatures, head
from unirestorer.core.stages.routers import Rows, trained
from unirestorer.core.training.loop import fit, seeded
from unirestorer.registry import open_registry
from unirestorer.registry.halving import halve

ANCESTORS = torch.tensor([[0, 1, 3], [0, 1, 4], [0, 2, 5]])


def routers() -> Routers:
    return seeded(lambda: Routers(8, ANCESTORS), 0)


def drawn(options: RouterOptions = PLAIN) -> Routers:
    """Routers with gates that decide something."""

    def build() -> Routers:
        network = Routers(8, ANCESTORS, options)
        for gate, scale in ((network.leaf_gate, 40.0), (network.level_gate, 40.0)):
            nn.init.normal_(gate.linear.weight, std=scale if options.norm == "none" else 1.0)
        return network

    return seeded(build, 0).eval()


def norms_of(network: Routers) -> list[nn.BatchNorm1d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]


def has_statistics_of(network: Routers, dr: torch.Tensor) -> bool:
    """Whether both batch normalisations have mean and variance of what comes to them for all of ``dr``."""
    standard = (dr - network.centre) / network.spread
    coming = [part[:-1](standard) for part in (network.degradation, network.granularity)]
    return all(
        torch.allclose(norm.running_mean, values.mean(0), atol=1e-6)  # type: ignore[arg-type]
        and torch.allclose(norm.running_var, values.var(0), rtol=1e-4)  # type: ignore[arg-type]
        for norm, values in zip(norms_of(network), coming, strict=True)
    )


def hand_made() -> Hierarchy:
    """The tree of ``ANCESTORS``."""
    parent, level = np.array([-1, 0, 0, 1, 1, 2], np.int32), np.array([0, 1, 1, 2, 2, 2], np.int32)
    centroid = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    return Hierarchy(parent, level, centroid, np.zeros((0, 3), np.int32), normalize=False).validate()


def test_untrained_routers_are_undecided() -> None:
    out = routers()(torch.randn(4, 8))
    assert torch.allclose(out.leaf, torch.full((4, 3), 1 / 3))
    assert torch.allclose(out.level, torch.full((4, 3), 1 / 3))


def test_without_noise_the_gate_is_deterministic_and_with_it_the_scale_is_softplus_plus_a_hundredth() -> None:
    gate, noise = NoisyGate(8, 3), torch.ones(2, 3)
    assert torch.equal(gate(torch.zeros(2, 8)), torch.zeros(2, 3))
    assert torch.allclose(gate(torch.zeros(2, 8), noise), torch.full((2, 3), 0.6931472 + 0.01))


def test_heads_are_five_square_layers_and_batch_normalisation_where_asked_for() -> None:
    for norm, kinds in (("none", 9), ("batch", 10)):
        layers = list(head(8, norm))
        assert len(layers) == kinds
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        assert [tuple(layer.weight.shape) for layer in linear] == [(8, 8)] * 5
        assert all(layer.bias is None for layer in linear)
        assert [layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)] == [0.1] * 4
        assert isinstance(layers[-1], nn.BatchNorm1d if norm == "batch" else nn.Linear)
    assert tuple(NoisyGate(8, 3).linear.weight.shape) == (6, 8)
    assert not NoisyGate(8, 3).linear.weight.any()


def test_settled_batch_normalisation_decides_for_one_image_as_for_many() -> None:
    network = drawn(RouterOptions(norm="batch"))
    dr = torch.randn(64, 8) * 3 + 1
    network.settle(dr)
    assert not network.training
    many, one = network(dr), network(dr[:1])
    assert torch.allclose(one.leaf, many.leaf[:1], atol=1e-6)
    assert torch.equal(network(dr).leaf, many.leaf)
    assert torch.allclose(many.mean.mean(0), torch.zeros(8), atol=1e-5)
    assert has_statistics_of(network, dr)
    assert [norm.momentum for norm in norms_of(network)] == [0.1, 0.1]


def test_settling_leaves_heads_without_normalisation_alone() -> None:
    network = drawn()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.settle(torch.randn(5, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_after_training_statistics_are_those_of_the_averaged_weights(tmp_path: Path) -> None:
    training = TrainingConfig(steps=30, batch=16, lr=0.05, ema=0.99, warmup=0)
    config = RoutersConfig(norm="batch", jitter=0.5, training=training)
    tree = hand_made()
    rng = np.random.default_rng(0)
    dr, cost = rng.normal(2, 3, (80, 8)).astype(np.float32), rng.random((80, 6)).astype(np.float32)
    network = trained(tree, Rows(dr, cost, cost), config, 0, tmp_path / "c.safetensors")
    assert not network.training
    assert has_statistics_of(network, torch.from_numpy(dr))


def test_batch_normalisation_with_batches_of_one_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"training\.batch must be at least 2 with norm: batch"):
        RoutersConfig(norm="batch", training=TrainingConfig(steps=1, batch=1))
    assert RoutersConfig(training=TrainingConfig(steps=1, batch=1)).norm == "none"


def test_a_temperature_divides_the_logits_and_leaves_the_choice() -> None:
    plain, dr = drawn(), torch.randn(32, 8)
    highest = []
    for temperature in (0.5, 1.0, 2.0, 8.0):
        plain.options = RouterOptions(temperatures=Temperatures(temperature, 3 * temperature))
        out, (leaf, level, _, _) = plain(dr), plain.logits(dr)
        assert torch.allclose(out.leaf, (leaf / temperature).softmax(1))
        assert torch.allclose(out.level, (level / (3 * temperature)).softmax(1))
        assert torch.equal(out.leaf.argmax(1), leaf.argmax(1))
        highest.append(out.leaf.amax(1))
    for colder, warmer in pairwise(highest):
        assert bool((colder >= warmer).all())
        assert bool((colder > warmer).any())


def test_an_instruction_acts_before_the_softmax_whatever_the_temperature() -> None:
    network, dr = drawn(RouterOptions(temperatures=Temperatures(2.0, 0.5))), torch.randn(4, 8)
    allowed = torch.tensor([True, True, False, True, True, False])
    whole, told = network(dr), network(dr, allowed=allowed)
    left = whole.leaf * torch.tensor([1.0, 1.0, 0.0])
    assert torch.allclose(told.leaf, left / left.sum(1, keepdim=True))
    assert torch.allclose(told.level, whole.level)


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


def test_weights_of_experts_sum_to_one_and_a_single_one_is_that_of_equation_6() -> None:
    mass = np.array([0.3, 0.1, 0.0, 0.4, 0.2, 0.0])
    assert weighted([3], mass) == ((3, 1.0),)
    assert weighted([2], mass) == ((2, 1.0),)
    nodes, weights = zip(*weighted([4, 3, 0], mass), strict=True)
    assert nodes == (4, 3, 0)
    assert weights == pytest.approx((0.2 / 0.9, 0.4 / 0.9, 0.3 / 0.9))
    assert sum(weights) == pytest.approx(1)


def test_load_is_balanced_over_levels_alone_where_the_recipe_says_so() -> None:
    network, training = drawn(), TrainingConfig(steps=1)
    batch = (torch.randn(16, 8), torch.rand(16, 6), torch.zeros(16, 8), torch.zeros(16, 3), torch.zeros(16, 3))
    out = network(batch[0])
    both, level, none = (
        float(RouterObjective(network, RoutersConfig(beta=beta, balance=balance, training=training))(*batch).detach())  # type: ignore[arg-type]
        for beta, balance in ((1, "both"), (1, "level"), (0, "both"))
    )
    assert level - none == pytest.approx(float(losses.load_balance(out.level).detach()), abs=1e-5)
    assert both - level == pytest.approx(float(losses.load_balance(out.leaf).detach()), abs=1e-5)


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


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_registry(tmp_path / "registry", create=True)


def written(store: Store, network: Routers, **changes: object) -> None:
    record = routers_record(network, {"config": {"objective": "paper", "norm": "said elsewhere"}, "losses": {}})
    store.write({("routers", "r"): Record(record.arrays, {**record.attributes, **changes})}, message="m", author="a")


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_routers_come_back_from_a_registry_as_they_were(store: Store, norm: str) -> None:
    network, dr = drawn(RouterOptions(norm, 3, Temperatures(1.5, 0.25))), torch.randn(16, 8)
    network.settle(dr + 1)
    written(store, network)
    config = store.attributes("routers", "r")["config"]
    assert config == {"objective": "paper", "norm": norm, "top_k": 3}
    assert store.attributes("routers", "r")["temperatures"] == {"leaf": 1.5, "level": 0.25}
    again = load_routers(store, "r", hand_made())
    assert again.options == network.options
    assert torch.equal(again(dr).leaf, network(dr).leaf)
    assert torch.equal(again(dr[:1]).level, network(dr[:1]).level)


def test_a_record_that_says_nothing_of_options_is_one_without_any(store: Store) -> None:
    network, dr = drawn(), torch.randn(4, 8)
    record = routers_record(network, {"config": {}, "losses": {}})
    old = {name: value for name, value in record.attributes.items() if name != "temperatures"}
    store.write({("routers", "r"): Record(record.arrays, {**old, "config": {}})}, message="m", author="a")
    again = load_routers(store, "r", hand_made())
    assert again.options == PLAIN
    assert torch.equal(again(dr).leaf, network(dr).leaf)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"config": {"norm": "layer"}}, "routers r: norm is 'layer', wanted 'none' or 'batch'"),
        ({"config": {"top_k": 0}}, "routers r: top_k is 0, wanted a number above 0"),
        ({"temperatures": {"leaf": -1.0, "level": 1.0}}, r"routers r: leaf is -1\.0, wanted a number above 0"),
        ({"temperatures": {"leaf": 1.0}}, "routers r: level is None, wanted a number above 0"),
    ],
)
def test_options_that_nobody_understands_are_refused_in_one_line(
    store: Store, changes: dict[str, object], wanted: str
) -> None:
    written(store, drawn(), **changes)
    with pytest.raises(RegistryError, match=wanted) as caught:
        load_routers(store, "r", hand_made())
    assert "\n" not in str(caught.value)


def test_temperatures_that_are_no_object_are_not_written(store: Store) -> None:
    with pytest.raises(RegistryError, match=r"attribute 'temperatures' is 2\.0, wanted object"):
        written(store, drawn(), temperatures=2.0)


def test_statistics_of_batch_normalisation_survive_an_export_in_float16(store: Store, tmp_path: Path) -> None:
    network, dr = drawn(RouterOptions("batch")), torch.randn(256, 8)
    network.settle(dr)
    record = halve("routers/r", routers_record(network, {"config": {}, "losses": {}}))
    store.write({("routers", "r"): record}, message="m", author="a")
    assert torch.allclose(load_routers(store, "r", hand_made())(dr).leaf, network(dr).leaf, atol=0.01)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_routers_of_a_grown_tree_say_what_the_calibrated_old_ones_say(norm: str) -> None:
    old, dr = drawn(RouterOptions(norm, 2, Temperatures(3.0, 0.5))), torch.randn(16, 8)
    old.settle(dr)
    tree = LabelledTree(hand_made(), tuple("abcdef"), tuple("abcdef"), ("x", "y", "z"))
    same = Counterparts(np.arange(3), np.arange(3), np.arange(3))
    grown = Grown(tree, np.arange(6, dtype=np.int32))
    new = grown_routers(old, grown, same).eval()
    assert new.options == RouterOptions(norm, 2)
    assert torch.allclose(new(dr).leaf, old(dr).leaf, atol=1e-5)
    assert torch.allclose(new(dr).level, old(dr).level, atol=1e-5)


def test_what_new_routers_are_held_to_is_what_the_old_ones_say_outside_of_training() -> None:
    old, dr = drawn(RouterOptions("batch")), torch.randn(16, 8)
    old.settle(dr)
    before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    tree = LabelledTree(hand_made(), tuple("abcdef"), tuple("abcdef"), ("x", "y", "z"))
    same = Counterparts(np.arange(3), np.arange(3), np.arange(3))
    new = grown_routers(old, Grown(tree, np.arange(6, dtype=np.int32)), same)
    objective = KeepObjective(new, RoutersConfig(training=TrainingConfig(steps=1)), old, same, 1.0).train()
    objective(dr + 5, torch.zeros(16, 6), dr, torch.zeros(16, 3), torch.zeros(16, 3), torch.ones(16))
    assert all(torch.equal(before[name], tensor) for name, tensor in old.state_dict().items())
