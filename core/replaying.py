"""Making a file again as its provenance says, and holding the two against each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ConfigError, UniRestorerError
from .images import load, load_frames
from .provenance import Known, Pass, Provenance, passes, versions
from .restoring import Restoration, Restorer
from .restoring.files import deliver, deliver_frames, load_source, restore_frames


@dataclass(frozen=True, eq=False)
class Replayed:
    """What was made again, and how it differs from the first, a line each; none: it is equal, byte for byte."""

    restoration: Restoration
    differences: tuple[str, ...]


def check_model(record: Provenance, restorer: Restorer, made: Path) -> None:
    """Raises ``ConfigError`` unless the model of ``restorer`` has the parts and experts of the ``record``."""
    mixture = restorer.mixture
    if not isinstance(mixture, Known):
        raise ConfigError(f"{made}: this model cannot be compared with the one that made it")
    parts, wrong = mixture.parts(), []
    wrong += [f"the {name}" for name, wanted in record.model.items() if parts.get(name) != wanted]
    experts = {name: sha256 for route in record.frames for one in route for name, sha256 in one.experts.items()}
    for name, wanted in experts.items():
        try:
            found = mixture.sha256(name)
        except UniRestorerError:
            found = ""
        if found != wanted:
            wrong.append(f"the expert {name}")
    if wrong:
        raise ConfigError(f"{made}: made by another model ({', '.join(wrong[:3])}); name that one with --model")


def replay(record: Provenance, text: str, restorer: Restorer, source: Path, made: Path, target: Path) -> Replayed:
    """``made`` made again of ``source`` as ``target``, with the same ``text`` in it, and compared.

    Raises ``ConfigError`` for another model, and what restoring, reading and writing raise.
    """
    check_model(record, restorer, made)
    if record.all_frames:
        frames = load_frames(source)
        done, frames = restore_frames(frames, restorer, record.said)
        deliver_frames(done, frames, source, target, record.saved, text)
    else:
        done = restorer.restore(load_source(source, restorer.treatment), record.said)
        deliver(done, source, target, record.saved, text)
    differences = [*_steps(record, passes(done, restorer))]
    if not _same_bytes(made, target):
        differences = [*_versions(record), *differences, _pixels(made, target)]
    return Replayed(done, tuple(differences))


def _versions(record: Provenance) -> Iterator[str]:
    for name, now in versions().items():
        if (then := record.versions.get(name, "none")) != now:
            yield f"{name} is {now}, was {then}"


def _steps(record: Provenance, again: tuple[tuple[Pass, ...], ...]) -> Iterator[str]:
    for before, after in zip(record.frames, again, strict=False):
        for number, (old, new) in enumerate(zip(before, after, strict=False)):
            if old != new:
                yield f"step {number + 1} was {_told(old)}, is {_told(new)}"
        if len(before) != len(after):
            yield f"there were {len(before)} steps, there are {len(after)}"


def _told(step: Pass) -> str:
    tiles = "" if step.tiles is None else f" in {step.tiles.count} tiles of {step.tiles.side}"
    return f"{' + '.join(step.experts)}{tiles}, {step.outcome}"


def _pixels(made: Path, target: Path) -> str:
    try:
        first, second = load(made), load(target)
    except UniRestorerError:
        return "the files differ"
    if first.pixels.shape != second.pixels.shape or first.pixels.dtype != second.pixels.dtype:
        return f"the size was {first.pixels.shape} {first.pixels.dtype}, is {second.pixels.shape} {second.pixels.dtype}"
    apart = np.abs(first.pixels.astype(np.int32) - second.pixels)
    if not apart.any():
        return "the pixels are equal, the rest of the file is not"
    return f"{np.count_nonzero(apart.any(axis=2))} of {apart[..., 0].size} pixels differ, by {apart.max()} at most"


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
