"""Tables that can be reproduced: which sweep and suite, which rows and columns, what the paper printed and claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ..ablating.sweep import Cell
from ..catalogue import said
from ..contracts import Config
from ..errors import ConfigError, UnknownNameError
from ..evaluating.suite import Suite
from ..recipe import Place, Problem, locate, read_mapping

ScaleName = Literal["tiny", "paper"]
SHARE = "share"
"""What stands before the name of a level for the share of images that were restored at it."""
PEERS = ("auto", "instruction", "oracle", "root", "leaf-only", "input")
"""What a row may be restored by, beside the peers of the table."""
SEEDS = "seed"
"""How names of axes begin whose choices are repetitions, not rows."""


def _values(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


Values = Annotated[tuple[float, ...], BeforeValidator(_values), Field(min_length=1)]


class Photos(Config):
    """What is measured of clean photos: ``count`` of them, their centre of at most ``side`` pixels."""

    count: PositiveInt | None = None
    side: PositiveInt | None = None


class Costs(Config):
    """What the overhead is measured on: an image of ``size`` pixels a side, as often as ``repeats``.

    ``architectures``: those of experts that are measured at their published sizes beside the model.
    """

    size: PositiveInt = 512
    repeats: PositiveInt = 3
    architectures: tuple[str, ...] = ()


class Scale(Config):
    """How large a table is made.

    ``sweep``: what is trained, a file beside the table; without it a finished model is measured. ``suite``: what it is
    measured on, by name, or a YAML file beside the table. ``photos``: the suite's damage is put on photos that the
    training held out, or on given ones; without it the suite's own data is wanted. ``overhead``: what restoring with a
    finished model costs is measured instead; its parts are the rows. ``note``: printed below the table.
    """

    sweep: Path | None = None
    suite: str | None = None
    photos: Photos | None = None
    overhead: Costs | None = None
    note: str = ""


class Column(Config):
    """One column: ``metrics`` of a column or average ``of`` the suite, or the figure of a ``stage``.

    ``metrics``: "convention.metric", or "share.LEVEL", the share of images that were restored at that level. ``stage``:
    "stage.figure" as a sweep keeps it, for example "routers.seconds". ``phrase`` and ``unit``: how sentences call it.
    ``only``: of the table at one scale.
    """

    title: str
    of: str | None = None
    metrics: tuple[str, ...] = Field(default=("standard.psnr",), min_length=1)
    stage: str | None = None
    digits: int | None = Field(default=None, ge=0)
    best: Literal["high", "low", "none"] = "high"
    phrase: str = ""
    unit: str = "dB"
    only: ScaleName | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Column:
        if (self.of is None) == (self.stage is None):
            raise ValueError("wants either 'of', a column or average of the suite, or 'stage', a figure of the sweep")
        return self

    @property
    def figures(self) -> tuple[str, ...]:
        """What it shows, by the names that a stage or a convention gives them."""
        return (self.stage,) if self.stage is not None else self.metrics


class Line(Config):
    """One row of ours: the cells ``where`` axes have these choices, one a seed, restored by ``peer``.

    ``published``: what the paper printed for it, by title of the column. ``only``: of the table at one scale.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)

    title: str
    where: Mapping[str, str] = {}
    peer: str = "auto"
    published: Mapping[str, Values] = {}
    only: ScaleName | None = None

    def made_of(self, choices: Mapping[str, str]) -> bool:
        """Whether the cell with these ``choices`` is one of this row."""
        return self.where.items() <= choices.items()


class Told(Config):
    """A peer that is told which ``levels`` of the tree it may use."""

    levels: tuple[str, ...] = Field(min_length=1)


class Claim(Config):
    """That the row ``row`` minus the row ``over`` is at least or at most so much in each of the ``columns``.

    ``ours``: this project claims it, not the paper.
    """

    text: str
    row: str
    over: str
    columns: tuple[str, ...] = Field(min_length=1)
    at_least: float | None = None
    at_most: float | None = None
    ours: bool = False

    @model_validator(mode="after")
    def _has_one_limit(self) -> Claim:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("wants either at_least or at_most")
        return self

    def holds(self, difference: float) -> bool:
        """Whether ``difference`` of one column is within the limit."""
        return difference >= self.at_least if self.at_least is not None else difference <= (self.at_most or 0.0)


class Printed(Config):
    """A row of the paper that is none of ours."""

    title: str
    values: Mapping[str, Values]


