"""``unirestorer degrade``: damage a clean photo reproducibly."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unirestorer.cli.console import say


class PresetName(StrEnum):
    """Parameter ranges inside or outside the training distribution."""

    IN = "in"
    OUT = "out"


def degrade(
    image: Annotated[Path, typer.Argument(metavar="IMG", help="A clean photo.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="File name, or folder.")],
    chain: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="For example lowlight,noise:sigma=25. Default: each of seven by chance."),
    ] = None,
    preset: Annotated[PresetName, typer.Option(help="Ranges of what the chain does not say.")] = PresetName.IN,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Equal seeds, equal bytes.")] = 0,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Repeat what this side file (OUT.json) says.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")] = False,
) -> None:
    """Damage a clean photo; the recipe goes to OUT.json."""
    if replay is not None and chain is not None:
        raise typer.BadParameter("the recipe already holds a chain", param_hint="--replay with --chain")
    from unirestorer import api

    target = _target(image, out, overwrite)
    done = api.degrade(image, chain, seed, preset.value) if replay is None else api.replay(image, replay)
    done.save(target)
    how = f"seed {seed}" if replay is None else f"replay of {replay}"
    say(f"{image.name}  {done.degree[0]}, {how} -> {target}")


def _target(image: Path, out: Path, overwrite: bool) -> Path:
    from unirestorer import api
    from unirestorer.core.batch import Rules, check_free, plan
    from unirestorer.core.errors import ImageError

    if image.is_dir():
        raise ImageError(f"{image}: a folder, wanted one image file; name a file in it")
    (job,) = plan([image], out, Rules(overwrite=overwrite)).jobs
    if job.error:
        raise ImageError(job.error)
    check_free(api.side_file(job.target), overwrite)
    return job.target


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(degrade)
