"""From file to file: how a source is opened, and how what was made of it is delivered."""

from __future__ import annotations

from pathlib import Path

from ..errors import ImageError
from ..files import copy_bytes
from ..images import Frames, Picture, Saving, format_of, load, save, save_frames
from ..images.streaming import Streamed, open_streamed, wants_streaming
from ..instruction import AUTO, Instruction
from ..treatment import Treatment
from .restorer import Restorer
from .result import Restoration


def load_source(path: Path, treatment: Treatment) -> Picture | Streamed:
    """The picture in ``path``, left on disk where it is large for ``treatment``; raises ``ImageError``."""
    return open_streamed(path) if wants_streaming(path, treatment.max_memory) else load(path)


def deliver(
    restoration: Restoration, source: Path, target: Path, saving: Saving | None = None, provenance: str | None = None
) -> tuple[str, ...]:
    """Write ``restoration`` of ``source``: the same bytes where nothing was changed and the format is kept.

    ``provenance``: JSON text on how it was made, for the file. Returns what the format of ``target`` cannot hold, a
    phrase each. Raises ``ImageError``, also where ``target`` is ``source``.
    """
    _check_other(source, target)
    picture = restoration.image if isinstance(restoration.image, Streamed) else restoration.picture
    if is_copy(restoration.unchanged, picture.format, target, saving):
        copy_bytes(source, target)
        return ()
    if isinstance(picture, Streamed):
        return picture.save(target, saving, provenance)
    return save(target, picture.pixels, picture, saving, provenance)


def is_copy(unchanged: bool, kind: str | None, target: Path, saving: Saving | None = None) -> bool:
    """Whether what was made of a file of the Pillow format ``kind`` is delivered as that file, byte for byte."""
    return unchanged and kind == format_of(target, saving)


def restore_frames(frames: Frames, restorer: Restorer, instruction: Instruction = AUTO) -> tuple[Restoration, Frames]:
    """Each of ``frames`` restored on its own, and all of that as one restoration, whose image is the first frame.

    Raises what ``Restorer.restore`` raises, and ``ImageError``.
    """
    done = [restorer.restore(picture, instruction) for picture in frames]
    whole = Restoration(
        image=done[0].image,
        routes=tuple(one.route for one in done),
        treatment=done[0].treatment,
        unchanged=all(one.unchanged for one in done),
        notes=tuple(dict.fromkeys(note for one in done for note in one.notes)),
    )
    return whole, frames.on([one.picture for one in done])


def deliver_frames(
    restoration: Restoration,
    frames: Frames,
    source: Path,
    target: Path,
    saving: Saving | None = None,
    provenance: str | None = None,
) -> tuple[str, ...]:
    """As ``deliver``, for what ``restore_frames`` gave."""
    _check_other(source, target)
    if is_copy(restoration.unchanged, frames.format, target, saving):
        copy_bytes(source, target)
        return ()
    return save_frames(target, frames, saving, provenance)


def _check_other(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        raise ImageError(f"{target}: would overwrite an input; choose another output")
