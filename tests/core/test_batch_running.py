"""Batches: overlap within bounds, experts one after the other, and whatever goes wrong on the way."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from unirestorer.core.batch import DiskFullError, Job, Rules, Settings, plan, run, running, working
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.images import load
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Estimate, Expert
from unirestorer.core.reports import Outcome
from unirestorer.core.restoring import Restorer
from unirestorer.core.restoring.files import deliver, load_source
from unirestorer.core.runtimes.eager import EAGER
from unirestorer.core.treatment import Treatment


class Plus(nn.Module):
    """Adds ``by`` / 255; on pictures of 13 columns it breaks."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[3] == 13:
            raise RuntimeError("a fault\nin the network")
        if image.shape[3] == 14:
            raise MemoryError
        return image + self.by / 255


class FakeMixture:
    """Node n is for pictures whose mean is about 40 n, node 0 is the identity; records what was asked of it."""

    tasks = ()
    runtime = EAGER

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.ran, self.threads = seconds, list[int](), set[int]()

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        return None

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        node = int(image.mean() * 255 / 40)
        return Estimate(node, ("all", str(node)), str(node), {}, {}, {str(node): 1.0}, ())

    def expert(self, node: int) -> Expert:
        self.ran.append(node)
        self.threads.add(torch.get_num_threads())
        time.sleep(self.seconds)
        return Expert(Plus(node), SizeRequirement(1), node == 0, str(node))


def photos(folder: Path, nodes: Sequence[int], size: tuple[int, int] = (20, 16)) -> list[Job]:
    folder.mkdir(exist_ok=True)
    for index, node in enumerate(nodes):
        Image.new("RGB", size, (40 * node + 10,) * 3).save(folder / f"{index:03}.png")
    return list(plan([folder], folder.parent / "out", Rules()).to_do)


def restored(jobs: Sequence[Job], mixture: FakeMixture, workers: int = 1) -> list[Outcome]:
    outcomes: list[Outcome] = []
    run(jobs, Restorer(mixture, Treatment(guards=False)), Settings(workers=workers), outcomes.append)
    return outcomes


