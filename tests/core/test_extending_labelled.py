"""Extending a model whose training samples have the representation of their label: many samples share one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unirestorer.registry import open_registry

from ..commands import run
from .tiny_world import RECIPE, make_photos

START, END = RECIPE.index("extractor:"), RECIPE.index("cluster:")
MANUAL = """extractor:
  name: manual
  config: {crop: 48, widths: [8, 8], prompts: 8, types: 4}
  training: {steps: 30, batch: 8, warmup: 2}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    make_photos(folder / "photos")
    (folder / "micro.yaml").write_text(RECIPE[:START] + MANUAL + RECIPE[END:])
    (folder / "extend.yaml").write_text("{samples: 40, steps: 3, tried: 16, rehearsal: 40}")
    places = ("--registry", folder / "registry", "--data", folder / "photos")
    assert run("train", folder / "micro.yaml", *places) == 0
    assert run("extend", "degradation", "haze", *places, "--recipe", folder / "extend.yaml") == 0
    return folder / "registry"


def test_the_costs_of_a_sample_stay_its_own(registry: Path) -> None:
    store = open_registry(registry)
    before, after = store.read("costs", "micro").arrays, store.read("costs", "micro.2").arrays
    names = [store.attributes("hierarchies", name)["node_names"] for name in ("micro", "micro.2")]
    columns = [names[1].index(name) for name in names[0]]
    rows = {int(sample): row for row, sample in enumerate(before["sample"]) if sample >= 0}
    known = [row for row, sample in enumerate(after["sample"]) if sample >= 0]
    assert len(known) > 10
    assert len({after["dr"][row].tobytes() for row in known}) < len(known)
    old = before["mse"][[rows[int(after["sample"][row])] for row in known]]
    assert np.array_equal(after["mse"][known][:, columns], old)
