"""The contract of DR extractors."""

from __future__ import annotations

from typing import Any

import torch

from ..contracts import ExtractorSpec, Prompts
from .contract import does_not_apply, random_state, require, require_equal, require_range
from .data import clean_images, with_extremes
from .network import NetworkContract, require_gradients

SIZES = ((1, 1), (1, 9), (5, 37), (37, 5), (33, 64), (64, 48), (129, 131))
PROMPTS = Prompts(("noise", "rain"), (("noise", "small"), ("noise", "large"), ("rain", "small")))


class ExtractorContract(NetworkContract):
    """What every extractor promises; see ``unirestorer.core.contracts.Extractor``."""

    spec: ExtractorSpec[Any]

    def is_trained(self) -> bool:
        """Those with an objective."""
        return self.spec.objective is not None

    def test_width_is_a_positive_number(self) -> None:
        """``dim`` is the width D of the representation; ``training_side`` a number of pixels."""
        dim = getattr(self.build(), "dim", None)
        require(type(dim) is int and dim > 0, "dim", repr(dim), "a positive int")
        if self.spec.training_side is not None:
            (config,) = self.configs().values()
            side = self.spec.training_side(config)
            require(type(side) is int and side > 0, "training_side(config)", repr(side), "a positive int")

    def test_any_size(self) -> None:
        """Images of any H and W, black and white ones too: finite float32 (B, dim)."""
        network: Any = self.build()
        for height, width in SIZES:
            for images in (with_extremes(height, width), clean_images(1, height, width)):
                dr = self.run(network, images)
                what = f"DRs of {len(images)} images of {height} x {width} pixels"
                require_range(dr, (len(images), network.dim), what, limits=False)

    def test_inference_mode(self) -> None:
        """The host extracts in ``torch.inference_mode``: the same DRs."""
        network, images = self.stirred(), clean_images(2)
        wanted = self.run(network, images)
        with torch.inference_mode():
            require_equal(network(images.clone()), wanted, "DRs in inference mode", "equal bits")

    def test_objective_trains_the_extractor(self) -> None:
        """The objective is a finite scalar, and its gradient reaches the extractor's parameters."""
        if self.spec.objective is None:
            raise does_not_apply("the spec has no objective")
        network = self.stirred()
        with random_state(0):
            objective = self.spec.objective(network, PROMPTS).train()
            (config,) = self.configs().values()
            side = 64 if self.spec.training_side is None else self.spec.training_side(config)
            loss = objective(clean_images(6, side, side), torch.tensor([0, 1, 2, 0, 1, 2]))
        require_gradients(loss, network, "loss of the objective")
