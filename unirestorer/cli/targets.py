"""Where results go: decided and checked for all images before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unirestorer.core.errors import ImageError
from unirestorer.core.images import READABLE, WRITABLE, find_images, format_of

_IMAGE_SUFFIXES = {*READABLE, ".heic", ".avif", ".jxl", ".jp2"}


@dataclass(frozen=True)
class Job:
    """One image to do."""

    source: Path
    target: Path


def plan_jobs(paths: Sequence[Path], out: Path, failed: Callable[[Path, ImageError], None]) -> list[Job]:
    """The images in ``paths`` and where each result goes below (or as) ``out``.

    A path that is missing or holds no images goes to ``failed``. Raises ``ImageError`` when two images would get one
    name, when ``out`` does not suit their number, or when a result would overwrite one of the inputs.
    """
    found = list(_found(paths, out, failed))
    single = len(paths) == 1 and not paths[0].is_dir()
    if _is_file_name(out):
        if not single:
            raise ImageError(f"{out}: a file name, wanted a folder because several images may be written")
        format_of(out)
        jobs = [Job(source, out) for source, _ in found]
    elif out.exists() and not out.is_dir():
        raise ImageError(f"{out}: is a file, wanted a folder or a name ending in {', '.join(WRITABLE)}")
    else:
        jobs = [Job(source, out / relative) for source, relative in found]
    _check(jobs)
    return jobs


def _found(paths: Sequence[Path], out: Path, failed: Callable[[Path, ImageError], None]) -> Iterator[tuple[Path, Path]]:
    for path in paths:
        try:
            yield from find_images([path], skip=out)
        except ImageError as error:
            failed(path, error)
        except OSError as error:
            failed(path, ImageError(f"{path}: cannot be read: {error.strerror}; check its permissions"))


def _is_file_name(out: Path) -> bool:
    return not out.is_dir() and out.suffix.lower() in _IMAGE_SUFFIXES


def _check(jobs: Sequence[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    takers: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            raise ImageError(f"{job.target}: would overwrite an input; choose another output")
        if target in takers:
            raise ImageError(f"{job.target}: wanted by both {takers[target]} and {job.source}; restore them separately")
        takers[target] = job.source


def check_free(target: Path, overwrite: bool) -> None:
    """Raises ``ImageError`` when ``target`` exists and ``overwrite`` is not set."""
    if target.exists() and not overwrite:
        raise ImageError(f"{target}: exists already; choose another output, or add --overwrite")
