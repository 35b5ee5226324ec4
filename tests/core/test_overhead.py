"""FLOPs against hand counts, memory against a known allocation, parameters of a model against its registry."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import nn

from unirestorer.core.canvas import as_tensor
from unirestorer.core.checkpoints import read_state
from unirestorer.core.errors import ConfigError, MemoryLimitError, UnknownNameError, WeightsError
from unirestorer.core.evaluating.overhead import (
    Network,
    Setting,
    count,
    flops_of,
    measure,
    model_parts,
    published_overhead,
)
from unirestorer.core.mixture import Mixture
from unirestorer.core.pipeline import run_pipeline
from unirestorer.plugins.manager import load_catalogue

from .tiny_world import RECIPE, make_run


def image(side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def on_pixels(network: nn.Module) -> Network:
    return lambda pixels: network.eval()(as_tensor(pixels))


def test_flops_of_a_convolutional_network_are_those_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 4, 2, stride=2),
    )
    by_hand = 2 * 32 * 32 * (8 * 3 * 9 + 8 * 9) + 2 * 16 * 16 * (4 * 8 * 4)
    assert flops_of(on_pixels(network), image(32)) == by_hand


class Attention(nn.Module):
    """Attention between 16 pixels of 4 channels with two heads, as PyTorch does it."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Conv2d(3, 4, 1)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.widen(images).flatten(2).transpose(1, 2)
        out: torch.Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return out


def test_flops_of_fused_attention_are_counted() -> None:
    tokens, width = 16, 4
    projections, products = 4 * tokens * width * width, 2 * tokens * tokens * width
    by_hand = 2 * (tokens * 3 * width + projections + products)
    assert flops_of(on_pixels(Attention()), image(4)) == by_hand
    assert torch.backends.mha.get_fastpath_enabled(), "left as it was"
    attend = nn.functional.scaled_dot_product_attention

    def alone(pixels: NDArray[np.uint8]) -> object:
        tokens = as_tensor(pixels).flatten(2)
        return attend(tokens, tokens, tokens)

    assert flops_of(alone, image(4)) == 2 * 2 * 3 * 3 * 16


def test_memory_is_what_the_process_grows_by_and_time_is_measured() -> None:
    found = measure(partial(partial, np.repeat, repeats=64), Setting(size=512, repeats=2))
    wanted = 64 * 3 * 512 * 512
    assert found.growth is not None
    assert 0.98 * wanted <= found.growth < 1.2 * wanted
    assert found.flops == 0
    assert 0 < found.seconds < 10


def test_a_process_that_is_killed_is_one_line() -> None:
    with pytest.raises(MemoryLimitError, match="64 x 64 pixels was killed"):
        measure(partial(os._exit, 9), Setting(size=64))


def test_what_cannot_be_built_is_said_as_ever() -> None:
    with pytest.raises(WeightsError, match="no such file"):
        measure(partial(read_state, Path("none.pth")), Setting(size=64))  # type: ignore[arg-type]


def test_a_published_architecture_is_measured_at_its_size() -> None:
    (row,) = published_overhead(load_catalogue, "retinexformer", Setting(size=64, repeats=1), "one stage")
    assert (row.name, row.parameters, row.active) == ("retinexformer, one stage", 1_605_701, 1_605_701)
    # 15.57 GMAC at 256 x 256 are printed by Cai et al. (ICCV 2023); FLOPs grow with the number of pixels
    assert row.measured.flops == pytest.approx(2 * 15.57e9 / 16, rel=0.1)
    assert row.memory is not None
    assert row.memory > 4 * row.parameters


def test_unknown_sizes_and_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="one stage"):
        published_overhead(load_catalogue, "retinexformer", Setting(), "two stages")
    with pytest.raises(ConfigError, match="no published size of 'resunet'"):
        published_overhead(load_catalogue, "resunet", Setting())
    with pytest.raises(ConfigError, match="repeats is 0"):
        Setting(repeats=0)


EXPERTS = """\
  adapter: {name: lora, config: {rank: 1, alpha: 2}}
  types: {lowlight: {name: resunet, config: {widths: [8], encoder: [1], decoder: []}}}
"""


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    """A whole network at the root, a smaller one for low light, else adapters over the first."""
    text = RECIPE.replace("  patch: 32\n  levels:", f"{EXPERTS}  patch: 32\n  levels:")
    run = make_run(tmp_path_factory.mktemp("overhead"), "whole", text=text)
    run_pipeline(run)
    return Mixture(run.store, run.catalogue)


def test_parts_of_a_model_add_up_to_what_its_registry_keeps(mixture: Mixture) -> None:
    first, root, *others, whole = model_parts(lambda: mixture)
    routing, network = count(mixture.extractor) + count(mixture.routers), count(mixture.expert(0).module)
    records = dict(mixture.expert_record(node) for node in range(len(mixture.hierarchy)))
    kept = {name: record.arrays["weights"] for name, record in records.items() if "weights" in record.arrays}
    numbers = {name: sum(map(torch.numel, load(weights.tobytes()).values())) for name, weights in kept.items()}
    adapters = [part for part in others if part.name.endswith("lora")]
    small = [part for part in others if part.name.endswith("resunet")]
    assert (first.parameters, first.active) == (routing, routing)
    assert (root.name, root.parameters, root.active) == ("level ALL: 1 x resunet", network, network)
    assert {part.active for part in adapters} == {network}, "an adapter is run merged into the network"
    assert small
    assert all(part.active < network for part in small)
    assert sum(part.parameters for part in (root, *others)) == sum(numbers.values())
    assert (whole.parameters, whole.active) == (routing + sum(numbers.values()), routing + network)


def test_the_whole_is_the_routing_and_one_expert(mixture: Mixture) -> None:
    first, root, *_, whole = model_parts(lambda: mixture)
    flops = [flops_of(part.make(), image(64)) for part in (first, root, whole)]
    assert flops[0] > 0
    assert flops[2] == flops[0] + flops[1]
