"""Every built-in plugin keeps every rule of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from unirestorer.core import Config
from unirestorer.core.contracts import Spec
from unirestorer.core.testing import Contract, contract_of
from unirestorer.degradations.configs import MIXTURES
from unirestorer.plugins.manager import load_catalogue

CATALOGUE = load_catalogue()
KINDS = ("synthesizer", "extractor", "expert", "clusterer")
OTHER_CONFIGS: dict[tuple[str, str], dict[str, Any]] = {
    ("extractor", "compact"): {"crop": 64, "widths": (8, 8), "dim": 16},
    ("extractor", "ddr"): {"arch": "esrgan", "width": 8, "blocks": 1, "growth": 4, "crop": 48, "dim": 16},
    ("extractor", "vgg"): {"layer": "conv2_1", "pooling": "std", "crop": 48},
    ("expert", "resunet"): {"widths": (8,), "encoder": (1,), "decoder": ()},
    ("expert", "nafnet"): {"width": 4, "enc_blk_nums": (1,) * 4, "middle_blk_num": 1, "dec_blk_nums": (1,) * 4},
    ("expert", "swinir"): {"img_size": 14, "embed_dim": 12, "depths": (2,), "num_heads": (2,), "window_size": 7},
    ("expert", "retinexformer"): {"n_feat": 8, "stage": 2, "num_blocks": (1, 1, 1)},
    ("clusterer", "kmeans"): {"sizes": (1, 3, 5, 9), "restarts": 2, "normalize": False},
    ("clusterer", "kmeans-topdown"): {"sizes": (1, 3, 5, 9), "restarts": 2, "normalize": False},
    ("clusterer", "agglomerative"): {"linkage": "average", "sample": 60},
    ("clusterer", "bisecting"): {"strategy": "largest_cluster", "sample": 60},
    ("clusterer", "gmm"): {"sizes": (1, 4, 12), "covariance": "tied", "restarts": 2},
    ("clusterer", "hdbscan"): {"coarser": (1, 2, 4), "fewest": 5, "sample": 100, "normalize": False},
    ("clusterer", "manual"): {"groups": {"weather": ("fog", "dusk")}},
    ("clusterer", "auto"): {
        "method": "kmeans",
        "criterion": "gap",
        "most": (1, 2, 5, 8),
        "restarts": 1,
        "references": 2,
    },
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


def test_every_degradation_but_jpeg_and_the_named_mixtures_has_a_zero_strength() -> None:
    without = [name for name, spec in CATALOGUE.synthesizers.items() if spec.identity is None]
    assert without == ["jpeg", *MIXTURES]
