"""How a file was made, so that it can be made again: as JSON text that equal runs make equal.

It names no machine, person or date, and the source by its name, its sha256 and, where that tells nothing of the folders
of a home, the path to it from the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from glob import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import ValidationError

from .contracts import Config
from .errors import ConfigError, ImageError
from .files import digest
from .images import Saving
from .instruction import Instruction
from .restoring import Restoration, Restorer, Step
from .runtimes.eager import EAGER
from .treatment import Treatment

FORMAT = 1
"""Of the record; raised when older programs can no longer read it."""
LIBRARIES = ("unirestorer", "torch", "openvino", "pillow", "pyvips", "tifffile")
_DEEP = 3
"""Parts that a common folder of source and result has at least, as in ``/home/ada``, for the path to be recorded."""


class Source(Config):
    """The file that was restored; path: from the folder of the result, empty where it is not recorded."""

    name: str
    sha256: str
    path: str = ""


class Tiles(Config):
    """As ``Tiling``."""

    side: int
    overlap: int
    count: int


class Pass(Config):
    """A step in short; sha256: of the weights of its experts by name, null for the identity."""

    path: tuple[str, ...]
    experts: Mapping[str, str | None]
    outcome: str
    reason: str
    tiles: Tiles | None


class Provenance(Config):
    """A whole record. frames: the steps of every frame. model: digests of the parts of the model."""

    format: int
    versions: Mapping[str, str]
    model: Mapping[str, str | bool]
    runtime: str
    instruction: Mapping[str, tuple[str, ...]]
    treatment: Mapping[str, float | int | bool | None]
    saving: Mapping[str, str | int | bool | None]
    all_frames: bool
    source: Source
    frames: tuple[tuple[Pass, ...], ...]

    @property
    def said(self) -> Instruction:
        """The instruction."""
        given = dict(self.instruction)
        return Instruction.of(**{"licence" if key == "license" else key: names for key, names in given.items()})

    @property
    def treated(self) -> Treatment:
        """The treatment, with the tiles that it came to."""
        values: dict[str, Any] = dict(self.treatment)
        return Treatment(**values)

    @property
    def saved(self) -> Saving:
        """How the file was written."""
        values: dict[str, Any] = dict(self.saving)
        return Saving(**values)


@runtime_checkable
class Known(Protocol):
    """What provenance needs of a mixture of experts."""

    def parts(self) -> Mapping[str, str | bool]:
        """Digests of extractor, tree and routers, and whether it falls back to coarser experts."""
        ...

    def sha256(self, name: str) -> str | None:
        """That of the weights of the node ``name``; None for the identity."""
        ...


def describe(
    restoration: Restoration,
    restorer: Restorer,
    instruction: Instruction,
    source: Path,
    target: Path,
    saving: Saving | None = None,
    *,
    all_frames: bool = False,
) -> str:
    """JSON text on how ``target`` is made of ``source``, for ``save``; raises ``ImageError`` where it is unreadable."""
    mixture = restorer.mixture
    record = Provenance(
        format=FORMAT,
        versions=versions(),
        model=dict(mixture.parts()) if isinstance(mixture, Known) else {},
        runtime=getattr(mixture, "runtime", EAGER).name,
        instruction=instruction.said,
        treatment=asdict(_settled(restoration)),
        saving=asdict(saving or Saving()),
        all_frames=all_frames,
        source=Source(name=source.name, sha256=digest(source), path=_relative(source, target)),
        frames=passes(restoration, restorer),
    )
    return json.dumps(record.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def passes(restoration: Restoration, restorer: Restorer) -> tuple[tuple[Pass, ...], ...]:
    """The steps of every frame in short."""
    mixture = restorer.mixture
    known = mixture.sha256 if isinstance(mixture, Known) else lambda name: None
    return tuple(
        tuple(_pass(step, {name: known(name) for name in step.experts}) for step in route)
        for route in restoration.routes
    )


def _pass(step: Step, experts: Mapping[str, str | None]) -> Pass:
    tiling = step.tiling
    tiles = None if tiling is None else Tiles(side=tiling.side, overlap=tiling.overlap, count=tiling.count)
    return Pass(path=step.estimate.path, experts=experts, outcome=step.outcome, reason=step.reason, tiles=tiles)


def read(text: str, where: str) -> Provenance:
    """The record in ``text``; raises ``ConfigError`` in one line that begins with ``where``."""
    try:
        values = json.loads(text)
        newer = isinstance(values, dict) and isinstance(values.get("format"), int) and values["format"] > FORMAT
        if not newer:
            return _checked(Provenance.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        raise ConfigError(f"{where}: its provenance is damaged: {place}: {first['msg']}") from None
    except (TypeError, ConfigError) as error:
        raise ConfigError(f"{where}: its provenance is damaged: {error}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{where}: its provenance is damaged: no JSON") from None
    raise ConfigError(f"{where}: its provenance is of a newer version; update unirestorer")


def _checked(record: Provenance) -> Provenance:
    """``record``; raises ``TypeError`` or ``ConfigError`` for what nobody could have asked for."""
    _ = record.said, record.treated, record.saved
    return record


def versions() -> dict[str, str]:
    """Of the libraries that a result depends on, those that are installed."""
    return {name: found for name in LIBRARIES if (found := _version(name))}


@lru_cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _settled(restoration: Restoration) -> Treatment:
    """The treatment without what depends on the machine: the tiles are those that were used."""
    treatment = replace(restoration.treatment, max_memory=None)
    if treatment.tile is not None:
        return treatment
    used = [step.tiling for route in restoration.routes for step in route if step.tiling is not None]
    return replace(treatment, tile=used[0].side, overlap=used[0].overlap) if used else treatment


def _relative(source: Path, target: Path) -> str:
    """The way from the folder of ``target`` to ``source``, empty where it would tell names above what they share."""
    folder, source = target.resolve().parent, source.resolve()
    try:
        shared = Path(os.path.commonpath([folder, source.parent]))
    except ValueError:  # of two drives
        return ""
    if len(shared.parts) < _DEEP and not shared.is_relative_to(Path.home()):
        return ""
    return Path(os.path.relpath(source, folder)).as_posix()


def find_source(record: Provenance, made: Path, given: Path | None) -> Path:
    """The file that ``made`` was made of: ``given``, or in that folder, or where the record says.

    Raises ``ImageError`` where there is none with its sha256.
    """
    name = record.source.name
    if Path(name).name != name:
        raise ImageError(f"{made}: its provenance is damaged: the source is called '{name}'")
    tried = list(dict.fromkeys(_places(record, made, given)))
    there = [path for path in tried if path.is_file()]
    for path in there:
        if digest(path) == record.source.sha256:
            return path
    remedy = "name it, or a folder with it (--source)"
    if there:
        raise ImageError(f"{there[0]}: is not what {made} was made of, its sha256 is another; {remedy}")
    if given is None and not record.source.path:
        raise ImageError(f"{made}: does not say where its source '{name}' lies; {remedy}")
    raise ImageError(f"{made}: its source '{name}' is not {f'in {given}' if given else 'where it was'}; {remedy}")


def _places(record: Provenance, made: Path, given: Path | None) -> Iterable[Path]:
    name = record.source.name
    if given is None:
        if record.source.path:
            yield made.parent / record.source.path
    elif given.is_dir():
        yield given / name
        yield from sorted(given.rglob(escape(name)))
    else:
        yield given
