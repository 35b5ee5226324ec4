"""What happens to a photo on the page, and what is shown of it on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, cast

from unirestorer.core.errors import UniRestorerError, UnknownNameError
from unirestorer.core.images import find_images
from unirestorer.core.instruction import Instruction
from unirestorer.core.provenance import describe
from unirestorer.core.restoring import Restoration, Restorer
from unirestorer.core.restoring.files import deliver, is_copy, load_source

from .desk import Desk, Photo
from .stage import plain_html, single_html, slider_html, write_shown
from .tree import found_html
from .words import done_lines, spoken

if TYPE_CHECKING:
    from unirestorer.core.images import Picture
    from unirestorer.core.images.streaming import Streamed

MOST_STEPS = 5
"""Passes over a photo that a visitor may ask for."""
EXAMPLES = {
    name: Path(__file__).parent / "examples" / file
    for name, file in (
        ("rain", "osprey-rain.webp"),
        ("haze", "lake-haze.webp"),
        ("lowlight", "colosseum-lowlight.webp"),
        ("clean", "wren-clean.jpg"),
    )
}
"""Example photos, by what is wrong with them."""


@dataclass(frozen=True)
class Screen:
    """What the page shows. key: the photo, empty: none yet. line: what went wrong. The others are HTML."""

    key: str = ""
    line: str = ""
    stage: str = ""
    found: str = ""
    done: str = ""


@dataclass(frozen=True)
class Studio:
    """Restores the photos on ``desk``."""

    restorer: Restorer
    desk: Desk

    def example(self, name: str) -> Iterator[Screen]:
        """As ``restore``, for the example photo ``name``."""
        if name not in EXAMPLES:
            yield Screen(line=str(UnknownNameError("example", name, EXAMPLES)))
            return
        yield from self.restore(self.desk.copy(EXAMPLES[name]).key)

    def restore(self, key: str, task: str = "", strength: float = 1.0, steps: int = 1) -> Iterator[Screen]:
        """The photo ``key`` restored: what to show, as it becomes known. ``task``: the damage, empty: find out.

        What goes wrong with it is shown as one line.
        """
        try:
            photo = self.desk.photo(key)
            yield from self._restore(photo, task, strength, steps)
        except (UniRestorerError, OSError) as error:
            yield self._failed(key, self.desk.plain(error))
        except Exception:
            yield self._failed(key, "something went wrong with this photo; the server has printed what")
            raise

    def _restore(self, photo: Photo, task: str, strength: float, steps: int) -> Iterator[Screen]:
        treatment = replace(self.restorer.treatment, strength=strength, steps=min(steps, MOST_STEPS))
        instruction = Instruction.of(task or None)
        self.restorer.mixture.allowed(instruction)
        source = load_source(photo.source, treatment)
        photo.shown = photo.shown or photo.offer(write_shown(source, photo.folder / "shown" / "before"))
        yield Screen(photo.key, stage=plain_html(photo.shown, photo.size, "Finding out what is wrong"))
        estimate = self.restorer.diagnose(source, instruction)
        found = found_html(estimate, task)
        busy = f"Restoring with the expert for {spoken(estimate.path[-1])}"
        yield Screen(photo.key, stage=plain_html(photo.shown, photo.size, busy), found=found)
        restoration = self.restorer.restore(source, instruction, treatment, estimate)
        yield replace(self._done(photo, source, restoration, instruction), found=found)

    def _failed(self, key: str, line: str) -> Screen:
        """Only the line, or also the picture where it is being shown already."""
        try:
            photo = self.desk.photo(key)
        except UniRestorerError:
            return Screen(line=line)
        return Screen(key, line, plain_html(photo.shown, photo.size)) if photo.shown else Screen(line=line)

    def _done(
        self, photo: Photo, source: Picture | Streamed, restoration: Restoration, instruction: Instruction
    ) -> Screen:
        count = len(photo.files)
        ((_, relative),) = find_images([photo.source])
        target = photo.folder / f"restored-{count}" / relative
        same = is_copy(restoration.unchanged, source.format, target)
        made = None if same else describe(restoration, self.restorer, instruction, photo.source, target)
        lost = deliver(restoration, photo.source, target, provenance=made)
        facts, place = _facts(source, target), (photo.offer(target), target.name)
        if restoration.unchanged:
            stage = single_html(photo.shown, photo.size, facts, *place)
        else:
            image = cast("Picture | Streamed", restoration.image)
            after = photo.offer(write_shown(image, photo.folder / "shown" / f"after-{count}"))
            stage = slider_html(photo.shown, after, photo.size, facts, *place)
        lines = done_lines(restoration, lost, () if same else source.notes, same=same)
        return Screen(photo.key, stage=stage, done=_lines_html(lines))


def _facts(source: Picture | Streamed, target: Path) -> str:
    """What the file is and keeps, for example ``512 x 288, PNG, 16 bit (shown in 8), with EXIF data``."""
    kept = [
        name for name, value in (("EXIF", source.exif), ("colour profile", source.icc), ("XMP", source.xmp)) if value
    ]
    parts = [
        f"{source.canvas.width} \N{MULTIPLICATION SIGN} {source.canvas.height}",
        target.suffix[1:].upper().replace("JPG", "JPEG"),
        *["16 bit, shown in 8"][: int(source.deep)],
        *[f"with {', '.join(kept)}"][: len(kept)],
    ]
    return " · ".join(parts)


def _lines_html(lines: list[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="ur-card"><p class="ur-kicker">What was done</p><ul class="ur-done">{items}</ul></section>'
