"""What extending costs, by the number of experts that are there and by how long these were trained.

``python -m pytest tests/benchmarks/test_extending_cost.py --benchmark-only --benchmark-json=extending.json``; the
seconds by part are in ``extra_info``. Experts have the architecture and patches of the embedded model.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.core.tiny_world import RECIPE, make_run
from unirestorer.core.extending.bench import Bench
from unirestorer.core.extending.degradation import add_degradation
from unirestorer.core.extending.finish import Extended
from unirestorer.core.extending.options import ExtensionRecipe
from unirestorer.core.extending.trained import Trained
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.run import Run
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import export_zip, import_zip, open_registry

SIZES = {9: "[1, 3, 5]", 27: "[1, 6, 20]", 100: "[1, 9, 90]"}


def recipe(experts: int, steps: int) -> str:
    """The micro recipe with as many experts of the embedded size, trained for ``steps`` steps each."""
    changes = {
        "samples: 72": "samples: 480",
        "crop: 48": "crop: 128",
        "sizes: [1, 3, 4]": f"sizes: {SIZES[experts]}",
        "{widths: [8, 8], encoder: [1, 1], decoder: [1]}": (
            "{widths: [32, 48, 56, 56], encoder: [3, 2, 1, 1], decoder: [3, 1, 1]}"
        ),
        "{steps: 12, batch: 2, warmup: 2, checkpoint_every: 4}": f"{{steps: {steps}, batch: 8, warmup: 0}}",
        "patch: 32": "patch: 96",
        "training: {steps: 60, batch: 16": "training: {steps: 2000, batch: 256",
    }
    text = RECIPE
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.benchmark(group="extending by one degradation: 600 samples, one expert of 60 steps")
@pytest.mark.parametrize("home", ["trained", "imported"])
@pytest.mark.parametrize(("experts", "steps"), [(9, 1), (27, 1), (27, 20), (100, 1)])
def test_extending(benchmark: Any, tmp_path: Path, experts: int, steps: int, home: str) -> None:
    run: Run = make_run(tmp_path, "trained", text=recipe(experts, steps))
    run_pipeline(run)
    export_zip(open_registry(tmp_path / "trained"), tmp_path / "model.zip", model="default")
    import_zip(tmp_path / "model.zip", tmp_path / "imported")
    options = ExtensionRecipe(samples=600, steps=60, rehearsal=600, tried=200)

    def setup() -> tuple[tuple[Bench], dict[str, Any]]:
        shutil.rmtree(tmp_path / "own", ignore_errors=True)
        shutil.copytree(tmp_path / home, tmp_path / "own")
        trained = Trained.load(open_registry(tmp_path / "own"), load_catalogue())
        return (Bench(trained, run.photos, tmp_path / "work", options, run.watch),), {}

    def extend(bench: Bench) -> Extended:
        return add_degradation(bench, "rain")

    done = benchmark.pedantic(extend, setup=setup, rounds=1)
    benchmark.extra_info.update({part: round(seconds, 1) for part, seconds in done.seconds.items()})
    assert done.model == "micro.2"
