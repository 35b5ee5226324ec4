"""Where results go: decided and checked for all images before anything is done."""

from __future__ import annotations

import os
import stat
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ConfigError, ImageError
from ..images import READABLE, WRITABLE, format_of
from .finding import UNREADABLE, Found, find, writable_place
from .sharing import Share


@dataclass(frozen=True)
class Job:
    """One image to do; not, where it is ``done`` already or there is an ``error`` that says why it cannot be done.

    place: below the input, which names the image among all. changed: the source is younger than what was made of it.
    """

    source: Path
    target: Path
    place: Path
    done: bool = False
    changed: bool = False
    error: str = ""


@dataclass(frozen=True)
class Rules:
    """What decides about a target. suffix: of the chosen format, None: that of the source.

    overwrite: existing files are replaced. skip_done: they are left, except with ``overwrite`` those that are older
    than their source. share: the images that are this process's.
    """

    suffix: str | None = None
    overwrite: bool = False
    skip_done: bool = False
    share: Share = field(default_factory=Share)


@dataclass(frozen=True)
class Plan:
    """The images in the order in which they were found; images in folders that cannot be read, by suffix."""

    jobs: tuple[Job, ...]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def to_do(self) -> tuple[Job, ...]:
        """What there is to be restored."""
        return tuple(job for job in self.jobs if not (job.done or job.error))


def plan(paths: Sequence[Path], out: Path, rules: Rules) -> Plan:
    """The images in ``paths`` and where each result goes below (or as) ``out``.

    Raises ``ImageError`` when two images would get one name, when ``out`` does not suit their number, or when a result
    would overwrite one of the inputs, and ``ConfigError`` for a name of another format than the chosen one.
    """
    found = find(paths, out)
    single = len(paths) == 1 and not paths[0].is_dir()
    if _is_file_name(out):
        _check_name(out, single, rules.suffix)
        jobs = [Job(file.source, out, Path(out.name), error=file.error) for file in found.files]
    elif out.exists() and not out.is_dir():
        raise ImageError(f"{out}: is a file, wanted a folder or a name ending in {', '.join(WRITABLE)}")
    else:
        jobs = [Job(f.source, out / place, f.place, error=f.error) for f, place in _named(found.files, rules.suffix)]
        _check_inside(out, {job.target.parent for job in jobs})
    jobs = _once(jobs)
    _check(jobs, out)
    mine = [job for job in jobs if rules.share.has(job.place)]
    return Plan(tuple(_judged(job, rules) for job in mine), found.left_out)


def _is_file_name(out: Path) -> bool:
    return not out.is_dir() and out.suffix.lower() in {*READABLE, *UNREADABLE}


def _check_name(out: Path, single: bool, suffix: str | None) -> None:
    if not single:
        raise ImageError(f"{out}: a file name, wanted a folder because several images may be written")
    kind = format_of(out)
    if suffix is not None and kind != WRITABLE[suffix]:
        raise ConfigError(f"{out}: the name says {kind}, --format says {WRITABLE[suffix]}; choose one of them")


def _named(files: Sequence[Found], suffix: str | None) -> list[tuple[Found, Path]]:
    """Every file with its place below the output; the old suffix stays in the names that would else be the same."""
    places = [writable_place(file.place, suffix) for file in files]
    many = Counter(places)
    return [
        (file, file.place.with_name(file.place.name + place.suffix) if _renamed(file, place, many) else place)
        for file, place in zip(files, places, strict=True)
    ]


def _renamed(file: Found, place: Path, many: Counter[Path]) -> bool:
    return many[place] > 1 and place.suffix != file.place.suffix


def _check_inside(out: Path, folders: Iterable[Path]) -> None:
    inside = out.resolve()
    for folder in folders:
        if not folder.resolve().is_relative_to(inside):
            raise ImageError(f"{folder}: a link that leads out of {out}; remove it or choose another output")


def _once(jobs: Iterable[Job]) -> list[Job]:
    """Without those that were given twice."""
    return list({(job.source.absolute(), job.target): job for job in jobs}.values())


def _check(jobs: Sequence[Job], out: Path) -> None:
    sources = {key for job in jobs for key in _identities(job.source)}
    same = _folded if _ignores_case(out) else Path
    takers: dict[Path, Path] = {}
    for job in jobs:
        target = same(job.target.resolve())
        if sources.intersection(_identities(job.target)):
            raise ImageError(f"{job.target}: would overwrite an input; choose another output")
        if target in takers:
            raise ImageError(f"{job.target}: wanted by both {takers[target]} and {job.source}; restore them separately")
        takers[target] = job.source


def _identities(path: Path) -> tuple[object, ...]:
    """What makes ``path`` the same file as another, whatever link it is or way leads to it."""
    status = _status(path)
    return (path.resolve(), (status.st_dev, status.st_ino)) if status else (path.resolve(),)


def _folded(path: Path) -> Path:
    return Path(unicodedata.normalize("NFC", str(path)).casefold())


def _ignores_case(out: Path) -> bool:
    """Whether ``A`` and ``a`` are one file where ``out`` is or will be."""
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest(out), prefix=".unirestorer-", suffix=".probe") as probe:
            path = Path(probe.name)
            return path.with_name(path.name.upper()).exists()
    except OSError:  # nothing can be written there, as ``check_writable`` says
        return True


def _judged(job: Job, rules: Rules) -> Job:
    """``job`` as the rules for existing files have it."""
    if job.error or not os.path.lexists(job.target):
        return job
    if job.target.is_dir():
        return replace(job, error=f"{job.target}: cannot be written: it is a folder; choose another output")
    made, given = _status(job.target), _status(job.source)
    if rules.skip_done and made and stat.S_ISREG(made.st_mode) and made.st_size:
        changed = given is not None and given.st_mtime_ns > made.st_mtime_ns
        return job if changed and rules.overwrite else replace(job, done=True, changed=changed)
    if rules.overwrite or (rules.skip_done and made and not made.st_size):  # empty: the disk was full, or power failed
        return job
    return replace(job, error=_exists(job.target))


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def check_free(target: Path, overwrite: bool) -> None:
    """Raises ``ImageError`` when ``target`` exists and ``overwrite`` is not set."""
    if os.path.lexists(target) and not overwrite:
        raise ImageError(_exists(target))


def _exists(target: Path) -> str:
    return f"{target}: exists already; choose another output, or add --overwrite"


def check_writable(out: Path) -> None:
    """Raises ``ImageError`` unless files can be made below (or as) ``out``, or in the folder that it will be in."""
    folder = _nearest(out)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if not folder.is_dir() else error.strerror or error
        raise ImageError(f"{folder}: cannot be written: {reason}; choose a writable place") from error


def _nearest(out: Path) -> Path:
    """The innermost of ``out`` and the folders above it that exists, not being a file of the name ``out``."""
    folders = [*([out] if out.is_dir() else []), *out.absolute().parents]
    return next(folder for folder in folders if folder.exists())
