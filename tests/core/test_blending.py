"""More than one expert: what of a mixture is run, and what comes out."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.images import Picture
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Estimate, Expert, Mixture
from unirestorer.core.restoring import Restorer, blended
from unirestorer.core.routing import PLAIN
from unirestorer.core.treatment import Treatment
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry


class Scale(nn.Module):
    """Multiplies, and keeps the sizes it was given."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by
        self.sizes: set[tuple[int, int]] = set()

    def forward(self, image: Tensor) -> Tensor:
        self.sizes.add((image.shape[2], image.shape[3]))
        return image * self.by


class Told:
    """Experts that multiply by 0.5, 0.25 and 4, and two identities; the experts to run are told."""

    tasks = ()

    def __init__(self, *experts: tuple[int, float]) -> None:
        self.experts = experts
        self.made = [
            Expert(Scale(0.5), SizeRequirement(8, 16), identity=False, name="half"),
            Expert(Scale(0.25), SizeRequirement(12, 16), identity=False, name="quarter"),
            Expert(Scale(4.0), SizeRequirement(), identity=False, name="four"),
            Expert(nn.Identity(), SizeRequirement(), identity=True, name="clean"),
            Expert(nn.Identity(), SizeRequirement(), identity=True, name="tone"),
        ]

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        return None

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        return Estimate(self.experts[0][0], ("all",), "x", {}, {}, {}, (), self.experts)

    def expert(self, node: int) -> Expert:
        return self.made[node]


def restorer(*experts: tuple[int, float]) -> Restorer:
    return Restorer(Told(*experts), Treatment(tile=64, overlap=16))


PICTURE = Picture(np.random.default_rng(0).integers(0, 256, (100, 90, 3), dtype=np.uint8), icc=b"icc")
IMAGE = torch.rand(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))


def test_the_result_is_the_weighted_mean_of_what_the_experts_make() -> None:
    one, other = (restorer((node, 1.0)).restore_tensor(IMAGE).tensor for node in (0, 1))
    both = restorer((0, 0.7), (1, 0.3)).restore_tensor(IMAGE)
    assert torch.allclose(both.tensor, 0.7 * one + 0.3 * other, atol=1e-6)
    assert both.experts == ("half", "quarter")
    assert both.tiles > 1


def test_pictures_are_blended_before_they_are_rounded() -> None:
    done = restorer((0, 0.5), (1, 0.5)).restore(PICTURE)
    exact = PICTURE.pixels * 0.375
    assert np.abs(done.pixels - exact).max() < 0.501
    one, other = (restorer((node, 1.0)).restore(PICTURE).pixels.astype(np.float64) for node in (0, 1))
    assert np.abs(np.rint((one + other) / 2) - exact).max() > 0.6
    assert done.picture.icc == b"icc"


def test_each_expert_counts_within_the_range_of_pictures() -> None:
    done = restorer((0, 0.5), (2, 0.5)).restore_tensor(torch.full((1, 3, 32, 32), 0.8))
    assert torch.allclose(done.tensor, torch.full((1, 3, 32, 32), 0.5 * 0.4 + 0.5 * 1.0))


def test_the_identity_takes_part_in_a_blend() -> None:
    done = restorer((3, 0.6), (0, 0.4)).restore_tensor(IMAGE)
    assert torch.allclose(done.tensor, IMAGE * (0.6 + 0.2), atol=1e-6)
    assert (done.experts, done.unchanged) == (("clean", "half"), False)


@pytest.mark.parametrize("experts", [((3, 1.0),), ((3, 0.6), (4, 0.4))])
def test_where_all_is_left_to_the_identity_the_picture_stays_as_it_is(experts: tuple[tuple[int, float], ...]) -> None:
    done = restorer(*experts).restore(PICTURE)
    assert done.image is PICTURE
    assert (done.unchanged, done.tiles) == (True, 0)


def test_a_single_expert_is_run_as_it_is() -> None:
    expert = Told().made[0]
    assert blended([(expert, 1.0)]) is expert


def test_tiles_fit_every_expert_of_a_blend() -> None:
    mixture = Told((0, 0.5), (1, 0.5))
    Restorer(mixture, Treatment(tile=50, overlap=12)).restore(PICTURE)
    for expert in mixture.made[:2]:
        assert expert.module.sizes
        assert all(h % 24 == w % 24 == 0 for h, w in expert.module.sizes)  # type: ignore[union-attr]


def test_a_batch_names_the_experts_of_every_image() -> None:
    done = restorer((0, 0.5), (1, 0.5)).restore_tensor(IMAGE.expand(2, -1, -1, -1))
    assert done.experts == ("half", "quarter", "half", "quarter")
    assert [estimate.experts for estimate in done.estimates] == [((0, 0.5), (1, 0.5))] * 2


@pytest.fixture(scope="module")
def embedded() -> Mixture:
    return Mixture(open_registry(Path(str(files("unirestorer") / "model.zarr.zip"))), load_catalogue())


def test_a_model_from_before_there_were_options_runs_one_expert(embedded: Mixture) -> None:
    estimate, options = embedded.estimate(IMAGE), embedded.routers.options
    assert options == replace(PLAIN, temperatures=options.temperatures)
    assert estimate.experts == ((estimate.node, 1.0),)


def test_a_mixture_names_the_chosen_node_first_and_then_the_likeliest_others(embedded: Mixture) -> None:
    one, options = embedded.estimate(IMAGE), embedded.routers.options
    embedded.routers.options = replace(options, top_k=3)
    try:
        three = embedded.estimate(IMAGE)
    finally:
        embedded.routers.options = options
    nodes, weights = zip(*three.experts, strict=True)
    assert nodes[0] == one.node == three.node
    assert [embedded.node_names[node] for node in nodes[1:]] == [name for name, _ in one.alternatives[:2]]
    assert sum(weights) == pytest.approx(1)
    others = [probability for _, probability in one.alternatives[:2]]
    assert [weight / weights[1] for weight in weights[1:]] == pytest.approx([p / others[0] for p in others])
