"""``unirestorer evaluate``: measure a model on clean photos that it damages itself, and on given pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import say
from unirestorer.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unirestorer.core.evaluation import Case
    from unirestorer.core.mixture import Estimate

CHAINS = ("noise:sigma=25", "jpeg:quality=10", "rain", "haze", "lowlight", "blur:sigma=2:anisotropic=0", "snow")
"""One damage at a time, at strengths that the field usually quotes, elsewhere the in-distribution preset."""


def evaluate(
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the reports")],
    clean: Annotated[
        list[Path] | None, typer.Option(help="clean photos (folder or file, repeatable) to damage and restore")
    ] = None,
    pairs: Annotated[Path | None, typer.Option(help="folder of TASK/lq and TASK/gt with equal file stems")] = None,
    model: Annotated[Path | None, typer.Option(help="registry with the model (default: the one inside)")] = None,
    seed: Annotated[int, typer.Option(help="seed of the damage")] = 0,
    chain: Annotated[
        list[str] | None, typer.Option(help="damage for --clean, as in degrade (repeatable; default: the usual seven)")
    ] = None,
) -> None:
    """PSNR gains, clean photos through auto mode, and how often the damage is recognised."""
    from unirestorer import api
    from unirestorer.core.evaluation import gain_table, measure, type_accuracy, write_report
    from unirestorer.core.images import Picture

    if clean is None and pairs is None:
        raise ConfigError("evaluate: nothing to measure on; give --clean DIR, --pairs DIR, or both")
    restorer = api.load(model)

    def run(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Estimate]:
        result = restorer.restore(Picture(pixels))
        return result.pixels, result.estimate

    if clean is not None:
        chains = tuple(chain or CHAINS)
        gains = measure(_synthetic(clean, chains, seed), run)
        write_report(out / "synthetic.md", "Clean photos, one damage at a time", gains)
        say(gain_table(gains))
        presets = tuple(dict.fromkeys(text.split(":")[0] for text in chains))
        types = measure(_synthetic(clean, presets, seed + 1), run)
        write_report(out / "types.md", "Type estimate, in-distribution presets", types)
        say(f"type found over the in-distribution presets and clean: {type_accuracy(types):.1%}")
    if pairs is not None:
        given = measure(_given(pairs), run)
        write_report(out / "pairs.md", "Given pairs", given)
        say(gain_table(given))


def _synthetic(folders: list[Path], chains: tuple[str, ...], seed: int) -> Iterator[Case]:
    """Every photo clean, then once per chain; the seed of a case depends on photo and chain only."""
    from unirestorer import api
    from unirestorer.core.evaluation import Case
    from unirestorer.core.images import find_images, load

    photos = [load(path).pixels for path, _ in find_images(folders)]
    for pixels in photos:
        yield Case("clean", "clean", pixels, pixels)
    for number, chain in enumerate(chains):
        for index, pixels in enumerate(photos):
            damaged = api.degrade(pixels, chain, seed=seed * 1_000_000 + number * 10_000 + index).pixels
            yield Case(chain, chain.split(":")[0], damaged, pixels)


def _given(folder: Path) -> Iterator[Case]:
    """The pairs of ``folder``/TASK/{lq,gt}; a missing partner is an error."""
    from unirestorer.core.evaluation import Case
    from unirestorer.core.images import find_images, load

    inside = folder.iterdir() if folder.is_dir() else ()
    tasks = sorted(path for path in inside if (path / "lq").is_dir() and (path / "gt").is_dir())
    if not tasks:
        raise ConfigError(f"{folder}: no TASK/lq and TASK/gt folders inside; wanted pairs with equal file stems")
    for task in tasks:
        truths = {path.stem: path for path, _ in find_images([task / "gt"])}
        for path, _ in find_images([task / "lq"]):
            if path.stem not in truths:
                raise ConfigError(f"{path}: has no partner of the same stem in {task / 'gt'}")
            yield Case(task.name, None, load(path).pixels, load(truths[path.stem]).pixels)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(evaluate)
