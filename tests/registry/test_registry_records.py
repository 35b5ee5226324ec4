"""Writing and reading records."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from unirestorer.core.contracts import Record, RecordKey, Store
from unirestorer.core.errors import RegistryError, UnknownNameError
from unirestorer.registry import history, layout, local, open_registry, verify
from unirestorer.registry.base import ZarrRegistry
from unirestorer.registry.locking import local_storage

Records = dict[RecordKey, Record]
EXPERT: RecordKey = ("experts", "tiny/0")


def test_a_registry_is_a_store(registry: ZarrRegistry) -> None:
    assert isinstance(registry, Store)
    assert not registry.read_only


def test_every_kind_reads_back_bit_equal_after_reopening(registry: ZarrRegistry, records: Records) -> None:
    registry.write(records, message="all", author="test")
    again = open_registry(registry.path)
    for (kind, name), record in records.items():
        read = again.read(kind, name)
        assert set(read.arrays) == set(record.arrays)
        for array in record.arrays:
            assert read.arrays[array].dtype == record.arrays[array].dtype
            np.testing.assert_array_equal(read.arrays[array], record.arrays[array])
        assert {key: read.attributes[key] for key in record.attributes} == dict(record.attributes)
    assert verify(again) == []


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), dtype=np.float32),
        np.array(3.5),
        np.arange(4000).reshape(100, 40)[::2, ::3],
        np.arange(5, dtype=">i4"),
        np.array([True, False]),
        np.full((3, 2), np.nan, dtype=np.float16),
    ],
    ids=["empty", "scalar", "strided", "big-endian", "bool", "nan"],
)
def test_odd_arrays_read_back_equal(registry: ZarrRegistry, records: Records, array: Any) -> None:
    record = dataclasses.replace(records[EXPERT], arrays={**records[EXPERT].arrays, "extra": array})
    registry.write({EXPERT: record}, message="odd", author="test")
    read = registry.read(*EXPERT).arrays["extra"]
    assert read.shape == array.shape
    np.testing.assert_array_equal(read, array)


def test_an_array_of_several_chunks_reads_back_equal(
    registry: ZarrRegistry, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "CHUNK_BYTES", 1000)
    rows = np.random.default_rng(0).integers(0, 99, size=(300, 7))
    record = dataclasses.replace(records[EXPERT], arrays={**records[EXPERT].arrays, "rows": rows})
    registry.write({EXPERT: record}, message="rows", author="test")
    np.testing.assert_array_equal(registry.read(*EXPERT).arrays["rows"], rows)


def test_replacing_a_record_removes_its_stale_arrays(registry: ZarrRegistry, records: Records) -> None:
    full = records["dr_sets", "tiny"]
    registry.write({("dr_sets", "tiny"): full}, message="full", author="test")
    fewer = {name: array for name, array in full.arrays.items() if name != "dr"}
    registry.write({("dr_sets", "tiny"): Record(fewer, full.attributes)}, message="recipes", author="test")
    assert "dr" not in registry.read("dr_sets", "tiny").arrays
    assert not layout.has_node(registry._state(), "dr_sets/tiny/dr")


def test_one_write_is_one_commit_with_its_author(registry: ZarrRegistry, records: Records) -> None:
    before = len(history(registry))
    commit = registry.write(records, message="all of it", author="cluster")
    log = history(registry)
    assert len(log) == before + 1
    assert (log[0].id, log[0].author, log[0].message) == (commit, "cluster", "all of it")


def test_a_commit_names_versions_and_the_recipe_hash(registry: ZarrRegistry, records: Records) -> None:
    import icechunk

    marked = dataclasses.replace(records[EXPERT], attributes={**records[EXPERT].attributes, "recipe_hash": "abc"})
    registry.write({EXPERT: marked}, message="m", author="a")
    repository = icechunk.Repository.open(local_storage(registry.path))
    metadata = next(iter(repository.ancestry(branch="main"))).metadata
    assert metadata["recipe_hash"] == "abc"
    assert metadata["versions"]["icechunk"] == icechunk.__version__


def test_a_write_that_fails_half_way_changes_nothing(
    registry: ZarrRegistry, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_at_routers(store: Any, kind: str, name: str, record: Record) -> None:
        if kind == "routers":
            raise OSError("disk full")
        layout.write_record(store, kind, name, record)

    monkeypatch.setattr(local, "write_record", fail_at_routers)
    with pytest.raises(RegistryError, match="disk full"):
        registry.write(records, message="all", author="test")
    monkeypatch.undo()
    assert registry.names("experts") == []
    registry.write(records, message="all", author="test")
    assert verify(registry) == []


def test_names_are_sorted_and_follow_other_writers(registry: ZarrRegistry, records: Records) -> None:
    assert registry.names("experts") == []
    open_registry(registry.path).write(records, message="all", author="test")
    assert registry.names("experts") == ["tiny/0", "tiny/1", "tiny/2"]
    assert registry.names("models") == ["tiny"]
    assert registry.exists("experts", "tiny/2")
    assert not registry.exists("experts", "tiny/3")


def test_opening_and_reading_one_expert_lists_nothing(
    registry: ZarrRegistry, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    import icechunk

    registry.write(records, message="all", author="test")

    def refuse(*_: object) -> None:
        raise AssertionError("listed")

    for method in ("list", "list_dir", "list_prefix"):
        monkeypatch.setattr(icechunk.IcechunkStore, method, refuse)
    again = open_registry(registry.path)
    assert again.exists(*EXPERT)
    assert again.attributes(*EXPERT)["arch"] == "tinynet"
    assert again.read(*EXPERT).arrays["weights"].size


@pytest.mark.parametrize("name", ["../x", "/tiny/0", "tiny", "tiny/0/1", "Tiny/0", "tiny//0", "tiny/.x", "a/zarr.json"])
def test_bad_record_names_are_refused(registry: ZarrRegistry, records: Records, name: str) -> None:
    with pytest.raises(RegistryError, match="bad record name"):
        registry.write({("experts", name): records[EXPERT]}, message="m", author="a")
    with pytest.raises(RegistryError, match="bad record name"):
        registry.exists("experts", name)


def test_an_unknown_kind_is_refused_with_a_suggestion(registry: ZarrRegistry) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'experts'"):
        registry.names("expert")


def test_a_missing_record_is_a_registry_error(registry: ZarrRegistry) -> None:
    with pytest.raises(RegistryError, match="experts/tiny/9: no such record"):
        registry.read("experts", "tiny/9")
