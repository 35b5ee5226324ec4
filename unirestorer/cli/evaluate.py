"""``unirestorer evaluate``: a model and its peers on a suite of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unirestorer.cli.console import FAILED, complain, print_table, say
from unirestorer.cli.progress import bars


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(evaluate)


def evaluate(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Registry (.zip or folder), or `embedded`: the one inside.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME_OR_FILE", help="A suite that --list shows, or a YAML file.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the photos or data sets.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results; continued if there.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PEER",
            help="oracle, root, leaf-only, instruction, NAME=REGISTRY, NAME=ARCH:WEIGHTS[:LICENCE]; repeatable. "
            "input and auto are always there.",
        ),
    ] = None,
    part: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this part; repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N images of each part.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Of the damage, instead of the suite's.")] = None,
    convention: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Of PSNR and SSIM, instead of the suite's; repeatable.")
    ] = None,
    lpips: Annotated[Path | None, typer.Option(metavar="FILE", help="Weights of LPIPS's backbone.")] = None,
    iqa: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Metric of pyiqa, if installed.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the suites that come with the package.")] = False,
) -> None:
    """Measure a model beside others: PSNR and SSIM by data set, tables, charts, a contact sheet.

    Data sets that are missing are named, the rest is measured. Run again after an interruption to go on. Ends with
    status 2 if an image failed.
    """
    if listed:
        _list()
        return
    wanted = {"MODEL": model, "--suite": suite, "--data": data, "--out": out}
    lacking = [name for name, value in wanted.items() if value is None]
    if model is None or suite is None or data is None or out is None:
        raise typer.BadParameter("missing; or give --list alone", param_hint=", ".join(lacking))
    from unirestorer.core.evaluating.tables import score_tables
    from unirestorer.evaluation import evaluate as run

    failed: list[str] = []

    def tell(line: str) -> None:
        failed.append(line)
        complain(line)

    with bars() as watch:
        report = run(
            model,
            suite,
            data=data,
            peers=peer or (),
            parts=part or (),
            limit=limit,
            seed=seed,
            conventions=convention or (),
            lpips=lpips,
            iqa=iqa or (),
            out=out,
            watch=watch,
            tell=tell,
        )
    say(score_tables([report]))
    for line in report.missing:
        if line not in failed:
            say(f"not measured: {line}")
    beside = (
        "with tables, charts and a contact sheet beside it" if report.rows else "which says why nothing was measured"
    )
    say(f"{out / 'report.md'}, {beside}")
    if failed:
        raise typer.Exit(FAILED)


def _list() -> None:
    from unirestorer.evaluation import read_suite, suites

    found = [read_suite(name) for name in suites()]
    print_table(("suite", "parts", "of"), [(suite.name, str(len(suite.parts)), suite.title) for suite in found])
