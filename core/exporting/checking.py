"""Whether an ONNX file gives the numbers of the network it was made of, by a reader that is not PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, MissingExtraError

TOLERANCE = 1e-3
"""Largest difference, in relation to the largest value where that is above 1."""
Session = Callable[[Sequence[Tensor]], list[Any]]
"""Inputs to outputs, numpy arrays."""


def reader() -> tuple[str, Callable[[Path], Session]]:
    """What opens ONNX files here, and its name; raises ``MissingExtraError`` where nothing does."""
    if find_spec("onnxruntime"):
        return "onnxruntime", _by_onnxruntime
    if find_spec("openvino"):
        return "OpenVINO", _by_openvino
    raise MissingExtraError(
        "export: the files are checked by OpenVINO or onnxruntime, and neither is installed; "
        "pip install 'unirestorer[onnx,openvino]'"
    )


def difference(session: Session, reference: Callable[..., Any], cases: Iterable[Sequence[Tensor]], what: str) -> float:
    """Largest difference from ``reference`` over ``cases``; raises ``ConfigError`` where it is above ``TOLERANCE``."""
    worst = 0.0
    for inputs in cases:
        with torch.inference_mode():
            wanted = reference(*inputs)
        for one, other in zip(_listed(wanted), session(inputs), strict=False):
            where = f"{what}: the ONNX file, at {' and '.join(str(tuple(value.shape)) for value in inputs)},"
            if one.shape != other.shape:
                raise ConfigError(f"{where} makes {other.shape}, wanted {tuple(one.shape)}; export another model")
            gap = float(np.abs(one.numpy() - other).max())
            if not gap <= TOLERANCE * max(1.0, float(one.abs().max())):
                raise ConfigError(f"{where} differs from PyTorch by {gap:.2g}; export another model")
            worst = max(worst, gap)
    return worst


def _listed(made: Any) -> list[Tensor]:
    return [made] if isinstance(made, Tensor) else list(made)


def _by_onnxruntime(path: Path) -> Session:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Any]:
        made: list[Any] = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
        return made

    return run


def _by_openvino(path: Path) -> Session:
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(inputs: Sequence[Tensor]) -> list[Any]:
        made = model([np.ascontiguousarray(value.numpy()) for value in inputs])
        return [made[port] for port in model.outputs]

    return run
