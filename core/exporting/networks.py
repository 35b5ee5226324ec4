"""One network as an ONNX model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..contracts import SizeRequirement
from ..errors import ConfigError
from ..routing import Routers

_LARGEST = 65536  # pixels along a side
_TOO_LARGE = 2**31 - 2**24  # bytes of weights: a message of protobuf has 2 GB at most, and holds the graph as well


def batch() -> Any:
    """A free first axis."""
    return torch.export.Dim("batch", min=1, max=1024)


def axes_of(size: SizeRequirement) -> dict[int, Any]:
    """Free batch, height and width of (B, 3, h, w), within what ``size`` allows."""
    least, most = max(1, -(-size.minimum // size.multiple)), _LARGEST // size.multiple
    height, width = (torch.export.Dim(name, min=least, max=most) for name in ("height", "width"))
    if size.multiple > 1:
        height, width = size.multiple * height, size.multiple * width
    return {0: batch(), 2: height, 3: width}


def exported(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, Any]],
    outputs: Sequence[str],
    what: str,
) -> Any:
    """``module`` as an ONNX ``ModelProto`` with the free ``axes`` of each input; raises ``ConfigError`` where not."""
    weights = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    if weights > _TOO_LARGE:
        raise ConfigError(f"{what}: {weights / 1e9:.1f} GB of weights, an ONNX file holds 2 GB; export another model")
    with _quiet(), torch.inference_mode(False), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                verbose=False,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple(dict(axes[name]) for name in inputs),
            )
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(f"{what}: cannot be exported to ONNX: {first[:200]}; export another model") from error
    return _bare(program.model_proto)


def _bare(model: Any) -> Any:
    """``model`` without what the exporter notes of the machine: source lines, names of folders."""
    model.ClearField("metadata_props")
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.ClearField("metadata_props")
        for node in (*graph.node, *graph.value_info, *getattr(graph, "input", ())):
            if not isinstance(node, str):
                node.ClearField("metadata_props")
                node.ClearField("doc_string")
    return model


def with_weights(model: Any, before: nn.Module, after: nn.Module) -> Any | None:
    """``model``, made of ``before``, with the weights of ``after``, a network of the same kind: quicker than exporting.

    ``None`` where the exporter did not keep every weight of ``before`` as it was.
    """
    from onnx import numpy_helper

    old, new = before.state_dict(), after.state_dict()
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    if not held.keys() >= old.keys():
        return None
    if any(not np.array_equal(numpy_helper.to_array(held[name]), value.numpy()) for name, value in old.items()):
        return None
    copied = type(model)()
    copied.CopyFrom(model)
    for tensor in copied.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(new[tensor.name].numpy()), tensor.name))
    return copied


class OpenRouters(nn.Module):
    """Routers with an instruction, without branches that depend on values: (B, D) and (M,) to (B, K) and (B, L)."""

    def __init__(self, routers: Routers) -> None:
        super().__init__()
        self.routers = routers

    def forward(self, dr: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of leaves and of levels, as ``Routers`` gives them where at least one node is allowed."""
        usable = allowed[self.routers.ancestors]
        below = usable & (self.routers.ancestors > 0)
        leaves = torch.where(below.any(), below, usable).any(1)
        leaf, level, _, _ = self.routers.logits(dr)
        heat = self.routers.options.temperatures
        leaf = (leaf / heat.leaf).masked_fill(~leaves, -torch.inf)
        level = (level / heat.level).masked_fill(~usable.any(0), -torch.inf)
        return leaf.softmax(1), level.softmax(1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
