"""Which runtimes there are, which of them work here, and which is taken where nothing is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import MissingExtraError, UnknownNameError
from .compiled import Compile, compiler
from .eager import EAGER, Eager, accelerator
from .openvino import OpenVino

if TYPE_CHECKING:
    from ..contracts import Runtime

AUTO = "auto"
RUNTIMES = ("eager", "compile", "openvino", "openvino-bf16")
"""Names that ``runtime_of`` knows beside "auto"."""


@dataclass(frozen=True)
class State:
    """A runtime on this machine: its name, version, whether it is what "auto" means; what it lacks, if anything."""

    name: str
    version: str
    chosen: bool
    problem: str = ""


def runtime_of(name: str = AUTO) -> Runtime:
    """The runtime ``name``; "auto": PyTorch on a GPU where there is one, else OpenVINO where installed, else PyTorch.

    Raises ``UnknownNameError``, and ``MissingExtraError`` where it does not work on this machine.
    """
    if name not in (AUTO, *RUNTIMES):
        raise UnknownNameError("runtime", name, (AUTO, *RUNTIMES))
    name = _automatic() if name == AUTO else name
    if problem := _problem(name):
        raise MissingExtraError(f"runtime {name}: {problem}")
    if name == "eager":
        device = accelerator()
        return Eager(device) if device else EAGER
    if name == "compile":
        return Compile()
    return OpenVino("bf16" if name == "openvino-bf16" else "f32")


def states() -> tuple[State, ...]:
    """Every runtime, as it is on this machine."""
    import torch

    chosen = _automatic()
    versions = {"eager": torch.__version__, "compile": torch.__version__}
    return tuple(State(name, versions.get(name, _openvino()), name == chosen, _problem(name)) for name in RUNTIMES)


def _automatic() -> str:
    return "openvino" if _openvino() and accelerator() is None else "eager"


def _problem(name: str) -> str:
    if name.startswith("openvino") and not _openvino():
        return "needs OpenVINO; pip install 'unirestorer[openvino]', or choose --runtime eager"
    if name == "compile" and compiler() is None:
        return "needs a C++ compiler; install g++ or clang++ (or set CXX), or choose --runtime eager"
    return ""


@lru_cache(maxsize=1)
def _openvino() -> str:
    """Version of OpenVINO, empty where it is not there or does not load."""
    try:
        import openvino
    except (ImportError, OSError):  # OSError: a library of it does not load
        return ""
    return str(openvino.__version__).split("-")[0]
