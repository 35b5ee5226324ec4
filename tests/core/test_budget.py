"""Tiles as large as memory allows, and smaller ones where it runs out all the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from unirestorer.core import budget
from unirestorer.core.canvas import PixelSheet
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.errors import MemoryLimitError, ShapeError
from unirestorer.core.mixture import Expert
from unirestorer.core.restoring import blended
from unirestorer.core.restoring.running import run_expert
from unirestorer.core.runtimes.cache import Cache
from unirestorer.core.runtimes.openvino import OpenVino
from unirestorer.core.tiles import plan
from unirestorer.core.treatment import Treatment

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
MEGABYTE = 10**6


def canvas(height: int, width: int) -> PixelSheet:
    return PixelSheet(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def expert(module: nn.Module, size: SizeRequirement | None = None) -> Expert:
    return Expert(module, size or SizeRequirement(), identity=False, name="expert")


class Wide(nn.Module):
    """Keeps two images of 32 channels alive at the same time: 2 x 32 x 4 bytes a pixel, and what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        wide = self.up(image)
        for _ in range(5):
            wide = torch.relu(wide)
        result: Tensor = self.down(wide)
        return result


class Hungry(nn.Module):
    """A real network that gets no memory for more than ``most`` pixels; ``error`` is what it says then."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.most, self.error, self.seen = most, error, list[int]()
        self.net = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(max(image.shape[2:]))
        if image.shape[2] * image.shape[3] > self.most:
            raise self.error
        result: Tensor = self.net(image)
        return result


def test_what_a_network_takes_is_what_lives_at_the_same_time() -> None:
    found = budget.appetite(Wide(), SizeRequirement())
    assert (found.fixed, found.pixel) == (0, 2 * 32 * 4)
    assert budget.appetite(nn.Identity(), SizeRequirement(48, 100)) == budget.Appetite(0, 0.0)


def test_what_does_not_grow_with_the_image_is_told_apart_and_weights_do_not_count() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(1000, 1000))

        def forward(self, image: Tensor) -> Tensor:
            table = self.weight.view(-1)[:250_000] * 2
            return image * 2 + table.mean()

    found = budget.appetite(Mixed(), SizeRequirement())
    assert found.pixel == pytest.approx(24, abs=0.1)
    assert found.fixed == pytest.approx(1_000_000, rel=0.01)


@pytest.mark.parametrize(
    ("height", "width", "room", "side"),
    [
        (1000, 1000, 600, 0),  # one megapixel goes in one piece
        (1000, 1000, 300, 896),
        (3000, 4000, 600, 1024),
        (3000, 4000, 300, 672),
        (3000, 4000, 120, 256),
    ],
)
def test_a_tile_is_as_large_as_the_limit_allows(
    height: int, width: int, room: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "held", lambda: 400 * MEGABYTE)
    parts = [expert(Wide())]
    found = budget.side_for(canvas(height, width), parts, SizeRequirement(), None, (400 + room) * MEGABYTE)
    assert found == side
    tiles = plan(height, width, SizeRequirement(), found or None, budget.overlap_of(found, None))
    assert budget.needs(canvas(height, width), tiles, parts) <= room * MEGABYTE


def test_where_not_even_the_smallest_tile_fits_the_limit_that_would_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "held", lambda: 400 * MEGABYTE)
    arguments = canvas(3000, 4000), [expert(Wide())], SizeRequirement(), None
    with pytest.raises(MemoryLimitError, match=r"^4000 x 3000 pixels do not fit .*, wanted (\d+) MB; raise") as caught:
        budget.side_for(*arguments, 450 * MEGABYTE)
    wanted = int(str(caught.value).split("wanted ")[1].split(" ")[0])
    assert budget.side_for(*arguments, wanted * MEGABYTE) == 128


def test_without_a_limit_tiles_do_not_depend_on_what_the_process_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "available", lambda: 8000 * MEGABYTE)
    for held in (100, 5000):
        monkeypatch.setattr(budget, "held", lambda held=held: held * MEGABYTE)
        assert budget.side_for(canvas(3000, 4000), [expert(Wide())], SizeRequirement(), None, None) == 1024
    monkeypatch.setattr(budget, "available", lambda: 500 * MEGABYTE)
    assert budget.side_for(canvas(3000, 4000), [expert(Wide())], SizeRequirement(), None, None) == 512


def test_a_hungry_network_gets_tiles_that_share_enough_where_the_machine_has_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hungrier(Wide):
        def forward(self, image: Tensor) -> Tensor:
            kept = [self.up(image) for _ in range(30)]
            result: Tensor = self.down(sum(kept))
            return result

    monkeypatch.setattr(budget, "available", lambda: 16000 * MEGABYTE)
    found = budget.side_for(canvas(3000, 4000), [expert(Hungrier())], SizeRequirement(), None, None)
    assert found == budget.THRIFTY
    assert budget.overlap_of(found, None) == budget.OVERLAP


def test_a_container_and_the_limits_of_the_process_count(tmp_path: Path) -> None:
    assert budget._in_container(tmp_path) == sys.maxsize
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert budget._in_container(tmp_path) == sys.maxsize
    (tmp_path / "memory.max").write_text("105\n")
    assert budget._in_container(tmp_path) == 100
    assert 0 < budget.available() <= psutil.virtual_memory().total
    assert budget.held() > 50 * MEGABYTE


@pytest.mark.parametrize("asked", [None, 0, 300])
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("Exception from src/inference: could not create a memory object"),
    ],
)
def test_where_memory_runs_out_tiles_of_half_the_size_are_tried(asked: int | None, error: Exception) -> None:
    torch.manual_seed(0)
    net, image = Hungry(150 * 150, error), canvas(300, 290)
    overlap = 20 if asked is None else None
    done, tiling = run_expert(image, expert(net), Treatment(tile=asked, overlap=overlap))
    assert (tiling.side, net.seen[0]) == (150, 300)
    assert max(net.seen[1:]) <= 150
    assert tiling.note.startswith("memory ran out on ")
    whole = net.net(image.read(slice(0, 300), slice(0, 290)))
    assert torch.allclose(done.read(slice(0, 300), slice(0, 290)), whole.clamp(0, 1), atol=1 / 255)


def test_other_errors_are_no_reason_to_try_again() -> None:
    net = Hungry(1, RuntimeError("a mistake"))
    with pytest.raises(RuntimeError, match="a mistake"):
        run_expert(canvas(300, 300), expert(net), Treatment(tile=0))
    assert len(net.seen) == 1
    with pytest.raises(ShapeError):
        run_expert(canvas(30, 30), expert(nn.Conv2d(3, 4, 1)), Treatment(tile=0))


@pytest.mark.parametrize("size", [SizeRequirement(), SizeRequirement(16, 16), SizeRequirement(64, 64)])
def test_it_ends_where_not_even_the_smallest_tiles_fit(size: SizeRequirement) -> None:
    net = Hungry(1, MemoryError())
    with pytest.raises(MemoryLimitError, match="out of memory on tiles of"):
        run_expert(canvas(1000, 700), expert(net, size), Treatment(tile=0))
    assert len(net.seen) < 7


def test_experts_that_are_blended_count_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = expert(Wide()), expert(nn.Identity())
    both = blended([(one, 0.5), (other, 0.5)])
    done, tiling = run_expert(canvas(1300, 1300), both, Treatment())
    assert tiling.side in budget.SIDES
    assert (done.height, done.width) == (1300, 1300)


CHILD = """
import resource, sys
import numpy as np, psutil
from unirestorer.core.images import Picture
from unirestorer.core.instruction import Instruction
from unirestorer.core.treatment import Treatment
import unirestorer
restorer = unirestorer.load(runtime="{runtime}").restorer
noise, task = np.random.default_rng(0), Instruction.of(task="noise")
small, large = (Picture(noise.integers(0, 256, (side, side, 3), dtype=np.uint8)) for side in (96, 900))
whole = Treatment(tile=0, guards=False)
restorer.restore(small, task, whole)
room = psutil.Process().memory_info().vms + {room} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
little = restorer.restore(large, task, whole)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
much = restorer.restore(large, task, whole)
apart = np.abs(little.pixels.astype(int) - much.pixels)
print(little.route[0].tiling.side, len(little.notes), little.notes[-1].startswith("memory ran out"))
print(much.route[0].tiling.side, apart.mean() <= 1, apart.max() <= 8)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are kept there")
@pytest.mark.parametrize("runtime", ["eager", "openvino"])
def test_real_experts_under_a_limit_of_the_system_give_what_they_give_without(
    runtime: str, run_python: RunPython
) -> None:
    pytest.importorskip(runtime if runtime == "openvino" else "torch")
    done = run_python(CHILD.format(runtime=runtime, room=260).replace("import sys", ""))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert int(first.split()[0]) in (225, 450)
    assert first.split()[1:] == ["1", "True"]
    assert second.split() == ["0", "True", "True"]


def test_openvino_gives_back_what_an_expert_took_when_another_one_runs(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    runtime, image = OpenVino(cache=Cache(tmp_path)), torch.rand(1, 3, 512, 512)
    nets = [nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 3, 3, padding=1)).eval() for _ in range(2)]
    one, other = (runtime.prepare(net, str(place), SizeRequirement()) for place, net in enumerate(nets))
    first = one(image)
    before = budget.held()
    other(image[..., :64, :64])
    assert budget.held() < before - 40 * MEGABYTE  # an image of 64 channels is 67 MB
    assert torch.equal(one(image), first)


def test_what_openvino_keeps_does_not_count_against_a_limit(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 3, 3, padding=1)).eval()
    network = OpenVino(cache=Cache(tmp_path)).prepare(net, "one", SizeRequirement())
    network(torch.rand(1, 3, 512, 512))
    before = budget.held()
    expert = Expert(net, SizeRequirement(), False, "one", network)
    budget.side_for(PixelSheet(np.zeros((300, 300, 3), np.uint8)), (expert,), SizeRequirement(), None, 2 * before)
    assert budget.held() < before - 40 * MEGABYTE
