"""The portable zip."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from unirestorer.core.contracts import Record, RecordKey, Store
from unirestorer.core.errors import RegistryError
from unirestorer.registry import export_zip, history, open_registry, verify
from unirestorer.registry.base import ZarrRegistry

Records = dict[RecordKey, Record]
EXPERT: RecordKey = ("experts", "tiny/0")


@pytest.fixture
def full(registry: ZarrRegistry, records: Records) -> ZarrRegistry:
    registry.write(records, message="all", author="test")
    return registry


def test_an_export_holds_what_restoring_needs_and_nothing_else(full: ZarrRegistry, tmp_path: Path) -> None:
    full.write({("experts", "other/0"): full.read(*EXPERT)}, message="another set", author="test")
    export_zip(full, tmp_path / "model.zip", model="tiny")
    with open_registry(tmp_path / "model.zip") as zipped:
        assert verify(zipped) == []
        assert zipped.names("experts") == ["tiny/0", "tiny/1", "tiny/2"]
        assert [zipped.names(kind) for kind in ("costs", "dr_sets", "stages")] == [[], [], []]
        assert "assign" not in zipped.read("hierarchies", "tiny").arrays
        np.testing.assert_array_equal(zipped.read(*EXPERT).arrays["weights"], full.read(*EXPERT).arrays["weights"])
        assert zipped.attributes(*EXPERT) == full.attributes(*EXPERT)
        assert history(zipped) == []


def test_a_zip_is_a_read_only_store_and_closes(full: ZarrRegistry, tmp_path: Path, records: Records) -> None:
    export_zip(full, tmp_path / "model.zip", model="tiny")
    zipped = open_registry(tmp_path / "model.zip")
    assert isinstance(zipped, Store)
    assert zipped.read_only
    with pytest.raises(RegistryError, match="read-only"):
        zipped.write(records, message="m", author="a")
    zipped.close()
    zipped.close()
    with pytest.raises(RegistryError, match="closed"):
        zipped.read(*EXPERT)


def test_equal_content_gives_equal_bytes(full: ZarrRegistry, records: Records, tmp_path: Path) -> None:
    other = open_registry(tmp_path / "other", create=True)
    for key in reversed(records):
        backwards = dict(reversed(list(records[key].attributes.items())))
        other.write({key: Record(records[key].arrays, backwards)}, message="one", author="test")
    digests = set()
    for number, source in enumerate((full, other)):
        export_zip(source, tmp_path / f"{number}.zip", model="tiny")
        digests.add(hashlib.sha256((tmp_path / f"{number}.zip").read_bytes()).hexdigest())
    with open_registry(tmp_path / "0.zip") as zipped:
        export_zip(zipped, tmp_path / "2.zip", model="default")
    digests.add(hashlib.sha256((tmp_path / "2.zip").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_half_narrows_wide_floats_and_renews_the_hash(full: ZarrRegistry, tmp_path: Path) -> None:
    export_zip(full, tmp_path / "half.zip", model="tiny", half=True)
    with open_registry(tmp_path / "half.zip") as zipped:
        assert verify(zipped) == []
        record = zipped.read(*EXPERT)
    narrow = load(record.arrays["weights"].tobytes())
    wide = load(full.read(*EXPERT).arrays["weights"].tobytes())
    np.testing.assert_array_equal(narrow["conv"], wide["conv"].astype(np.float16))
    np.testing.assert_array_equal(narrow["count"], wide["count"])
    assert record.attributes["weights-dtype"] == "float16"
    assert record.attributes["sha256"] == hashlib.sha256(record.arrays["weights"].tobytes()).hexdigest()


def test_half_refuses_what_float16_cannot_hold_and_leaves_no_file(full: ZarrRegistry, tmp_path: Path) -> None:
    big = np.frombuffer(save({"scale": np.array([1e6], dtype=np.float32)}), dtype=np.uint8)
    attributes = {key: value for key, value in full.attributes(*EXPERT).items() if key != "sha256"}
    full.write({EXPERT: Record({"weights": big}, attributes)}, message="big", author="test")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RegistryError, match=r"tensor 'scale' holds 1e\+06"):
        export_zip(full, tmp_path / "half.zip", model="tiny", half=True)
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_with_a_missing_part_is_not_exported(registry: ZarrRegistry, records: Records, tmp_path: Path) -> None:
    del records["routers", "tiny"]
    registry.write(records, message="no routers", author="test")
    with pytest.raises(RegistryError, match="needs routers/tiny"):
        export_zip(registry, tmp_path / "model.zip", model="tiny")
    assert any("routers/tiny is missing" in problem for problem in verify(registry))


def test_exports_need_a_zip_name_and_an_existing_folder(full: ZarrRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"ending in \.zip"):
        export_zip(full, tmp_path / "model", model="tiny")
    with pytest.raises(RegistryError, match="cannot be written"):
        export_zip(full, tmp_path / "missing" / "model.zip", model="tiny")


def test_an_archive_packed_again_by_another_tool_still_opens(full: ZarrRegistry, tmp_path: Path) -> None:
    export_zip(full, tmp_path / "model.zip", model="tiny")
    with zipfile.ZipFile(tmp_path / "model.zip") as old, zipfile.ZipFile(tmp_path / "new.zip", "w") as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name), compress_type=zipfile.ZIP_DEFLATED)
    with open_registry(tmp_path / "new.zip") as zipped:
        assert verify(zipped) == []
