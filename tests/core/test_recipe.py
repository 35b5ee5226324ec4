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


@pytest.mark.parametrize("name", ["paper-7task", "paper-mixed"])
def test_a_paper_recipe_has_the_published_tree_and_a_smoke_version_of_it(name: str) -> None:
    full, smoke = (load_recipe(FOLDER / f"{name}.yaml", load_catalogue(), smoke=smoke) for smoke in (False, True))
    assert smoke.name == f"{name}-smoke"
    assert smoke.cluster == full.cluster
    assert full.cluster.config["sizes"] == ([1, 7, 19] if name == "paper-7task" else [1, 4, 8])
    assert (smoke.experts.name, smoke.extractor.name) == (full.experts.name, full.extractor.name)
    assert set(smoke.experts.types) == set(full.experts.types)
    assert sum(level.steps for level in smoke.experts.levels) < 100 < full.experts.levels[0].steps


SMOKE = "smoke:\n  cluster: {config: {sizes: [1, 2]}}\n  experts: {patch: 48}\n"


def test_the_smoke_part_is_put_over_the_rest_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "micro.yaml"
    path.write_text(RECIPE + SMOKE)
    plain, smoke = (load_recipe(path, load_catalogue(), smoke=smoke) for smoke in (False, True))
    assert plain.cluster == make_recipe(tmp_path).cluster
    assert (smoke.cluster.config["sizes"], smoke.experts.patch, smoke.name) == ([1, 2], 48, "micro-smoke")
    assert smoke.synthesize == plain.synthesize


def test_a_problem_of_the_smoke_part_is_blamed_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "micro.yaml"
    path.write_text(RECIPE + SMOKE.replace("48", "47"))
    line = len((RECIPE + SMOKE).splitlines())
    with pytest.raises(ConfigError, match=rf"micro\.yaml:{line}: experts\.patch: resunet needs a multiple"):
        load_recipe(path, load_catalogue(), smoke=True)


def test_a_recipe_without_a_smoke_part_says_so(tmp_path: Path) -> None:
    path = tmp_path / "micro.yaml"
    path.write_text(RECIPE)
    with pytest.raises(ConfigError, match="has no part 'smoke'"):
        load_recipe(path, load_catalogue(), smoke=True)


def test_every_problem_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    text = RECIPE.replace("samples: 72", "samples: none").replace("name: kmeans-topdown", "name: kmeens")
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
