"""What UniRestorer adds to the network that restores: ``python -m pytest tests/benchmarks --benchmark-only``.

``model.restore`` on an 8-bit array of one megapixel, with estimate, conversion, checks of the result and all else,
beside the expert that it chose, called on a float tensor of that size with the same runtime.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import unirestorer
from unirestorer.core.canvas import as_tensor
from unirestorer.core.mixture import Mixture

ROUNDS = 12


def damaged(side: int) -> NDArray[np.uint8]:
    """A smooth picture with noise."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, side // 32, side // 32, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    noisy = smooth + 0.1 * torch.randn(1, 3, side, side, generator=generator)
    return (noisy.clamp(0, 1)[0].permute(1, 2, 0) * 255).to(torch.uint8).contiguous().numpy()


@pytest.mark.parametrize("runtime", ["eager", "openvino"])
def test_restoring_an_array_beside_its_expert(benchmark: Any, runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    model, pixels = unirestorer.load(runtime=runtime), damaged(1024)
    (step,) = model.restore(pixels).route
    assert step.outcome == "kept", f"nothing was restored: {step.reason}"
    mixture = model.restorer.mixture
    assert isinstance(mixture, Mixture)
    expert, image = mixture.expert(step.estimate.node), as_tensor(pixels).contiguous()
    alone, whole = [], []

    def both() -> None:  # in turns, so that whatever else the machine does meets both alike
        start = perf_counter()
        with torch.inference_mode():
            expert.network(image)
        middle = perf_counter()
        model.restore(pixels)
        alone.append(middle - start)
        whole.append(perf_counter() - middle)

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=2)
    benchmark.extra_info |= {
        "expert": expert.name,
        "tiles": step.tiling.count if step.tiling else 0,
        "network_ms": round(1000 * min(alone), 1),
        "restore_ms": round(1000 * min(whole), 1),
        "overhead_percent": round(100 * (min(whole) / min(alone) - 1), 1),
    }
