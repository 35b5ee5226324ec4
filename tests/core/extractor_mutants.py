"""Extractors that each break a rule about inputs, given weights, calibration or labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unirestorer.core.contracts import Spec

from .sample_plugins import Probe, probe


class Offset(Probe):
    """What calibration finds is not kept in the state dict."""

    offset: Any = 0.0

    def forward(self, images: Tensor) -> Tensor:
        shifted: Tensor = super().forward(images) + self.offset
        return shifted


def _set_offset(net: Any, batches: Iterable[Tensor]) -> None:
    net.offset = torch.cat(list(batches)).mean()


def _read_twice(net: Any, batches: Iterable[Tensor]) -> None:
    net.shift.copy_(torch.stack([images.mean() for _ in range(2) for images in batches])[3:].mean())


def _drift(net: Any, batches: Iterable[Tensor]) -> None:
    net.shift.add_(float(np.random.rand()))


def _start_anywhere(net: Any, config: Any) -> None:
    nn.init.constant_(net.project.bias, float(np.random.rand()))


ABILITIES: dict[str, tuple[Spec, set[str]]] = {
    "wants another input": (probe(inputs=("images", "clean")), {"objective_trains_the_extractor"}),
    "files that are text": (probe(files=lambda config: ["weights.pth"]), {"given_weights_are_repeatable"}),
    "given weights from NumPy": (probe(pretrained=_start_anywhere), {"given_weights_are_repeatable"}),
    "calibrated at random": (probe(calibrate=_drift), {"calibration_is_repeatable"}),
    "calibrated outside the state dict": (probe(Offset, calibrate=_set_offset), {"calibration_is_repeatable"}),
    "reads the batches twice": (probe(calibrate=_read_twice), {"calibration_is_repeatable"}),
    "calibrated to nan": (probe(calibrate=lambda net, b: net.shift.fill_(torch.nan)), {"calibration_is_repeatable"}),
    "equal codes": (probe(labelled=lambda net, prompts: torch.ones(3, 8)), {"labels_have_representations"}),
    "codes of another width": (probe(labelled=lambda net, prompts: torch.eye(3)), {"labels_have_representations"}),
    "random codes": (probe(labelled=lambda net, prompts: torch.rand(3, 8)), {"labels_have_representations"}),
}
