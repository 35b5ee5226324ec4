"""Experts that rest on others: what their records say, and that the others come along."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from unirestorer.core.contracts import Record, RecordKey
from unirestorer.core.errors import RegistryError
from unirestorer.registry import export_zip, import_zip, open_registry, verify
from unirestorer.registry.base import ZarrRegistry

Records = dict[RecordKey, Record]
ADAPTER: RecordKey = ("experts", "tiny/1")


@pytest.fixture
def resting(registry: ZarrRegistry, records: Records) -> ZarrRegistry:
    """The expert of node 1 is an adapter over one that no node of the model has."""
    registry.write({**records, ("experts", "old/0"): records["experts", "tiny/0"]}, message="all", author="test")
    rest_on(registry, "old/0", registry.attributes("experts", "old/0")["sha256"])
    return registry


def rest_on(registry: ZarrRegistry, base: object, sha256: object) -> None:
    record = registry.read(*ADAPTER)
    attributes: dict[str, Any] = {**record.attributes, "arch": "lora", "base": base, "base_sha256": sha256}
    registry.write({ADAPTER: Record(record.arrays, attributes)}, message="adapter", author="test")


@pytest.mark.parametrize("half", [False, True])
def test_an_export_has_what_its_adapters_rest_on(resting: ZarrRegistry, tmp_path: Path, half: bool) -> None:
    resting.write({("experts", "other/0"): resting.read("experts", "tiny/0")}, message="not needed", author="test")
    export_zip(resting, tmp_path / "model.zip", model="tiny", half=half)
    assert import_zip(tmp_path / "model.zip", tmp_path / "made") == 8
    export_zip(open_registry(tmp_path / "made"), tmp_path / "again.zip", model="default", half=half)
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "model.zip").read_bytes()
    for path in ("model.zip", "made"):
        with open_registry(tmp_path / path) as store:
            assert store.names("experts") == ["old/0", "tiny/0", "tiny/1", "tiny/2"]
            assert verify(store) == []
            same = store.attributes("experts", "old/0")["sha256"] == store.attributes(*ADAPTER)["base_sha256"]
            assert same is not half


@pytest.mark.parametrize(
    ("base", "sha256", "problem"),
    [
        ("old/1", None, "base experts/old/1 is missing"),
        ("old/0", "0" * 64, f"base experts/old/0 has sha256 .*, wanted {'0' * 64}"),
        ("tiny/1", None, "base experts/tiny/1 is itself an adapter, over experts/tiny/1"),
    ],
)
def test_verify_names_an_adapter_without_its_base(
    resting: ZarrRegistry, base: str, sha256: str | None, problem: str
) -> None:
    rest_on(resting, base, sha256 or resting.attributes(*ADAPTER)["base_sha256"])
    (line,) = verify(resting)
    assert re.search(f"^experts/tiny/1: its {problem}.*$", line)


def test_a_model_whose_adapter_lacks_its_base_is_not_exported(resting: ZarrRegistry, tmp_path: Path) -> None:
    rest_on(resting, "old/1", resting.attributes(*ADAPTER)["base_sha256"])
    with pytest.raises(RegistryError, match="needs experts/old/1, not there"):
        export_zip(resting, tmp_path / "model.zip", model="tiny")


@pytest.mark.parametrize(("base", "sha256", "wrong"), [("old/0", None, "base_sha256"), (7, "0" * 64, "base")])
def test_what_an_adapter_rests_on_is_said_in_full(
    resting: ZarrRegistry, base: object, sha256: object, wrong: str
) -> None:
    with pytest.raises(RegistryError, match=f"attribute '{wrong}' is .*, wanted string"):
        rest_on(resting, base, sha256)
    record = resting.read(*ADAPTER)
    rest = {name: value for name, value in record.attributes.items() if name != "base_sha256"}
    with pytest.raises(RegistryError, match="attribute 'base_sha256' is missing"):
        resting.write({ADAPTER: Record(record.arrays, rest)}, message="m", author="a")
