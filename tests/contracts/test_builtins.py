"""Every built-in plugin keeps every rule of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from unirestorer.core import Config
from unirestorer.core.contracts import Spec
from unirestorer.core.testing import Contract, contract_of
from unirestorer.plugins.manager import load_catalogue

CATALOGUE = load_catalogue()
KINDS = ("synthesizer", "extractor", "expert", "clusterer")
OTHER_CONFIGS: dict[tuple[str, str], dict[str, Any]] = {
    ("extractor", "compact"): {"crop": 64, "widths": (8, 8), "dim": 16},
    ("expert", "resunet"): {"widths": (8,), "encoder": (1,), "decoder": ()},
    ("clusterer", "kmeans"): {"sizes": (1, 3, 5, 9), "restarts": 2, "normalize": False},
}


def contracts() -> Iterator[tuple[str, type[Contract]]]:
    """The contract of each spec in the catalogue, also for a configuration other than the default."""
    for kind in KINDS:
        specs: dict[str, Spec] = getattr(CATALOGUE, f"{kind}s")
        for name, spec in specs.items():
            yield f"{kind}-{name}", contract_of(spec)
            if (kind, name) in OTHER_CONFIGS:
                config: Config = spec.config.model_validate(OTHER_CONFIGS[kind, name])
                yield f"{kind}-{name}-other", type("Other", (contract_of(spec),), {"config": config})


RULES = [
    pytest.param(contract, rule, id=f"{name}-{rule.removeprefix('test_')}")
    for name, contract in contracts()
    for rule in contract.rules()
]


@pytest.mark.parametrize(("contract", "rule"), RULES)
def test_builtin(contract: type[Contract], rule: str) -> None:
    getattr(contract(), rule)()


def test_every_degradation_but_jpeg_has_a_zero_strength() -> None:
    without = [name for name, spec in CATALOGUE.synthesizers.items() if spec.identity is None]
    assert without == ["jpeg"]
