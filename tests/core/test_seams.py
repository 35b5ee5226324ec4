"""Where tiles meet: what experts make of tiles is what they make of the whole picture, and what is not is said."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unirestorer.core import budget, tiles
from unirestorer.core.canvas import PixelSheet, TensorSheet
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.images import load
from unirestorer.core.mixture import Expert, Mixture
from unirestorer.core.restoring.running import run_expert
from unirestorer.core.tiles import Seams, plan
from unirestorer.core.treatment import Treatment
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
TILE = 3 * budget.OVERLAP
"""The smallest tile that shares as much as larger ones."""


@pytest.fixture(scope="module")
def embedded() -> Mixture:
    return Mixture(open_registry(Path(str(files("unirestorer") / "model.zarr.zip"))), load_catalogue())


def wide(name: str) -> PixelSheet:
    """A real photo beside its mirror image, wider than a tile: what lies at the seam is not what is mirrored."""
    pixels = load(PHOTOS / name).eight
    return PixelSheet(np.ascontiguousarray(np.concatenate([pixels, pixels[:, ::-1]], axis=1)[:, 90:]))


@pytest.mark.parametrize(
    ("node", "photo"),
    [("all", "osprey-rain.png"), ("lowlight", "colosseum-lowlight.png"), ("snow/large", "osprey-snow.png")],
)
def test_the_experts_that_look_farthest_have_no_seams(embedded: Mixture, node: str, photo: str) -> None:
    canvas, expert = wide(photo), embedded.expert(embedded.node_names.index(node))
    whole, _ = run_expert(canvas, expert, Treatment(tile=0))
    seams = Seams()
    tiled = tiles.run(canvas, expert.network, expert.size, TILE, budget.OVERLAP, seams)
    rows, columns = slice(0, canvas.height), slice(0, canvas.width)
    apart = (whole.read(rows, columns) - tiled.read(rows, columns)).abs()[0]
    found = plan(canvas.height, canvas.width, expert.size, TILE, budget.OVERLAP)
    bands = [apart[:, :, span.low : span.low + tiles.BAND] for span in found.columns[1:]]
    assert bands
    assert max(float(band.mean()) for band in bands) <= 1 / 255
    assert float(apart.max()) <= 4 / 255
    assert seams.worst <= 4 / 255


def test_too_little_in_common_is_seen_and_measured_as_far_as_the_whole_tells(embedded: Mixture) -> None:
    canvas, expert = wide("osprey-rain.png"), embedded.expert(0)
    whole, _ = run_expert(canvas, expert, Treatment(tile=0))
    tiled, tiling = run_expert(canvas, expert, Treatment(tile=512, overlap=16))
    rows, columns = slice(0, canvas.height), slice(0, canvas.width)
    worst = float((whole.read(rows, columns) - tiled.read(rows, columns)).abs().max())
    assert worst > 8 / 255
    assert worst / 3 <= tiling.step <= worst * 1.5
    assert "the expert looks further than the 16 pixels" in tiling.note


def test_a_network_that_looks_at_the_whole_picture_is_told_from_one_that_does_not() -> None:
    class Pooled(nn.Module):
        """Brightens a dark picture, as global attention may; what is dark depends on the tile."""

        def forward(self, image: Tensor) -> Tensor:
            return image + 0.2 * (0.5 - image.mean(dim=(2, 3), keepdim=True))

    ramp = torch.linspace(0, 1, 300).expand(1, 3, 200, 300)
    expert = Expert(Pooled(), SizeRequirement(), identity=False, name="pooled")
    _, tiling = run_expert(TensorSheet(ramp), expert, Treatment(tile=120, overlap=24))
    assert tiling.seam > 1 / 255
    assert "look for seams, and give it more memory (--max-memory) or --tile 0" in tiling.note
    _, whole = run_expert(TensorSheet(ramp), expert, Treatment(tile=0))
    assert (whole.seam, whole.step, whole.note) == (0, 0, "")
    local = Expert(nn.AvgPool2d(3, 1, 1, count_include_pad=False), SizeRequirement(), identity=False, name="local")
    _, tiling = run_expert(TensorSheet(ramp), local, Treatment(tile=120, overlap=24))
    assert (tiling.count > 4, tiling.note) == (True, "")
    assert tiling.step < 1e-6


def test_seams_are_what_blending_hides() -> None:
    def offset(rows: slice, columns: slice) -> Tensor:
        """Each tile of a row is 0.1 brighter than the one before."""
        level = 0.1 * (columns.start // 40)
        return torch.full((3, rows.stop - rows.start, columns.stop - columns.start), level)

    seams, found = Seams(), plan(40, 112, SizeRequirement(), 48, 16)
    assert [span.start for span in found.columns] == [0, 32, 64]
    for _ in tiles.strips(found, offset, seams):
        pass
    assert seams.worst == pytest.approx(0.05, rel=0.15)  # half of the step, where both count the same
    assert seams.mean == pytest.approx(0.0125, rel=0.15)
