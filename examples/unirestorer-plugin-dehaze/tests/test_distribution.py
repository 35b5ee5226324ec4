"""What the host sees of the installed distribution: its entry point, its recipes, and that listing it is light."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from unirestorer.core.extending.options import load_extension
from unirestorer.core.recipe import load_recipe
from unirestorer.plugins.manager import load_catalogue

from unirestorer_plugin_dehaze import COLOURED_HAZE, HAZE_GRID

RECIPE = Path(__file__).parents[1] / "recipes" / "coloured-haze.yaml"
LIST = """
import json, sys
from unirestorer.plugins.manager import plugin_table
rows = [(row.kind, row.name, row.state) for row in plugin_table() if row.distribution == "unirestorer-plugin-dehaze"]
print(json.dumps([rows, "torch" in sys.modules]))
"""


def test_the_entry_point_registers_both_and_imports_no_torch() -> None:
    assert "dehaze" in entry_points(group="unirestorer.plugins").names
    done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        [["degradation", "coloured-haze", "ok"], ["expert", "haze-grid", "ok"]],
        False,
    ]


def test_the_host_finds_both() -> None:
    catalogue = load_catalogue()
    assert catalogue.synthesizer("coloured-haze").summary == COLOURED_HAZE.summary
    assert catalogue.expert("haze-grid").summary == HAZE_GRID.summary


def test_the_training_recipe_is_valid_and_uses_both() -> None:
    recipe = load_recipe(RECIPE, load_catalogue())
    assert "coloured-haze" in recipe.synthesize.degradations
    assert recipe.experts.name == "haze-grid"


def test_the_extension_recipe_is_valid_and_fits_what_it_names() -> None:
    assert COLOURED_HAZE.recipe is not None
    recipe, catalogue = load_extension(COLOURED_HAZE.recipe), load_catalogue()
    assert recipe.experts is not None
    assert recipe.cluster is not None
    expert = catalogue.expert(recipe.experts.name)
    expert.config.model_validate(recipe.experts.config)
    assert recipe.experts.patch % expert.size.multiple == 0
    sizes = catalogue.clusterer(recipe.cluster.name).config.model_validate(recipe.cluster.config).model_dump()["sizes"]
    assert len(recipe.experts.levels) == len(sizes)
    COLOURED_HAZE.config.model_validate(recipe.degradation.set)
