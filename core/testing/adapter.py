"""The contract of adapters: experts that rest on another network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Config
from ..weights import pack, sha256
from .contract import random_state, require, require_equal
from .data import clean_images
from .expert import ExpertContract

TOLERANCE = 1e-5
STEPS = 3


class BaseNetwork(nn.Module):
    """A small network (B, 3, H, W) -> (B, 3, H, W) to put an adapter over: equal weights each time.

    It has plain, grouped and depthwise convolutions, a linear layer, and statistics that training would change.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.ModuleList(
            [nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False), nn.Conv2d(8, 8, 5, padding=2, groups=8)]
        )
        self.mix = nn.Linear(8, 8)
        self.tail = nn.Conv2d(8, 3, 1)
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))

    def forward(self, images: Tensor) -> Tensor:
        """Restore a batch of any size."""
        x = torch.relu(self.norm(self.head(images)))
        for layer in self.body:
            x = x + layer(x)
        x = x + self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        out: Tensor = images + self.tail(torch.tanh(x))
        return out


class AdapterContract(ExpertContract):
    """What every adapter promises beside what every expert does, over ``BaseNetwork``."""

    def make(self, config: Config) -> Any:
        """Over a new base network, kept as ``self.base``."""
        with random_state(0):
            self.base = BaseNetwork().eval()
        assert self.spec.over is not None
        return self.spec.over(config, self.base)

    def test_adapter_holds_only_what_it_adds(self) -> None:
        """No tensor of the base is in the adapter's state dict, under whichever name."""
        adapter = self.build()
        owned = {tensor.data_ptr(): name for name, tensor in self.base.state_dict().items() if tensor.numel()}
        state = adapter.state_dict()
        shared = [name for name, tensor in state.items() if tensor.data_ptr() in owned]
        wanted = "only what the adapter adds"
        require(not shared, "state dict", f"tensors of the base: {', '.join(shared[:5])}", wanted)
        values = {(tuple(tensor.shape), tensor.sum().item()) for tensor in self.base.parameters()}
        copied = [name for name, tensor in state.items() if (tuple(tensor.shape), tensor.sum().item()) in values]
        require(not copied, "state dict", f"copies of the base's tensors: {', '.join(copied[:5])}", wanted)

    def test_merged_equals_the_adapter(self) -> None:
        """``merged()`` is a network with as many parameters as the base, and its output is the adapter's, to 1e-5."""
        adapter: Any = self.stirred()
        images = clean_images(2, *self.size())
        wanted, merged = self.run(adapter, images), adapter.merged()
        require(isinstance(merged, nn.Module), "merged()", type(merged).__name__, "a torch.nn.Module")
        counts = [sum(parameter.numel() for parameter in net.parameters()) for net in (merged, BaseNetwork())]
        require(counts[0] == counts[1], "parameters of merged()", counts[0], f"{counts[1]}, as the base has")
        got = self.run(merged.eval(), images)
        require_equal(got, wanted, "output of merged()", "that of the adapter, to 1e-5", TOLERANCE)
        require_equal(self.run(adapter, images), wanted, "output of the adapter after merged()", "the same as before")

    def test_training_leaves_the_base(self) -> None:
        """Some steps of training change the adapter's weights, and nothing of the base: its statistics neither."""
        adapter = self.stirred()
        base, added = sha256(pack(self.base)), sha256(pack(adapter))
        trained = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
        require(trained, "trainable parameters", "none", "some")
        optimizer = torch.optim.AdamW(trained, lr=0.01)
        images = clean_images(2, *self.size())
        adapter.train()
        for _ in range(STEPS):
            with random_state(0):
                adapter(images).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        require(sha256(pack(adapter)) != added, "the adapter's weights after training", "the same bytes", "other bytes")
        require(sha256(pack(self.base)) == base, "the base after training", "other bytes", "the bytes from before")
