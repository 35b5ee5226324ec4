"""UniRestorer: finds out what is wrong with a photo, how badly, and hands it to the right expert.

Importing this package is cheap; torch is loaded when a name that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unirestorer.api import Degraded, degrade, diagnose, load, replay, restore
    from unirestorer.core.errors import UniRestorerError
    from unirestorer.core.images import Picture
    from unirestorer.core.instruction import Instruction
    from unirestorer.core.mixture import Estimate
    from unirestorer.core.restoring import Restorer, Step
    from unirestorer.core.treatment import Treatment
    from unirestorer.evaluation import evaluate
    from unirestorer.model import Model, Result

    __version__: str

_HOMES = {
    "Degraded": "unirestorer.api",
    "Estimate": "unirestorer.core.mixture",
    "Instruction": "unirestorer.core.instruction",
    "Model": "unirestorer.model",
    "Picture": "unirestorer.core.images",
    "Restorer": "unirestorer.core.restoring",
    "Result": "unirestorer.model",
    "Step": "unirestorer.core.restoring",
    "Treatment": "unirestorer.core.treatment",
    "UniRestorerError": "unirestorer.core.errors",
    "degrade": "unirestorer.api",
    "diagnose": "unirestorer.api",
    "evaluate": "unirestorer.evaluation",
    "load": "unirestorer.api",
    "replay": "unirestorer.api",
    "restore": "unirestorer.api",
}

__all__ = [
    "Degraded",
    "Estimate",
    "Instruction",
    "Model",
    "Picture",
    "Restorer",
    "Result",
    "Step",
    "Treatment",
    "UniRestorerError",
    "__version__",
    "degrade",
    "diagnose",
    "evaluate",
    "load",
    "replay",
    "restore",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'unirestorer' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def _version() -> str:
    """The installed version; "unknown" in a bare checkout."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("unirestorer")
    except PackageNotFoundError:
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