class Table(Config):
    """One table. Without ``columns`` it has those of its suite, and the rows that the suite says were published.

    ``fallback``: whether models take coarser experts for what is unlike anything that they were trained on, as users
    get it; without it the routers alone decide, as in the paper.
    """

    title: Annotated[str, StringConstraints(min_length=1)]
    source: str
    text: str = ""
    scales: Mapping[ScaleName, Scale] = Field(min_length=1)
    columns: tuple[Column, ...] = ()
    rows: tuple[Line, ...] = ()
    peers: Mapping[str, Told] = {}
    fallback: bool = True
    printed: tuple[Printed, ...] = ()
    claims: tuple[Claim, ...] = ()

    def scale(self, name: str) -> Scale:
        """The scale called ``name``; raises ``UnknownNameError``."""
        found = {str(key): value for key, value in self.scales.items()}
        if name not in found:
            raise UnknownNameError("scale of this table", name, found)
        return found[name]

    def row(self, title: str) -> Line:
        """The row called ``title``; raises ``KeyError``."""
        return next(row for row in self.rows if row.title == title)


def load_table(path: Path) -> Table:
    """The table in ``path``; raises ``ConfigError`` with one line per problem: file, line, field, what is wrong."""
    tree, values = read_mapping(path, "a table is a mapping with title, scales and rows")
    try:
        table = Table.model_validate(values)
        problems: list[Problem] = list(_problems(table))
    except ValidationError as error:
        problems = [(item["loc"], said(item)) for item in error.errors()]
    if problems:
        raise ConfigError(
            [f"{path}:{locate(tree, loc)[1]}: {'.'.join(map(str, loc))}: {text}" for loc, text in problems]
        )
    return table


def _problems(table: Table) -> Iterator[Problem]:
    """No rows; rows and columns that claims and printed numbers name, and that are not there."""
    if not table.rows and any(scale.overhead is None for scale in table.scales.values()):
        yield ("rows",), "wants at least one"
    rows, columns = [row.title for row in table.rows], [column.title for column in table.columns]
    for kind, titles in (("rows", rows), ("columns", columns)):
        for title in {title for title in titles if titles.count(title) > 1}:
            yield (kind,), f"{titles.count(title)} are called '{title}'; give each its own title"
    named: list[tuple[Place, Sequence[str], Sequence[str]]] = []
    for number, claim in enumerate(table.claims):
        named.append((("claims", number, "row"), [claim.row], rows))
        named.append((("claims", number, "over"), [claim.over], rows))
        named.append((("claims", number, "columns"), claim.columns, columns))
    peers = (*PEERS, *table.peers)
    yield from (
        (("rows", number, "peer"), f"no peer called '{row.peer}'; known: {', '.join(peers)}")
        for number, row in enumerate(table.rows)
        if row.peer not in peers
    )
    named += [(("rows", number, "published"), list(row.published), columns) for number, row in enumerate(table.rows)]
    named += [(("printed", number, "values"), list(row.values), columns) for number, row in enumerate(table.printed)]
    for place, names, known in named:
        for name in names:
            if name not in known and (table.columns or known is rows):
                yield place, f"no row or column called '{name}'; known: {', '.join(known)}"


def laid_out(table: Table, scale: ScaleName, suite: Suite | None) -> Table:
    """``table`` at ``scale``: rows and columns of the other one left out; of the ``suite`` where it has no columns."""
    rows = tuple(row for row in table.rows if row.only in (None, scale))
    columns = tuple(column for column in table.columns if column.only in (None, scale))
    printed = table.printed
    if not table.columns and suite is not None:
        published = suite.published
        convention = published[0].convention if published else suite.conventions[0]
        metrics = tuple(f"{convention}.{name}" for name in (published[0].metrics if published else ("psnr", "ssim")))
        columns = tuple(Column(title=name, of=name, metrics=metrics) for name in (*suite.columns, *suite.averages))
        more = [Printed(title=title, values=cells) for part in published for title, cells in part.rows.items()]
        printed = (*printed, *more)
    return table.model_copy(update={"rows": rows, "columns": columns, "printed": printed})


def seed_of(choices: Mapping[str, str]) -> str:
    """The choices of the axes that are repetitions."""
    return "+".join(value for axis, value in choices.items() if axis.startswith(SEEDS))


def check_rows(path: Path, table: Table, cells: Sequence[Cell]) -> None:
    """Raises ``ConfigError`` for rows of the table in ``path`` that are no cell of its sweep, or cells of two kinds."""
    wrong = []
    for row in table.rows:
        settings = {_without_seed(cell.choices) for cell in cells if row.made_of(cell.choices)}
        if len(settings) != 1:
            known = "; ".join(sorted({_without_seed(cell.choices) for cell in cells}))
            wrong.append(f"{path}: row '{row.title}': {len(settings)} kinds of cells, wanted one; cells: {known}")
    if wrong:
        raise ConfigError(wrong)


def _without_seed(choices: Mapping[str, str]) -> str:
    return ", ".join(f"{axis}: {choice}" for axis, choice in choices.items() if not axis.startswith(SEEDS))
