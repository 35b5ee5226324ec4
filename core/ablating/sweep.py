"""Sweeps: a base recipe and axes of named changes to it. Every cell of their product is checked before one is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from ..catalogue import Catalogue, said
from ..contracts import Config
from ..errors import ConfigError
from ..overlay import overlaid
from ..recipe import Place, Recipe, check_recipe, fingerprint, locate, read_mapping
from .results import FILES

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Choice = Annotated[Mapping[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
_WANTED = "a sweep is a mapping with name, recipe and axes"


class Sweep(Config):
    """One sweep: the base recipe's path, axis -> choice -> partial recipe, and combinations that are left out."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: Name
    recipe: Path
    axes: Mapping[Name, Annotated[Mapping[Name, Choice], Field(min_length=1)]] = Field(min_length=1)
    exclude: tuple[Mapping[str, str], ...] = ()

    def combinations(self) -> list[dict[str, str]]:
        """The choice of every axis for each cell that is not left out; the last axis changes fastest."""
        every = [dict(zip(self.axes, choices, strict=True)) for choices in product(*self.axes.values())]
        return [cell for cell in every if not any(out.items() <= cell.items() for out in self.exclude)]


@dataclass(frozen=True)
class Cell:
    """One combination: its name (the choices joined by ``+``), its choice of every axis, and the recipe they make."""

    name: str
    choices: Mapping[str, str]
    recipe: Recipe


def load_sweep(path: Path, catalogue: Catalogue) -> tuple[str, tuple[Cell, ...]]:
    """Name and cells of the sweep in ``path``. Raises ``ConfigError`` with one line per problem of any cell."""
    tree, values = read_mapping(path, _WANTED)
    try:
        sweep = Sweep.model_validate(values)
    except ValidationError as error:
        wrong = [(item["loc"], said(item)) for item in error.errors()]
        raise ConfigError([_line(path, tree, loc, text) for loc, text in wrong]) from None
    problems = [_line(path, tree, loc, text) for loc, text in _sweep_problems(sweep, tree)]
    if problems:
        raise ConfigError(problems)
    base = path.parent / sweep.recipe
    base_tree, base_values = read_mapping(base, f"the base recipe of {path} is a mapping")
    cells: list[Cell] = []
    found: dict[str, list[str]] = {}
    for choices in sweep.combinations():
        name = "+".join(choices.values())
        recipe, wrong = check_recipe(_with_choices(base_values, sweep, choices), catalogue)
        for loc, text in wrong:
            line = _blame(loc, choices, (path, tree), (base, base_tree))
            found.setdefault(f"{line}: {'.'.join(map(str, loc))}: {text}", []).append(name)
        if recipe is not None:
            cells.append(Cell(name, choices, recipe))
    if found:
        raise ConfigError([f"{text} (in {', '.join(names)})" for text, names in found.items()])
    _refuse_twins(path, cells)
    return sweep.name, tuple(cells)


def _with_choices(base: Mapping[str, Any], sweep: Sweep, choices: Mapping[str, str]) -> dict[str, Any]:
    """The recipe of a cell, axis after axis."""
    values = dict(base)
    for axis, choice in choices.items():
        values = overlaid(values, sweep.axes[axis][choice])
    return values


def _sweep_problems(sweep: Sweep, tree: yaml.Node | None) -> Iterator[tuple[Place, str]]:
    """Doubled keys, choices that rename the recipe, combinations that do not exist."""
    yield from _doubled(_child(tree, "axes"), ("axes",))
    for axis, choices in sweep.axes.items():
        yield from _doubled(_child(_child(tree, "axes"), axis), ("axes", axis))
        for choice, change in choices.items():
            if "name" in change:
                yield (
                    ("axes", axis, choice, "name"),
                    "a choice cannot rename the recipe; cells share stages by its name",
                )
    for number, out in enumerate(sweep.exclude):
        for axis, choice in out.items():
            if choice not in sweep.axes.get(axis, {}):
                known = ", ".join(sweep.axes.get(axis, sweep.axes))
                yield ("exclude", number, axis), f"no axis with such a choice (got {choice!r}); known: {known}"
    cells = ["+".join(choices.values()) for choices in sweep.combinations()]
    if not cells:
        yield ("exclude",), "leaves no cell; remove a combination"
    for name in set(cells) & set(FILES):
        yield ("axes",), f"the cell {name} would be called like a file of results; rename the choice"


def _doubled(node: yaml.Node | None, place: Place) -> Iterator[tuple[Place, str]]:
    """Keys that occur twice, of which YAML would silently drop the first."""
    keys = Counter(key.value for key, _ in node.value) if isinstance(node, yaml.MappingNode) else Counter()
    for key, count in keys.items():
        if count > 1:
            yield (*place, key), f"is there {count} times; give each its own name"


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _refuse_twins(path: Path, cells: Sequence[Cell]) -> None:
    """Two names for one recipe: a choice that changes nothing, or that a later axis overrides."""
    first: dict[str, str] = {}
    problems = []
    for cell in cells:
        twin = first.setdefault(fingerprint(cell.recipe), cell.name)
        if twin != cell.name:
            problems.append(f"{path}: cells {twin} and {cell.name} are the same recipe; change a choice or exclude one")
    if problems:
        raise ConfigError(problems)


def _line(path: Path, tree: yaml.Node | None, loc: Place, text: str) -> str:
    return f"{path}:{locate(tree, loc)[1]}: {'.'.join(map(str, loc))}: {text}"


def _blame(
    loc: Place, choices: Mapping[str, str], sweep: tuple[Path, yaml.Node | None], base: tuple[Path, yaml.Node | None]
) -> str:
    """``file:line`` that says ``loc`` of a cell most exactly: the latest such choice, else the base recipe."""
    best = (*locate(base[1], loc), base[0])
    for axis, choice in choices.items():
        depth, line = locate(sweep[1], ("axes", axis, choice, *loc))
        best = max((depth - 3, line, sweep[0]), best, key=lambda place: place[0])
    return f"{best[2]}:{best[1]}"
