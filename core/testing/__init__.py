"""The conformance kit: what the host demands of a plugin, as tests for its author.

In a test file, for pytest::

    from acme_fog import SPEC
    from unirestorer.core.testing import SynthesizerContract

    class TestFog(SynthesizerContract):
        spec = SPEC

Each rule is one ``test_`` method and needs no pytest: ``check_spec(spec)`` runs the same rules and yields a
``CheckResult`` each. Presets are all checked, other kinds with ``spec.config()``; a ``config`` in the class replaces
both. A rule that does not apply is skipped by pytest; ``check_spec`` reports it as passed, ``does not apply: ...``.
Nothing here is imported before it is used, so that pytest starts without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapter import AdapterContract
    from .checking import CheckResult, check_spec, contract_of
    from .clusterer import ClustererContract
    from .contract import Contract
    from .data import clean_images, representations
    from .expert import ExpertContract
    from .extractor import ExtractorContract
    from .synthesizer import SynthesizerContract

__all__ = [
    "AdapterContract",
    "CheckResult",
    "ClustererContract",
    "Contract",
    "ExpertContract",
    "ExtractorContract",
    "SynthesizerContract",
    "check_spec",
    "clean_images",
    "contract_of",
    "representations",
]
_HOMES = {
    "AdapterContract": "adapter",
    "CheckResult": "checking",
    "ClustererContract": "clusterer",
    "Contract": "contract",
    "ExpertContract": "expert",
    "ExtractorContract": "extractor",
    "SynthesizerContract": "synthesizer",
    "check_spec": "checking",
    "clean_images": "data",
    "contract_of": "checking",
    "representations": "data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
