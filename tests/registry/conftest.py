"""A small but complete registry: two synthesizers, five items, three nodes, three experts (node 2 is the identity)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

import unirestorer
from unirestorer.core.contracts import Record, RecordKey
from unirestorer.registry import open_registry
from unirestorer.registry.base import ZarrRegistry

Records = dict[RecordKey, Record]


def weights(seed: int, width: int = 40) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    tensors: dict[str, NDArray[Any]] = {
        "conv": generator.normal(size=(width, 3)).astype(np.float32),
        "count": np.arange(3, dtype=np.int64),
    }
    return np.frombuffer(save(tensors), dtype=np.uint8)


def expert(seed: int) -> Record:
    attributes = {"arch": "tinynet", "config": {"width": 8}, "steps": 10, "parent": None, "metrics": {"psnr": 30.25}}
    return Record({"weights": weights(seed)}, attributes)


def dr_set() -> Record:
    names = ["noise", "blur"]
    arrays: dict[str, NDArray[Any]] = {
        "dr": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32),
        "image": np.arange(5, dtype=np.int32),
        "synthesizer": np.array([0, 1, 0, 0, 1], dtype=np.int32),
        "prompt": np.zeros(5, dtype=np.int32),
        "crop": np.zeros((5, 2), dtype=np.int32),
        "params/noise/sigma": np.array([15.0, 25.0, 50.0]),
        "params/noise/seed": np.array([1, 2, 3]),
        "params/blur/kernel": np.zeros((2, 7, 7), dtype=np.float32),
    }
    listed = [{"name": name, "config": {}} for name in names]
    rest = {"prompts": [["noise", "small"]], "extractor": "tiny", "seed": 0}
    return Record(arrays, {"images": [], "synthesizers": listed, **rest})


def hierarchy() -> Record:
    arrays = {
        "parent": np.array([-1, 0, 0], dtype=np.int32),
        "level": np.array([0, 1, 1], dtype=np.int32),
        "centroid": np.ones((3, 4), dtype=np.float32),
        "assign": np.zeros((5, 2), dtype=np.int32),
        "census": np.zeros((3, 1), dtype=np.int32),
    }
    attributes = {"clusterer": "kmeans", "config": {}, "dr_set": "tiny", "normalize": True, "figures": {"nmi": 0.9}}
    return Record(arrays, {**attributes, "node_names": ["all", "noise", "clean"], "level_names": ["all", "type"]})


def costs() -> Record:
    table = np.zeros((5, 3), dtype=np.float32)
    arrays = {"l1": table, "mse": table, "sample": np.arange(5, dtype=np.int32)}
    return Record(arrays, {"dr_set": "tiny", "hierarchy": "tiny", "experts": "tiny"})


@pytest.fixture
def records() -> Records:
    """One valid record or more of every kind; the model is called ``tiny``."""
    routers = {"config": {}, "dim": 4, "leaves": 2, "levels": 2, "losses": {}}
    extractor = {"arch": "compact", "config": {}, "fingerprint": "f", "dim": 4}
    ties = {"extractor": "tiny", "hierarchy": "tiny", "experts": "tiny", "routers": "tiny"}
    identity: dict[str, Any] = {
        "arch": "identity",
        "config": {},
        "sha256": None,
        "steps": 0,
        "parent": None,
        "metrics": {},
    }
    return {
        ("dr_sets", "tiny"): dr_set(),
        ("extractors", "tiny"): Record({"weights": weights(7)}, extractor),
        ("hierarchies", "tiny"): hierarchy(),
        ("experts", "tiny/0"): expert(0),
        ("experts", "tiny/1"): expert(1),
        ("experts", "tiny/2"): Record({}, identity),
        ("costs", "tiny"): costs(),
        ("routers", "tiny"): Record({"weights": weights(8)}, routers),
        ("models", "tiny"): Record({}, {**ties, "tasks": ["noise"], "version": 1, "provenance": {}}),
        ("stages", "tiny.cluster"): Record({}, {"fingerprint": "f", "report": {"summary": "done"}}),
    }


@pytest.fixture
def registry(tmp_path: Path) -> ZarrRegistry:
    """An empty registry directory."""
    return open_registry(tmp_path / "registry", create=True)


@pytest.fixture
def environment() -> dict[str, str]:
    """Environment of a child process that finds the package."""
    return {"PYTHONPATH": str(Path(str(unirestorer.__file__)).parents[1]), "OMP_NUM_THREADS": "1"}
