"""``unirestorer captions``: say what photos show, for extractors that are trained with captions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import say
from unirestorer.cli.progress import bars

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unirestorer.core.captions import Read


def captions(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Caption file: name, tab, caption.")],
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A folder of clean photos.")] = None,
    recipe: Annotated[Path | None, typer.Option(metavar="FILE", help="Also the truths of this recipe's pairs.")] = None,
    datasets: Annotated[Path | None, typer.Option(metavar="DIR", help="With --recipe: folder of data sets.")] = None,
    model: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="A BLIP model: a folder, or a name on huggingface.co.")
    ] = "Salesforce/blip-image-captioning-base",
    download: Annotated[bool, typer.Option("--download", help="Fetch the model if it is not on this machine.")] = False,
) -> None:
    """Caption photos with BLIP. Run again to go on where it was: photos that FILE holds are left as they are."""
    from unirestorer.core.captions import add_captions, read_rows

    if folder is None and recipe is None:
        raise typer.BadParameter("give a folder of photos, --recipe, or both")
    photos = {**({} if folder is None else _photos(folder)), **({} if recipe is None else _truths(recipe, datasets))}
    known = read_rows(out) if out.exists() else {}
    todo = {name: read for name, read in photos.items() if name not in known}
    if todo:
        from unirestorer.plugins.captioning import Captioner

        captioner = Captioner(model, download=download)
        with bars() as watch:
            add_captions(out, todo, captioner, lambda done: watch("captions", done, len(todo), "photos"))
    say(f"{len(todo)} of {len(photos)} photos captioned -> {out}")


def _photos(folder: Path) -> dict[str, Read]:
    from unirestorer.core.images import find_images

    return {relative.as_posix(): partial(_pixels, path) for path, relative in find_images([folder])}


def _pixels(path: Path) -> NDArray[np.uint8]:
    from unirestorer.core.images import load

    return load(path).eight


def _truths(recipe: Path, datasets: Path | None) -> dict[str, Read]:
    """The truths of the pairs that ``recipe`` is trained on, by the names that records give them."""
    from unirestorer.core.pairs import open_pairs
    from unirestorer.core.recipe import load_recipe
    from unirestorer.plugins.manager import load_catalogue

    plan = load_recipe(recipe, load_catalogue())
    given = open_pairs(plan.synthesize, plan.seed, datasets)
    return {
        source.name(pair.gt): partial(source.data.read, pair, "gt") for source in given.sources for pair in source.pairs
    }


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(captions)
