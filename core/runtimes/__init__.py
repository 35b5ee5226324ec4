"""What runs a network: PyTorch as it is, compiled, or OpenVINO; the same numbers from each."""

from .choosing import RUNTIMES, State, runtime_of, states
from .errors import UnsupportedError

__all__ = ["RUNTIMES", "State", "UnsupportedError", "runtime_of", "states"]
