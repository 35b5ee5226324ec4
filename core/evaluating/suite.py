"""Suites: one YAML file says which images are measured, how columns are averaged, and what was published for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveFloat, StringConstraints, ValidationError, model_validator

from ..catalogue import said
from ..contracts import Config, Preset
from ..datasets import find
from ..errors import ConfigError, UniRestorerError, UnknownNameError
from ..recipe import Place, Problem, locate, read_mapping
from .conventions import CONVENTIONS

Name = Annotated[str, StringConstraints(pattern=r"^[^|\s]([^|\r\n\t]*[^|\s])?$")]
"""Stands in a cell of a table."""
Values = Annotated[tuple[float, ...], Field(min_length=1)]
CheckChain = Callable[[str, Preset], object]
"""Raises ``UniRestorerError`` for a chain of degradations that cannot be made."""


class Part(Config):
    """Images that are measured together, from one of three sources below the folder of data.

    - ``dataset``: a ``split`` of a set that ``unirestorer datasets`` lists, of its pairs those of the degree ``only``;
    - ``pairs``: a folder that holds ``lq`` and ``gt``, files of equal stems;
    - ``photos``: a folder of photos, alone (nobody has their truth) or clean ones.

    Clean photos, also those of a data set, are damaged by the chain ``degrade``, whose unsaid values are those of
    ``preset``. ``task``: the damage type, which instructions name; None where it has none. Parts of one ``group`` make
    one column of the tables, by default each its own.
    """

    name: Name
    task: str | None = None
    group: Name | None = None
    dataset: str | None = None
    split: str = "test"
    only: str | None = None
    pairs: Path | None = None
    photos: Path | None = None
    degrade: str | None = None
    preset: Preset = "in"

    @property
    def column(self) -> str:
        """Name of the column of the tables that it counts for."""
        return self.group or self.name

    @property
    def has_truth(self) -> bool:
        """Whether anybody knows what its images would be undamaged."""
        return self.photos is None or self.degrade is not None

    @model_validator(mode="after")
    def _has_one_source(self) -> Part:
        given = [name for name in ("dataset", "pairs", "photos") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wants one of dataset, pairs and photos, has {' and '.join(given) or 'none'}")
        if self.only is not None and self.dataset is None:
            raise ValueError("only chooses among the pairs of a dataset; leave it out")
        if self.pairs is not None and self.degrade is not None:
            raise ValueError("pairs are damaged already; leave out degrade, or give photos")
        return self


class Average(Config):
    """A mean over columns and averages that stand above it. ``plain``: each counts alike, in every convention."""

    of: tuple[Name, ...] = Field(min_length=1)
    plain: bool = False


Averaged = Annotated[Average, BeforeValidator(lambda value: {"of": value} if isinstance(value, list) else value)]


class Published(Config):
    """Rows of a published table: column or average -> values of ``metrics``, of which the last may be missing.

    ``table``: where it stands. ``convention``: how its authors measured.
    """

    table: str
    convention: str = "paper"
    metrics: tuple[str, ...] = ("psnr", "ssim")
    rows: Mapping[str, Mapping[Name, Values]] = Field(min_length=1)


class Suite(Config):
    """What is measured.

    ``seed`` of the damage. ``conventions``: names, of which the first ranks experts and comes first in tables.
    ``weights``: images of a column as published, which weighted means count instead of those that were there.
    """

    name: Name
    title: str
    seed: int = Field(default=0, ge=0, lt=2**31)
    conventions: tuple[str, ...] = Field(default=("standard", "paper"), min_length=1)
    parts: tuple[Part, ...] = Field(min_length=1)
    averages: Mapping[Name, Averaged] = {}
    weights: Mapping[Name, PositiveFloat] = {}
    published: tuple[Published, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the tables, in the order of the parts."""
        return tuple(dict.fromkeys(part.column for part in self.parts))

    def part(self, name: str) -> Part:
        """The part called ``name``; raises ``KeyError``."""
        return next(part for part in self.parts if part.name == name)


def load_suite(path: Path, check_chain: CheckChain = lambda text, preset: None) -> Suite:
    """The suite in ``path``; raises ``ConfigError`` with one line per problem: file, line, field, what is wrong."""
    tree, values = read_mapping(path, "a suite is a mapping with name, title and parts")
    try:
        suite = Suite.model_validate(values)
        problems: list[Problem] = list(_problems(suite, check_chain))
    except ValidationError as error:
        problems = [(item["loc"], said(item)) for item in error.errors()]
    if problems:
        raise ConfigError([f"{path}:{locate(tree, loc)[1]}: {_dotted(loc)}: {text}" for loc, text in problems])
    return suite


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _problems(suite: Suite, check_chain: CheckChain) -> Iterator[Problem]:
    yield from _doubled(suite)
    named: dict[Place, str] = {("conventions", number): name for number, name in enumerate(suite.conventions)}
    named |= {("published", number, "convention"): part.convention for number, part in enumerate(suite.published)}
    for place, name in named.items():
        if name not in CONVENTIONS:
            yield place, str(UnknownNameError("convention", name, CONVENTIONS))
    for number, part in enumerate(suite.parts):
        yield from ((("parts", number, *place), text) for place, text in _part_problems(part, check_chain))
    known = list(suite.columns)
    for name, average in suite.averages.items():
        if name in known:
            yield ("averages", name), "is the name of a column, too; choose another"
        yield from _unknown(average.of, known, ("averages", name))
        known.append(name)
    yield from _unknown(suite.weights, suite.columns, ("weights",))
    for number, published in enumerate(suite.published):
        for row, cells in published.rows.items():
            place = ("published", number, "rows", row)
            yield from _unknown(cells, known, place)
            for column, values in cells.items():
                if len(values) > len(published.metrics):
                    yield (*place, column), f"has {len(values)} values, wanted at most {len(published.metrics)}"


def _doubled(suite: Suite) -> Iterator[Problem]:
    for name, count in Counter(part.name for part in suite.parts).items():
        if count > 1:
            yield ("parts",), f"{count} parts are called '{name}'; give each its own name"


def _part_problems(part: Part, check_chain: CheckChain) -> Iterator[Problem]:
    """Data sets and splits that nobody knows, clean photos left as they are, and chains that cannot be made."""
    try:
        if part.dataset is not None:
            about = find(part.dataset)
            about.split(part.split)
            if about.kind == "clean" and part.degrade is None:
                yield ("dataset",), f"'{about.name}' holds clean photos; say how they are damaged: degrade"
            if about.kind == "pairs" and part.degrade is not None:
                yield ("degrade",), f"'{about.name}' holds pairs, which are damaged already; leave it out"
            if part.only is not None and about.degrees and part.only not in about.degrees.values():
                known = ", ".join(about.degrees.values())
                yield ("only",), f"no pair of '{about.name}' is '{part.only}'; known: {known}"
    except UniRestorerError as error:
        yield ("dataset",), str(error)
    if part.degrade is not None:
        try:
            check_chain(part.degrade, part.preset)
        except UniRestorerError as error:
            yield from ((("degrade",), line) for line in str(error).splitlines())


def _unknown(names: Sequence[str] | Mapping[str, Any], known: Sequence[str], place: Place) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield place, f"no column called '{name}'; known: {', '.join(known)}"
