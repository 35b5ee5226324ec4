from __future__ import annotations

from pathlib import Path

import pytest

from unirestorer.core.errors import ConfigError
from unirestorer.core.recipe import fingerprint, load_recipe
from unirestorer.plugins.manager import load_catalogue

from .tiny_world import RECIPE, make_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path for path in FOLDER.glob("*.yaml") if "\naxes:" not in path.read_text())  # the others are sweeps


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    assert load_recipe(path, load_catalogue()).name == path.stem


def test_every_problem_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    text = RECIPE.replace("samples: 72", "samples: none").replace("name: kmeans", "name: kmeens")
    text = text.replace("noise: {}", "noise: {set: {sigmaa: [1, 2]}}").replace(
        "patch: 32\n  levels", "pach: 32\n  levels"
    )
    text = text.replace("lowlight: {}", "lowlihgt: {}")
    with pytest.raises(ConfigError) as caught:
        make_recipe(tmp_path, text)
    problems = "\n".join(caught.value.problems)
    for expected in ("samples", "did you mean 'kmeans'", "sigmaa", "pach", "did you mean 'lowlight'"):
        assert expected in problems
    line = text.splitlines().index("  samples: none") + 1
    assert f"micro.yaml:{line}: synthesize.samples" in problems


@pytest.mark.parametrize("text", ["", "- 1", "name: [", "\x00"])
def test_something_that_is_no_recipe_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_recipe(tmp_path, text)
    assert len(caught.value.problems) == 1


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_recipe(tmp_path / "none.yaml", load_catalogue())


def test_a_fingerprint_changes_with_any_part(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    assert fingerprint(recipe) == fingerprint(make_recipe(tmp_path))
    assert fingerprint(recipe) != fingerprint(make_recipe(tmp_path, RECIPE.replace("seed: 3", "seed: 4")))


@pytest.mark.parametrize("name", ["default", "tiny.2"])
def test_names_of_model_versions_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="are those of model versions"):
        make_recipe(tmp_path, RECIPE.replace("name: micro", f"name: {name}", 1))
