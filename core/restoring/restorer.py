"""Restoring pictures and tensors with a mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..canvas import Canvas, TensorSheet, middle
from ..errors import ShapeError
from ..images import Picture
from ..images.streaming import Streamed
from ..instruction import AUTO, Instruction
from ..treatment import Treatment
from .passes import CENTRE, Passed, passed
from .result import Restoration

if TYPE_CHECKING:
    from ..mixture import Estimate, Expert


class Router(Protocol):
    """What restoring needs of a mixture of experts (``unirestorer.core.mixture.Mixture``)."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The damages that can be named as an instruction."""
        ...

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        """Mask over nodes for an instruction, None for an empty one; raises ``UnknownNameError``, ``ConfigError``."""
        ...

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        """What is wrong with ``image`` (1, 3, H, W) in [0, 1], among the allowed nodes."""
        ...

    def expert(self, node: int) -> Expert:
        """The network of a node."""
        ...


@runtime_checkable
class Licensed(Protocol):
    """What a ``Router`` that knows licences can also say."""

    def forgone(self, free: Estimate, taken: Estimate) -> str:
        """What it costs that a licence barred the expert which ``free`` chose, so that it is ``taken`` instead."""
        ...


@dataclass(frozen=True)
class Restorer:
    """Restores pictures with ``mixture``, as ``treatment`` says unless a call says otherwise."""

    mixture: Router
    treatment: Treatment = field(default_factory=Treatment)

    def diagnose(self, picture: Picture | Streamed, instruction: Instruction = AUTO) -> Estimate:
        """What is wrong with ``picture``, within ``instruction``; raises ``UnknownNameError``, ``ConfigError``."""
        return self.mixture.estimate(middle(picture.canvas, CENTRE), self.mixture.allowed(instruction))

    def diagnose_tensor(self, batch: Tensor, instruction: Instruction = AUTO) -> Estimate:
        """As ``diagnose``, of the first image of ``batch`` (B, 3, H, W) float in [0, 1]; raises ``ShapeError``."""
        check_batch(batch)
        image = batch[:1].detach().to("cpu", torch.float32)
        return self.mixture.estimate(middle(TensorSheet(image), CENTRE), self.mixture.allowed(instruction))

    def restore(
        self,
        picture: Picture | Streamed,
        instruction: Instruction = AUTO,
        treatment: Treatment | None = None,
        first: Estimate | None = None,
    ) -> Restoration:
        """``picture`` restored; the same picture where the estimate leads to the identity.

        first: what ``diagnose`` said of it with this instruction, where that is known already.
        Raises ``UnknownNameError`` for an unknown name and ``ConfigError`` for what cannot be had together.
        """
        treatment = treatment or self.treatment
        canvas: Canvas = picture.canvas
        done = self._passed(canvas, instruction, treatment, first)
        same = done.canvas is canvas
        image = picture if same else picture.on(done.canvas)
        return Restoration(image, (done.steps,), treatment, same, done.notes)

    def restore_tensor(
        self, batch: Tensor, instruction: Instruction = AUTO, treatment: Treatment | None = None
    ) -> Restoration:
        """``batch`` (B, 3, H, W) float in [0, 1] restored at float precision, each image routed on its own.

        Raises ``ShapeError`` for another shape or range, and what ``restore`` raises.
        """
        check_batch(batch)
        treatment = treatment or self.treatment
        sheets = [TensorSheet(image[None]) for image in batch.detach().to("cpu", torch.float32)]
        done = [self._passed(sheet, instruction, treatment) for sheet in sheets]
        return Restoration(
            image=torch.cat([cast(TensorSheet, one.canvas).image for one in done]),
            routes=tuple(one.steps for one in done),
            treatment=treatment,
            unchanged=all(one.canvas is sheet for one, sheet in zip(done, sheets, strict=True)),
            notes=tuple(note for one in done for note in one.notes),
        )

    def _passed(
        self, canvas: Canvas, instruction: Instruction, treatment: Treatment, first: Estimate | None = None
    ) -> Passed:
        done = passed(self.mixture, canvas, self.mixture.allowed(instruction), treatment, first)
        if not (instruction.licence and isinstance(self.mixture, Licensed)):
            return done
        anything = self.mixture.allowed(replace(instruction, licence=""))
        free, taken = self.mixture.estimate(middle(canvas, CENTRE), anything), done.steps[0].estimate
        if free.node == taken.node:
            return done
        steps = done.steps
        if steps[0].outcome == "unchanged" and treatment.strength and not self.mixture.expert(free.node).identity:
            steps = (replace(steps[0], reason="no expert that may be used would help"), *steps[1:])
        return replace(done, steps=steps, notes=(*done.notes, self.mixture.forgone(free, taken)))


def centre(picture: Picture | Streamed, side: int = CENTRE) -> Tensor:
    """The middle of the picture as (1, 3, h, w) float32 in [0, 1], at most ``side`` pixels high and wide."""
    return middle(picture.canvas, side)


def check_batch(batch: Tensor) -> None:
    """Raises ``ShapeError`` unless ``batch`` is (B, 3, H, W) floating point in [0, 1] with at least one pixel."""
    if batch.ndim != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise ShapeError(f"image tensor is {tuple(batch.shape)}, wanted (3, H, W) or (B, 3, H, W)")
    if not batch.is_floating_point():
        raise ShapeError(f"image tensor is {batch.dtype}, wanted floating point in [0, 1]; divide bytes by 255")
    low, high = (float(value) for value in torch.aminmax(batch.detach()))
    if not (low >= 0 and high <= 1):
        raise ShapeError(f"image values range from {low:g} to {high:g}, wanted 0 to 1; scale or clamp them")