@pytest.mark.parametrize("workers", [1, 3])
def test_every_image_goes_through_its_expert(tmp_path: Path, workers: int) -> None:
    jobs = photos(tmp_path / "in", [3, 0, 1, 2, 1, 3, 0, 2] * 4)
    before = torch.get_num_threads()
    outcomes = restored(jobs, mixture := FakeMixture(), workers=workers)
    assert sorted(str(outcome.source) for outcome in outcomes) == [str(job.source) for job in jobs]
    assert [outcome.state for outcome in outcomes].count("unchanged") == 8
    for job in jobs:
        node = (int(load(job.source).pixels.mean()) - 10) // 40
        assert (load(job.target).pixels == load(job.source).pixels + node).all()
    assert mixture.threads == {max(1, before // workers)}
    assert torch.get_num_threads() == before


def test_images_of_one_expert_follow_each_other(tmp_path: Path) -> None:
    jobs = photos(tmp_path / "in", [1, 2, 3] * 12)
    restored(jobs, mixture := FakeMixture(0.02))
    switches = sum(one != other for one, other in zip(mixture.ran, mixture.ran[1:], strict=False))
    assert len(mixture.ran) == 36
    assert switches < 12  # in the order of the files it would be 35


def test_the_estimate_is_made_once_and_its_time_is_told(tmp_path: Path) -> None:
    asked: list[int] = []

    class Slow(FakeMixture):
        def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
            asked.append(1)
            time.sleep(0.01)
            return super().estimate(image, allowed)

    outcomes = restored(photos(tmp_path / "in", [1, 2, 3]), Slow())
    assert len(asked) == 3
    assert all(outcome.restoration and outcome.restoration.seconds["route"] >= 0.01 for outcome in outcomes)


def test_reading_ahead_is_bounded_by_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = photos(tmp_path / "in", [1] * 30, (100, 100))
    monkeypatch.setattr(running, "AHEAD", 4 * working.PER_PIXEL * 100 * 100)
    alive, most = _watched(monkeypatch)
    restored(jobs, FakeMixture(0.002))
    assert most[0] == 4
    assert alive[0] == 0


def test_a_picture_larger_than_the_bound_goes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = photos(tmp_path / "in", [1] * 5, (100, 100))
    monkeypatch.setattr(running, "AHEAD", 1)
    _, most = _watched(monkeypatch)
    assert len(restored(jobs, FakeMixture())) == 5
    assert most[0] == 1


def _watched(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """How many pictures are read but not yet written, and the most there were."""
    alive, most, lock = [0], [0], threading.Lock()

    def loading(*arguments: Any) -> Any:
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        return load_source(*arguments)

    def delivering(*arguments: Any) -> Any:
        lost = deliver(*arguments)
        with lock:
            alive[0] -= 1
        return lost

    monkeypatch.setattr(working, "load_source", loading)
    monkeypatch.setattr(working, "deliver", delivering)
    return alive, most


def test_a_large_picture_is_restored_while_no_other_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [*photos(tmp_path / "in", [1] * 9), *photos(tmp_path / "large", [1], (60, 60))]
    monkeypatch.setattr(running, "ALONE", working.PER_PIXEL * 3000)
    together: list[set[int]] = []
    now: list[int] = []

    class Watching(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            now.append(image.shape[3])
            together.append(set(now))
            time.sleep(0.02)
            now.remove(image.shape[3])
            return image

    class Mixture(FakeMixture):
        def expert(self, node: int) -> Expert:
            return Expert(Watching(), SizeRequirement(1), False, "1")

    restored(jobs, Mixture(), workers=3)
    assert {60} in together
    assert {20, 60} not in together


def test_disk_and_processor_work_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = photos(tmp_path / "in", [1] * 10)

    def slowly(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            time.sleep(0.05)
            return work(*arguments)

        return run

    monkeypatch.setattr(working, "load_source", slowly(load_source))
    monkeypatch.setattr(working, "deliver", slowly(deliver))
    start = time.perf_counter()
    restored(jobs, FakeMixture(0.05))
    assert time.perf_counter() - start < 10 * 0.15 * 0.8  # one after the other: 1.5 s


def test_whatever_goes_wrong_with_an_image_the_others_are_restored(tmp_path: Path) -> None:
    jobs = photos(tmp_path / "in", [1] * 6)
    (tmp_path / "in" / "001.png").write_bytes(b"not an image")
    (tmp_path / "in" / "002.png").write_bytes((tmp_path / "in" / "003.png").read_bytes()[:60])
    Image.new("RGB", (13, 9)).point(lambda _: 50).save(tmp_path / "in" / "003.png")
    Image.new("RGB", (14, 9)).point(lambda _: 50).save(tmp_path / "in" / "004.png")
    jobs[5].target.parent.joinpath("005.png").mkdir(parents=True)
    outcomes = {outcome.source.name: outcome for outcome in restored(jobs, FakeMixture())}
    assert outcomes["000.png"].state == "restored"
    errors = [outcomes[f"00{at}.png"].error or "" for at in range(1, 6)]
    assert all("\n" not in error and ".png: " in error for error in errors)
    wanted = ["not an image", "cannot be decoded", "a fault in the network", "memory", "a folder"]
    assert all(words in error for words, error in zip(wanted, errors, strict=True)), errors
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.png", "005.png"]


def test_a_full_disk_is_told_once_and_ends_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = photos(tmp_path / "in", [1] * 20)
    replace, done = os.replace, list[Path]()

    def full(source: Path, target: Path) -> None:
        if len(done) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    outcomes: list[Outcome] = []
    with pytest.raises(DiskFullError, match=r"\.png: cannot be written: No space left"):
        run(jobs, Restorer(FakeMixture()), Settings(), outcomes.append)
    assert [outcome.state for outcome in outcomes] == ["restored"] * 5
    assert sorted((tmp_path / "out").iterdir()) == sorted(done)


@pytest.mark.parametrize("at", [0, 3])
def test_an_interrupted_batch_tells_all_that_it_wrote(tmp_path: Path, at: int) -> None:
    jobs = photos(tmp_path / "in", [1, 2] * 10)
    told: list[Path | None] = []

    def interrupt(outcome: Outcome) -> None:
        told.append(outcome.target)
        if len(told) == at + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(jobs, Restorer(FakeMixture(0.005)), Settings(), interrupt)
    assert at < len(told) < 20
    assert sorted(map(str, told)) == sorted(str(path) for path in (tmp_path / "out").iterdir())


class Interrupting(nn.Module):
    """As by Ctrl-C while the third tile is being restored."""

    def __init__(self, tiles: list[int]) -> None:
        super().__init__()
        self.tiles = tiles

    def forward(self, image: Tensor) -> Tensor:
        self.tiles.append(1)
        if len(self.tiles) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        return image


def test_an_interrupted_expert_stops_after_its_tile(tmp_path: Path) -> None:
    jobs, tiles = photos(tmp_path / "in", [3], (2000, 2000)), list[int]()

    class Interrupted(FakeMixture):
        def expert(self, node: int) -> Expert:
            return Expert(Interrupting(tiles), SizeRequirement(1), False, "3")

    with pytest.raises(KeyboardInterrupt):
        run(jobs, Restorer(Interrupted(), Treatment(tile=100, overlap=10, guards=False)), Settings(), print)
    assert 3 <= len(tiles) < 50
    assert not jobs[0].target.exists()


def test_nothing_to_do_is_nothing(tmp_path: Path) -> None:
    assert restored([], FakeMixture()) == []
