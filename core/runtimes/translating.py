"""PyTorch networks as OpenVINO models with free height and width, translated so that these lose no speed.

OpenVINO finds out by itself what a few operations are good for, but only where sizes are known. So they are told:
pixel shuffling is one operation, and a normalisation over channels of a picture, which PyTorch can only write with
channels last, needs no other memory layout. OpenVINO's ``convert_model`` is not used, because it counts its users over
the network.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

_LAST, _SECOND = (0, 2, 3, 1), (0, 3, 1, 2)  # channels last, and back


def translated(module: nn.Module, image: Tensor) -> Any:
    """An OpenVINO model of ``module`` for (1, 3, h, w), traced with ``image``, one such picture."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch import ConversionExtension
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing is deprecated, and that it keeps Python's values: others check
        trace: Any = torch.jit.trace  # it has no annotations
        decoder = TorchScriptPythonDecoder(trace(module, image, check_trace=False))
    frontend = FrontEndManager().load_by_framework("pytorch")
    for name, rule in _RULES.items():
        frontend.add_extension(ConversionExtension(f"aten::{name}", rule))
    model = frontend.convert(frontend.load(decoder))
    model.reshape([1, 3, -1, -1])
    return model


def _pixel_shuffle(context: Any) -> Any:
    from openvino import opset13

    return opset13.depth_to_space(context.get_input(0), "depth_first", context.get_values_from_const_input(1)).outputs()


def _pixel_unshuffle(context: Any) -> Any:
    from openvino import opset13

    return opset13.space_to_depth(context.get_input(0), "depth_first", context.get_values_from_const_input(1)).outputs()


def _layer_norm(context: Any) -> Any:
    """Over the last axis, or, where that is the channels of a picture turned round, over these without turning it."""
    from openvino import opset13 as ops

    values, shape = context.get_input(0), context.get_values_from_const_input(1)
    rank = len(np.atleast_1d(shape))
    turned = rank == 1 and values.get_node().get_type_name() == "Transpose" and _is_turned(values.get_node())
    if turned:
        values = ops.transpose(values, np.array(_SECOND)).output(0)
    axes, wanted = ([1], [1, -1, 1, 1]) if turned else (list(range(-rank, 0)), list(np.atleast_1d(shape)))
    made = ops.mvn(values, np.array(axes), True, context.get_values_from_const_input(4), "inside_sqrt")
    for place, joined in ((2, ops.multiply), (3, ops.add)):
        given = context.get_input(place)
        if given.get_node().get_type_name() != "PtFrameworkNode":  # that is None
            made = joined(made, ops.reshape(given, np.array(wanted), False))
    return (ops.transpose(made, np.array(_LAST)) if turned else made).outputs()


def _is_turned(node: Any) -> bool:
    order = node.input_value(1).get_node()
    return bool(order.get_type_name() == "Constant" and tuple(order.get_data()) == _LAST)


_RULES = {"pixel_shuffle": _pixel_shuffle, "pixel_unshuffle": _pixel_unshuffle, "layer_norm": _layer_norm}
