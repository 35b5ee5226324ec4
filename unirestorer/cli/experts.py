"""``unirestorer experts``: every architecture at its published sizes, and whether the network here is as large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unirestorer.cli.console import FAILED, complain, print_table

if TYPE_CHECKING:
    from unirestorer.core.contracts import Config, ExpertSpec


@dataclass(frozen=True)
class ExpertRow:
    """One size of an architecture; ``None`` where there is nothing to count, or nothing published.

    ``parameters`` are counted on the network that is built, ``published`` is what ``source`` says. ``multiple`` and
    ``minimum``, in pixels, are what it needs of width and height; the host pads.
    """

    name: str
    variant: str
    parameters: int | None
    published: int | None
    multiple: int
    minimum: int
    licence: str
    source: str
    problem: str = ""

    @property
    def verdict(self) -> str:
        """Whether the two numbers are equal, where there are two."""
        if None in (self.parameters, self.published):
            return "-"
        return "equal" if self.parameters == self.published else "differs"


def experts(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List expert architectures with their published sizes: parameters counted and published, licence, source."""
    from unirestorer.plugins.manager import load_catalogue

    rows = [row for spec in load_catalogue().experts.values() for row in _rows(spec)]
    if as_json:
        typer.echo(json.dumps([asdict(row) | {"verdict": row.verdict} for row in rows], indent=2))
    else:
        header = ("name", "variant", "parameters", "published", "", "multiple", "licence", "source")
        print_table(header, [_cells(row) for row in rows])
    problems = [row.problem for row in rows if row.problem]
    problems += [
        f"expert {row.name}, {row.variant}: {_number(row.parameters)} parameters, published {_number(row.published)}"
        for row in rows
        if row.verdict == "differs"
    ]
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(FAILED)


def _rows(spec: ExpertSpec[Any]) -> Iterator[ExpertRow]:
    def row(variant: str, config: Config | None, published: int | None, source: str) -> ExpertRow:
        counted, problem = _counted(spec, config)
        shown = variant if published or counted is not None else "-"
        size = spec.size
        return ExpertRow(
            spec.name, shown, counted, published, size.multiple, size.minimum, spec.licence, source, problem
        )

    for size in spec.published:
        yield row(size.variant, size.config, size.parameters, size.source)
    if not spec.published:
        yield row("default", None, None, spec.summary)


def _counted(spec: ExpertSpec[Any], config: Config | None) -> tuple[int | None, str]:
    """Parameters of the network of ``config``, by default the default one, and why it cannot be built.

    Counted without making weights, where the network can be built so.
    """
    import torch
    from pydantic import ValidationError

    from unirestorer.core.errors import UniRestorerError

    if spec.build is None:
        return None, ""
    try:
        config = config or spec.config()
    except ValidationError:  # no default size
        return None, ""
    try:
        with torch.device("meta"):
            network = spec.build(config)
    except Exception:  # noqa: BLE001 - networks look at values when they are built, in many ways
        try:
            network = spec.build(config)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            said = str(error) if isinstance(error, UniRestorerError) else f"expert {spec.name}: {error!r}"
            return None, " ".join(said.split())
    return sum(parameter.numel() for parameter in network.parameters()), ""


def _cells(row: ExpertRow) -> list[str]:
    return [
        row.name,
        row.variant,
        _number(row.parameters),
        _number(row.published),
        row.verdict,
        str(row.multiple),
        row.licence or "-",
        row.source,
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(experts)
