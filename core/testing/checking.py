"""The rules of a contract without pytest: ``check_spec``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from unittest import SkipTest

from ..contracts import ClustererSpec, ExpertSpec, ExtractorSpec, Spec, SynthesizerSpec
from .adapter import AdapterContract
from .clusterer import ClustererContract
from .contract import Contract
from .expert import ExpertContract
from .extractor import ExtractorContract
from .synthesizer import SynthesizerContract

_CONTRACTS: dict[type, type[Contract]] = {
    SynthesizerSpec: SynthesizerContract,
    ExtractorSpec: ExtractorContract,
    ExpertSpec: ExpertContract,
    ClustererSpec: ClustererContract,
}

LONGEST = 400
"""Characters of a detail; what a plugin raises may be long."""


@dataclass(frozen=True)
class CheckResult:
    """How one rule went: ``detail`` is one line, empty where it passed; wall time in ``seconds``."""

    rule: str
    passed: bool
    detail: str
    seconds: float


def contract_of(spec: Spec) -> type[Contract]:
    """The contract of the kind of ``spec``, bound to it; raises ``TypeError`` for anything that is no spec."""
    for kind, contract in _CONTRACTS.items():
        if isinstance(spec, kind):
            rests = isinstance(spec, ExpertSpec) and spec.over is not None
            chosen = AdapterContract if rests else contract
            return type(f"Check{chosen.__name__}", (chosen,), {"spec": spec})
    raise TypeError(f"no contract for {type(spec).__name__}, wanted one of {', '.join(k.__name__ for k in _CONTRACTS)}")


def check_spec(spec: Spec) -> Iterator[CheckResult]:
    """Run every rule of the contract of ``spec``, one result each; whatever the plugin raises is a failed rule.

    A rule that does not apply passes, with the detail ``does not apply: ...``. Raises ``TypeError`` for anything that
    is no spec.
    """
    contract = contract_of(spec)
    for rule in contract.rules():
        yield _check(contract, rule)


def _check(contract: type[Contract], rule: str) -> CheckResult:
    start = perf_counter()
    passed, detail = True, ""
    try:
        getattr(contract(), rule)()
    except SkipTest as skipped:
        detail = str(skipped)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - foreign code may raise anything; that is the finding
        text = str(error) if isinstance(error, AssertionError) else f"raised {type(error).__name__}: {error}"
        passed, detail = False, " ".join(text.split())[:LONGEST]
    return CheckResult(rule.removeprefix("test_").replace("_", " "), passed, detail, perf_counter() - start)
