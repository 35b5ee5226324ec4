"""The whole pipeline at micro scale: reproducible, resumable after a kill at any moment, skipping what is done."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unirestorer.core.errors import RegistryError
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Mixture
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.run import Watcher
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from .tiny_world import RECIPE, contents, make_run

ROOT = Path(__file__).parents[2]
MOMENTS = [
    ("before:synthesize", 1),
    ("render", 3),
    ("batch:LabelledCrops", 12),
    ("after:extractor", 1),
    ("step:extract", 1),
    ("before:cluster", 1),
    ("batch:PatchPairs", 80),
    ("before:experts", 5),
    ("step:costs", 3),
    ("batch:CostBatches", 180),
    ("before:evaluate", 1),
]


def stop_after(what: str, count: int) -> Watcher:
    """A watcher that interrupts the run at the ``count``-th report of the task ``what``."""
    seen: list[int] = []

    def watch(task: str, done: int, total: int, note: str) -> None:
        if task == what:
            seen.append(done)
            if len(seen) == count:
                raise KeyboardInterrupt

    return watch


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    run_pipeline(make_run(folder, "whole"))
    return folder


def test_a_run_ties_everything_into_a_model(world: Path) -> None:
    store = open_registry(world / "whole")
    assert store.names("models") == ["default", "micro"]
    assert len(store.names("experts")) == 8


def test_the_reports_hold_a_map_and_a_table(world: Path) -> None:
    assert (world / "whole" / "reports" / "hierarchy.png").stat().st_size > 5000
    assert "| damage |" in (world / "whole" / "reports" / "evaluation.md").read_text()


def test_the_scratch_folder_is_gone_after_a_run(world: Path) -> None:
    assert not (world / "whole" / "work").exists()


def test_a_second_run_of_the_same_recipe_has_equal_bytes(world: Path) -> None:
    run_pipeline(make_run(world, "again"))
    assert contents(open_registry(world / "again")) == contents(open_registry(world / "whole"))


def test_running_a_finished_recipe_again_skips_every_stage(world: Path) -> None:
    reports = run_pipeline(make_run(world, "whole"))
    assert all(report.skipped for report in reports)


@pytest.mark.parametrize(("event", "count"), MOMENTS)
def test_a_killed_run_goes_on_to_the_same_registry(world: Path, event: str, count: int) -> None:
    name = event.replace(":", "-") + f"-{count}"
    at = random.randint(1, count)  # another moment in every run of the tests; the message of a failure names it
    command = [sys.executable, "-m", "tests.core.killed_run", str(world), name, event, str(at)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == 9, killed.stderr
    run_pipeline(make_run(world, name))
    assert contents(open_registry(world / name)) == contents(open_registry(world / "whole")), f"killed at {event} {at}"


def test_going_back_to_an_earlier_recipe_makes_its_registry_again(world: Path) -> None:
    run_pipeline(make_run(world, "switched"))
    other = RECIPE.replace("steps: 12, batch: 2", "steps: 9, batch: 2")
    stopped = make_run(world, "switched", stop_after("experts", 3), other)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(stopped)
    with pytest.raises(RegistryError, match="replaced since"):
        Mixture(open_registry(world / "switched"), load_catalogue()).expert(0)
    run_pipeline(make_run(world, "switched"))
    assert contents(open_registry(world / "switched")) == contents(open_registry(world / "whole"))


def test_the_model_routes_and_restores(world: Path) -> None:
    mixture = Mixture(open_registry(world / "whole"), load_catalogue())
    image = torch.rand(1, 3, 48, 48)
    estimate = mixture.estimate(image)
    assert abs(sum(estimate.leaves.values()) - 1) < 1e-5
    assert mixture.expert(estimate.node).module(image).shape == image.shape


def test_an_instruction_leads_below_the_root_to_that_damage(world: Path) -> None:
    mixture = Mixture(open_registry(world / "whole"), load_catalogue())
    for task in mixture.tasks:
        estimate = mixture.estimate(torch.rand(1, 3, 48, 48), mixture.allowed(Instruction((task,))))
        assert estimate.task == task
        assert len(estimate.path) > 1
