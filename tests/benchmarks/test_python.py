"""What ``Model.restore`` costs beside the expert that it runs, in the same run, and what a batch would gain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import unirestorer
from unirestorer.core.mixture import Expert, Mixture
from unirestorer.core.runtimes import states

WORKING = [state.name for state in states() if not state.problem and state.name in ("eager", "openvino")]
SIDE = 1024
PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "otter-noise.png"
TURNS = 4


def in_turn(*works: Callable[[], object]) -> list[float]:
    """Seconds of each of ``works``, the least of several turns, taken one after another so that all have equal luck."""
    least = [float("inf")] * len(works)
    for _ in range(TURNS):
        for at, work in enumerate(works):
            start = perf_counter()
            work()
            least[at] = min(least[at], perf_counter() - start)
    return least


def expert_of(model: unirestorer.Model, name: str) -> Expert:
    mixture = model.restorer.mixture
    assert isinstance(mixture, Mixture)
    return mixture.expert(mixture.node_names.index(name))


@pytest.mark.benchmark(group="restore an array of 1 MP")
@pytest.mark.parametrize("runtime", WORKING)
def test_restore_beside_its_expert(benchmark: Any, runtime: str) -> None:
    model = unirestorer.load(runtime=runtime)
    with Image.open(PHOTO) as photo:
        array = np.asarray(photo.convert("RGB").resize((SIDE, SIDE)))
    image = torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255
    expert = expert_of(model, "noise")

    def alone() -> torch.Tensor:
        with torch.inference_mode():
            return expert.network(image)

    def whole() -> object:
        return model.restore(array, expert="noise").image

    assert model.restore(array, expert="noise").route[-1].outcome == "kept"
    told, bare = in_turn(whole, alone)
    benchmark.extra_info |= {"overhead": told / bare - 1, "restore_s": told, "expert_s": bare}
    benchmark.pedantic(whole, rounds=2)


@pytest.mark.benchmark(group="eight small images")
@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_a_batch_beside_its_images(benchmark: Any, side: int) -> None:
    module = expert_of(unirestorer.load(runtime="eager"), "noise").module
    batch = torch.rand(8, 3, side, side).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def at_once() -> None:
        module(batch)

    @torch.inference_mode()
    def one_by_one() -> None:
        for image in batch:
            module(image[None])

    together, single = in_turn(at_once, one_by_one)
    benchmark.extra_info |= {"batch_s": together, "one_by_one_s": single, "gain": single / together}
    benchmark.pedantic(at_once, rounds=2)
