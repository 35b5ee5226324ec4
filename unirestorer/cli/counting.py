"""The statistics that ``diagnose --stats`` writes: how often each expert and level was used, by true type."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unirestorer.cli.console import say
from unirestorer.core.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from unirestorer.core.mixture import Estimate

PRINTED = Path("-")
"""Stands for standard output."""


def check_stats(stats: Path, sources: Collection[Path], as_json: bool, overwrite: bool) -> None:
    """Raises ``ConfigError`` for what cannot be written, ``ImageError`` where it would overwrite one of ``sources``.

    And, unless ``overwrite``, any other file.
    """
    from unirestorer.core.batch import check_free
    from unirestorer.core.routing_statistics import WRITERS

    if stats == PRINTED:
        if as_json:
            raise ConfigError("--stats -: --json prints to the same place; give --stats a file")
        return
    if stats.suffix.lower() not in WRITERS:
        raise ConfigError(f"--stats {stats}: wanted a name ending in {', '.join(WRITERS)}, or - to print them")
    taken = {source.resolve() for source in sources}
    for target in (stats, picture_of(stats)):
        if target.resolve() in taken:
            raise ImageError(f"{target}: the statistics would overwrite an image; choose another name")
        check_free(target, overwrite)


def picture_of(stats: Path) -> Path:
    """Where the heat map goes."""
    return stats.with_suffix(".png")


def true_type(source: Path, relative: Path, tasks: Sequence[str], words: Mapping[str, Sequence[str]]) -> str | None:
    """The damage type that a folder of the photo ``source`` names, ``relative`` being its path below the folder given.

    That is the first folder below it that is called so, in the words people use for one of ``tasks``; else the folder
    given itself or the one around it (``derain/lq``). Otherwise the first folder's name as it is; ``None`` without one.
    """
    from unirestorer.core.words import types_meant

    below, given = relative.parts[:-1], source.parts[: -len(relative.parts)]
    for folder in (*below, *given[:-3:-1]):
        meant = types_meant(folder, tasks, words)
        if len(meant) == 1:
            return meant[0]
    return below[0] if below else None


def write_stats(stats: Path, found: Sequence[tuple[str | None, Estimate]], as_json: bool) -> None:
    """Count the estimates with their true types, and write or print what came of it.

    ``as_json``: standard output is for JSON alone.
    """
    from unirestorer.core.files import atomic
    from unirestorer.core.routing_statistics import WRITERS, Routed, draw, markdown, statistics

    rows = [
        Routed(
            truth=truth,
            node=estimate.path[-1],
            level=estimate.level,
            leaf_probability=max(estimate.leaves.values()),
            level_probability=max(estimate.levels.values()),
            found=estimate.task,
            unknown=None if estimate.novelty is None else estimate.unknown,
        )
        for truth, estimate in found
    ]
    nodes = [branch.name for _, estimate in found[:1] for branch in estimate.tree]
    levels = [name for _, estimate in found[:1] for name in estimate.levels]
    counted = statistics(rows, nodes, levels)
    if stats == PRINTED:
        say(markdown(counted).rstrip())
        return
    with atomic(stats) as file:
        file.write(WRITERS[stats.suffix.lower()](counted).encode())
    with atomic(picture_of(stats)) as file:
        draw(counted, file)
    if not as_json:
        say(f"{len(rows)} photos counted -> {stats}, {picture_of(stats)}")
