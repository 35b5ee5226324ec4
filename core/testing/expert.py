"""The contract of experts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..contracts import Config, ExpertSpec, SizeRequirement
from ..tiles import run_pixels, run_tiled
from .contract import does_not_apply, random_state, require, require_equal, require_range
from .data import clean_images, with_extremes
from .network import NetworkContract, require_gradients

LIMIT = 512  # the host's tile, pixels


class ExpertContract(NetworkContract):
    """What every expert promises; see ``unirestorer.core.contracts.ExpertSpec``."""

    spec: ExpertSpec[Any]

    def make(self, config: Config) -> Any:
        """What the spec makes of ``config``; a network that needs a file of weights cannot be made here."""
        if self.spec.build is None:
            raise does_not_apply("its network is made of a file of weights")
        return self.spec.build(config)

    def size(self) -> tuple[int, int]:
        """The smallest that the spec allows from 40 x 56 pixels on."""
        return self._fit(40), self._fit(56)

    def test_spec_is_well_formed(self) -> None:
        """As for every kind; ``size`` asks for no more than a tile."""
        super().test_spec_is_well_formed()
        self._requirement()

    def test_sizes_of_the_spec(self) -> None:
        """Every H and W that ``size`` allows, from the smallest, black and white images too: the same shape, finite."""
        network, least, step = self.stirred(), self._fit(1), self._requirement().multiple
        for height, width in ((least, least), (least, least + step), (least + 2 * step, least), self.size()):
            images = with_extremes(height, width)
            output = self.run(network, images)
            require_range(output, images.shape, f"output for {height} x {width} pixels", limits=False)

    def test_memory_layout_does_not_matter(self) -> None:
        """Images in ``channels_last``, the host's layout, give the same numbers, to 1e-5."""
        network, images = self.stirred(), clean_images(2, *self.size())
        other = self.run(network, images.contiguous(memory_format=torch.channels_last))
        wanted = self.run(network, images)
        require_equal(other, wanted, "output for channels_last images", "the same numbers, to 1e-5", 1e-5)

    def test_restores_photos_of_any_size(self) -> None:
        """The host pads, runs in inference mode, crops back: one pixel and odd sizes come out whole."""
        network, size = self.stirred(), self._requirement()
        for height, width in ((1, 1), (13, 37)):
            image = clean_images(1, height, width)
            what = f"a photo of {height} x {width} pixels"
            require_range(run_tiled(image, network, size), image.shape, what, limits=True)
            pixels = np.full((height, width, 3), 128, dtype=np.uint8)
            shape = run_pixels(pixels, network, size).shape
            require(shape == pixels.shape, f"{what}, 8 bit", shape, str(pixels.shape))

    def test_training_reaches_the_parameters(self) -> None:
        """The gradient of a loss of the output reaches every trainable parameter."""
        network = self.stirred().train()
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise does_not_apply("the network has no trainable parameters")
        images = clean_images(2, *self.size())
        with random_state(0):
            loss = (network(images) - images.flip(3)).square().mean()
        require_gradients(loss, network, "squared error of the output")

    def _fit(self, length: int) -> int:
        size = self._requirement()
        return -(-max(length, size.minimum) // size.multiple) * size.multiple

    def _requirement(self) -> SizeRequirement:
        for name in ("multiple", "minimum"):
            value = getattr(self.spec.size, name)
            require(type(value) is int and 1 <= value <= LIMIT, f"size.{name}", repr(value), f"an int in 1..{LIMIT}")
        return self.spec.size
