"""A loaded model, and what it makes of an image: ``Model.restore`` and ``Result``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unirestorer.core.canvas import Canvas, Pixels, TensorSheet, as_pixels
from unirestorer.core.images import Picture, Saving, save
from unirestorer.core.instruction import Instruction, Names
from unirestorer.core.mixture import Estimate
from unirestorer.core.provenance import describe
from unirestorer.core.restoring import Restoration, Restorer, Step
from unirestorer.core.restoring.files import deliver
from unirestorer.core.treatment import Treatment
from unirestorer.kinds import FilePath, Given, ImageLike, K, Source, in_memory, pictured, taken

A = TypeVar("A", bound=np.generic)
SHOWN = 1024
"""Pixels that the longer side of a picture in a notebook has at most."""
STRIP = 64
"""Rows of a picture in a notebook that are made at once."""


class Said(TypedDict, total=False):
    """What may be said of an image beside its task, as the options of the command line."""

    degree: Names
    level: Names
    expert: Names
    exclude: Names
    licence: str | None


class Options(Said, total=False):
    """What ``Model.restore`` takes beside image and task."""

    strength: float | None
    steps: int | None
    treatment: Treatment | None


@dataclass(frozen=True, eq=False, repr=False)
class Result(Generic[K]):
    """A restored image, and how it came about; ``K`` is the kind of image that was given."""

    restoration: Restoration
    given: Given[K]
    restorer: Restorer
    instruction: Instruction

    @cached_property
    def image(self) -> K:
        """The result as what was given: a Pillow image for a file or Pillow image, else of equal shape and dtype.

        Pillow has no 16-bit colour: there it is in 8 bits, and ``pixels`` and ``save`` have all 16.
        """
        return self.given.again() if self.unchanged else self.given.back(self.restoration.image)

    @property
    def picture(self) -> Picture:
        """With the metadata of the file, in memory; floating point in 8 bits.

        Raises ``ShapeError`` for a batch of several, ``ImageError`` for a file of more than 89 megapixels.
        """
        image = self.restoration.image
        return pictured(self.image) if isinstance(image, Tensor) else in_memory(image)

    @property
    def pixels(self) -> Pixels:
        """(H, W, 3) RGB, uint8, or uint16 where the source was; raises as ``picture`` does."""
        return self.picture.pixels

    @property
    def route(self) -> tuple[Step, ...]:
        """The steps: what was found, which experts ran, what came of it; of a batch, those of the first image."""
        return self.restoration.route

    @property
    def routes(self) -> tuple[tuple[Step, ...], ...]:
        """The steps of every image of a batch."""
        return self.restoration.routes

    @property
    def estimate(self) -> Estimate:
        """What was found before the first step; of a batch, in the first image."""
        return self.restoration.estimate

    @property
    def notes(self) -> tuple[str, ...]:
        """What the owner of the image should know of its reading and restoring, a line each."""
        source = self.given.source
        same = self.unchanged and getattr(source, "path", None) is None
        read = () if isinstance(source, Tensor) or same else source.notes
        return tuple(dict.fromkeys((*read, *self.restoration.notes)))

    @property
    def unchanged(self) -> bool:
        """Whether the image is what was given."""
        return self.restoration.unchanged

    def save(self, path: FilePath, *, quality: int | None = None, lossless: bool = False) -> tuple[str, ...]:
        """Write the image, the suffix choosing the format, with metadata, profile and transparency of its file.

        How it was made of the file is written into it, for ``unirestorer replay``.
        ``quality``: 1 to 100 for the formats that lose some; ``lossless``: WebP and AVIF lose nothing. An unchanged
        file of the same format is copied byte for byte. Returns what the format cannot hold, a phrase each. Raises
        ``ImageError``, also where this would overwrite the file that was restored, ``ShapeError`` for a batch of
        several, or ``ConfigError``.
        """
        file, target = getattr(self.given.source, "path", None), Path(path)
        saving = Saving(quality=quality, lossless=lossless)
        if file is None:
            return save(target, self.pixels, self.picture, saving)
        made = describe(self.restoration, self.restorer, self.instruction, file, target, saving)
        return deliver(self.restoration, file, target, saving, made)

    def compare(self, side: int = SHOWN) -> Image.Image:
        """Before and after beside each other, each at most ``side`` pixels high and wide; of a batch, the first."""
        before, after = (preview(_canvas(source), side) for source in (self.given.source, self.restoration.image))
        gap = max(2, before.width // 100)
        both = Image.new("RGB", (2 * before.width + gap, before.height), "white")
        both.paste(before, (0, 0))
        both.paste(after, (before.width + gap, 0))
        return both

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        preview(_canvas(self.restoration.image), SHOWN).save(file, "PNG")
        return file.getvalue()

    def __repr__(self) -> str:
        from unirestorer.core.reports import estimate_line

        done = self.restoration
        found = "; ".join(estimate_line(estimate) for estimate in done.estimates)
        return f"<Result {found}, {sum(done.seconds.values()):.2f} s{', unchanged' if self.unchanged else ''}>"


@dataclass(frozen=True, eq=False)
class Model:
    """A mixture of experts that is ready to restore images, from as many threads as there are."""

    restorer: Restorer

    @property
    def tasks(self) -> tuple[str, ...]:
        """The damages that can be named as a task."""
        return self.restorer.mixture.tasks

    @overload
    def restore(
        self, image: FilePath | Image.Image, task: Names = None, **options: Unpack[Options]
    ) -> Result[Image.Image]: ...
    @overload
    def restore(self, image: NDArray[A], task: Names = None, **options: Unpack[Options]) -> Result[NDArray[A]]: ...
    @overload
    def restore(self, image: Tensor, task: Names = None, **options: Unpack[Options]) -> Result[Tensor]: ...
    def restore(
        self,
        image: ImageLike,
        task: Names = None,
        *,
        degree: Names = None,
        level: Names = None,
        expert: Names = None,
        exclude: Names = None,
        licence: str | None = None,
        strength: float | None = None,
        steps: int | None = None,
        treatment: Treatment | None = None,
    ) -> Result[Any]:
        """Restore ``image``: find out what is wrong, within what is said of it, and run the expert for that.

        ``task``, ``degree``, ``level``, ``expert``, ``exclude``: one name or several, as the options of the command
        line; together they must leave at least one expert. ``licence``: "commercial", no expert that forbids that use.
        ``strength``, ``steps``: instead of those of ``treatment``, which is that of the model unless given. Each image
        of a batch is routed on its own. No gradients.

        Raises ``ImageError``, ``ShapeError``, ``UnknownNameError``, ``ConfigError`` for what cannot be had together, or
        ``RegistryError``.
        """
        changes = {name: value for name, value in (("strength", strength), ("steps", steps)) if value is not None}
        how = replace(treatment or self.restorer.treatment, **cast("dict[str, Any]", changes))
        said, given = Instruction.of(task, degree, level, expert, exclude, licence), taken(image, how)
        tensor = isinstance(given.source, Tensor)
        run: Any = self.restorer.restore_tensor if tensor else self.restorer.restore
        return Result(run(given.source, said, how), given, self.restorer, said)

    def diagnose(self, image: ImageLike, task: Names = None, **said: Unpack[Said]) -> Estimate:
        """What is wrong with ``image``, and which expert would restore it; of a batch, the first image.

        Takes and raises what ``restore`` does.
        """
        instruction, source = Instruction.of(task, **said), taken(image).source
        if isinstance(source, Tensor):
            return self.restorer.diagnose_tensor(source, instruction)
        return self.restorer.diagnose(source, instruction)


def preview(canvas: Canvas, side: int) -> Image.Image:
    """``canvas`` as an 8-bit RGB image of at most ``side`` pixels high and wide, each the mean of a square."""
    width, by = slice(0, canvas.width), -(-max(canvas.height, canvas.width) // side)
    strips = []
    for top in range(0, canvas.height, STRIP * by):
        strip = canvas.read(slice(top, min(top + STRIP * by, canvas.height)), width)
        strips.append(as_pixels(avg_pool2d(strip, by, ceil_mode=True)))
    return Image.fromarray(np.concatenate(strips))


def _canvas(source: Source) -> Canvas:
    return TensorSheet(source[:1]) if isinstance(source, Tensor) else source.canvas
