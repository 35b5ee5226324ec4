"""What the borders of tiles cost, for every embedded expert: in tiles against the whole picture.

``python -m pytest tests/benchmarks/test_seams.py --benchmark-only -s`` prints the table of docs/large-photos.md.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unirestorer.core import budget, tiles
from unirestorer.core.canvas import TensorSheet, as_tensor
from unirestorer.core.images import load
from unirestorer.core.mixture import Expert, Mixture
from unirestorer.core.runtimes import runtime_of
from unirestorer.core.tiles import Seams, plan
from unirestorer.core.treatment import Treatment
from unirestorer.degradations.chain import parse_chain
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
OVERLAPS = (64, 128, 160, 192, budget.OVERLAP)


def picture(damage: str) -> Tensor:
    """(1, 3, 1152, 1024): real photos side by side, with one more damage over all of them."""
    found = [load(path).eight[:288] for path in sorted(PHOTOS.iterdir())]
    pixels = np.concatenate([np.concatenate(found[at : at + 2], axis=1) for at in range(0, 8, 2)], axis=0)
    specs = load_catalogue().synthesizers
    chain = parse_chain(damage if damage in specs else "noise", specs, "in", 1.0)
    with torch.no_grad():
        return chain.apply(as_tensor(pixels), chain.sample(1, torch.Generator().manual_seed(3)))


def apart(image: Tensor, expert: Expert, overlap: int) -> tuple[float, float, Seams]:
    """(mean in the bands where tiles are blended, most anywhere) in grey levels of 255, and what was measured."""
    seams, size = Seams(), expert.size
    whole = tiles.run_tiled(image, expert.network, size, tile=None)
    tiled = tiles.run(TensorSheet(image), expert.network, size, budget.THRIFTY, overlap, seams)
    found = plan(image.shape[2], image.shape[3], size, budget.THRIFTY, overlap)
    band = torch.zeros(image.shape[2:], dtype=torch.bool)
    for span in found.rows[1:]:
        band[span.low : span.low + tiles.BAND] = True
    for span in found.columns[1:]:
        band[:, span.low : span.low + tiles.BAND] = True
    difference = (whole - tiled.read(slice(0, image.shape[2]), slice(0, image.shape[3]))).abs()[0] * 255
    return float(difference[:, band].mean()), float(difference.max()), seams


@pytest.mark.benchmark(group="seams")
@pytest.mark.timeout(1200)
def test_every_embedded_expert(benchmark: Any) -> None:
    store = open_registry(Path(str(files("unirestorer") / "model.zarr.zip")))
    mixture = Mixture(store, load_catalogue(), runtime=runtime_of("auto"))
    rows: dict[str, dict[int, tuple[float, float]]] = {}

    def run() -> None:
        for node, name in enumerate(mixture.node_names):
            expert, image = mixture.expert(node), picture(name.split("/")[0])
            if expert.identity:
                continue
            rows[name] = {overlap: apart(image, expert, overlap)[:2] for overlap in OVERLAPS}

    benchmark.pedantic(run, rounds=1)
    print("\n| expert | " + " | ".join(map(str, OVERLAPS)) + " |\n|---" * 1 + "|---" * len(OVERLAPS) + "|")  # noqa: T201
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{mean:.2f} / {most:.1f}" for mean, most in row.values()) + " |")  # noqa: T201
    benchmark.extra_info["seams"] = {name: {str(at): both for at, both in row.items()} for name, row in rows.items()}
    worst = [row[budget.OVERLAP] for row in rows.values()]
    assert len(worst) > 15
    assert max(mean for mean, _ in worst) <= 1
    assert max(most for _, most in worst) <= 4
    assert Treatment().overlap is None
