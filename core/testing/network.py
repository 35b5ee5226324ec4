"""What the contracts of extractors and experts share: both are modules whose weights a registry keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Config
from ..weights import pack, sha256, unpack
from .contract import Contract, random_state, require, require_equal, world_unchanged
from .data import clean_images

TOLERANCE = 1e-4


class NetworkContract(Contract):
    """Rules of every network, on images of a size that it takes."""

    def size(self) -> tuple[int, int]:
        """H and W of the images that the rules use."""
        return 64, 48

    def is_trained(self) -> bool:
        """Whether the host trains it."""
        return True

    def make(self, config: Config) -> Any:
        """What the spec makes of ``config``."""
        return self.spec.build(config)

    def build(self, seed: int = 0, others: int = 0) -> nn.Module:
        """A new network in evaluation mode; ``others`` seeds the random state that the host does not seed."""
        (config,) = self.configs().values()
        with random_state(others, torch_seed=seed):
            network = self.make(config)
        require(isinstance(network, nn.Module), "build(config)", type(network).__name__, "a torch.nn.Module")
        module: nn.Module = network
        return module.eval()

    def stirred(self) -> nn.Module:
        """As after some training: parameters moved, one step in training mode for running statistics."""
        network, draw = self.build(), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))
            if self.is_trained():
                with random_state(0):
                    network.train()(clean_images(4, *self.size(), seed=5))
        return network.eval()

    def run(self, network: nn.Module, images: Tensor) -> Tensor:
        """The output for a copy of ``images``, without gradients; so writing into them breaks one rule, not all."""
        with torch.no_grad():
            output: Tensor = network(images.clone())
        return output

    def test_equal_seeds_build_equal_weights(self) -> None:
        """Initial weights are drawn from torch's random state alone, which the host seeds."""
        first, second = (sha256(pack(self.build(seed=3, others=others))) for others in (0, 1))
        require(first == second, "weights of two builds from one torch seed", "other bytes", "equal bytes")

    def test_repeatable(self) -> None:
        """In evaluation mode equal images give equal bits, whatever the global random state."""
        network, images = self.stirred(), clean_images(2, *self.size())
        with random_state(1):
            wanted = self.run(network, images)
        with random_state(2):
            require_equal(self.run(network, images), wanted, "output for the same images again", "equal bits")

    def test_nothing_else_changes(self) -> None:
        """Evaluation writes neither into the images nor into the weights, nor into process-wide state."""
        network, images = self.stirred(), clean_images(2, *self.size())
        kept, weights = images.clone(), sha256(pack(network))
        with torch.no_grad(), world_unchanged("evaluation"):
            network(images)
        require_equal(images, kept, "images after evaluation", "the images as they were")
        require(sha256(pack(network)) == weights, "weights after evaluation", "other bytes", "the bytes from before")

    def test_batch_equals_its_items(self) -> None:
        """In evaluation mode an item's result does not depend on the others, to 1e-4."""
        network, images = self.stirred(), clean_images(3, *self.size())
        alone = torch.cat([self.run(network, images[item : item + 1]) for item in range(3)])
        batch = self.run(network, images)
        require_equal(batch, alone, "output for a batch", "that for its items alone, to 1e-4", TOLERANCE)

    def test_weights_come_back(self) -> None:
        """The state dict holds all that makes the result: stored and loaded into a new network it gives equal bits."""
        network, images = self.stirred(), clean_images(2, *self.size())
        copy = self.build(seed=1, others=1)
        unpack(copy, pack(network), "the copy")
        again, wanted = self.run(copy, images), self.run(network, images)
        require_equal(again, wanted, "output with stored weights in a new network", "equal bits")


def require_gradients(loss: Tensor, network: nn.Module, what: str) -> None:
    """``loss`` is a finite scalar, and its gradient reaches the trainable parameters of ``network``."""
    require(isinstance(loss, Tensor) and loss.ndim == 0, what, getattr(loss, "shape", type(loss)), "a scalar tensor")
    require(torch.isfinite(loss), what, float(loss.detach()), "a finite number")
    require(loss.requires_grad, what, "a constant", "a function of the parameters")
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    missing = [name for name, gradient in gradients.items() if gradient is None]
    require(not missing, f"{what}: gradient of the parameters", f"none for {', '.join(missing[:5])}", "one for each")
    values = torch.cat([gradient.flatten() for gradient in gradients.values() if gradient is not None])
    require(torch.isfinite(values).all(), f"{what}: gradient", "values that are not finite", "finite values")
    require(values.any(), f"{what}: gradient", "zero everywhere", "some that are not zero")
