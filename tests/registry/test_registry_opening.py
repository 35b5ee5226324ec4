"""Opening: what is accepted, what is refused, and how quietly and lazily."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unirestorer.core.contracts import Record, RecordKey
from unirestorer.core.errors import RegistryError
from unirestorer.registry import encoding, export_zip, open_registry
from unirestorer.registry.base import ZarrRegistry
from unirestorer.registry.locking import local_storage

Records = dict[RecordKey, Record]


def refused(path: Path, message: str, *, create: bool = False) -> None:
    with pytest.raises(RegistryError, match=message) as caught:
        open_registry(path, create=create)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_registries_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such registry")
    refused(tmp_path / "nowhere.zip", "no such registry")
    refused(tmp_path, "not a registry")


def test_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"PNG")
    (tmp_path / "photo.zip").write_bytes(b"PNG")
    (tmp_path / "empty.zip").write_bytes(b"")
    refused(tmp_path / "photo.png", "is a file")
    refused(tmp_path / "photo.zip", "cannot be read")
    refused(tmp_path / "empty.zip", "cannot be read")
    refused(tmp_path, "holds other files", create=True)
    refused(tmp_path / "photo.png" / "registry", "cannot be written", create=True)
    refused(tmp_path / "new.zip", "cannot be created empty", create=True)
    assert (tmp_path / "photo.png").read_bytes() == b"PNG"


def test_a_foreign_icechunk_repository_is_refused(tmp_path: Path) -> None:
    import icechunk

    icechunk.Repository.create(local_storage(tmp_path / "foreign"))
    refused(tmp_path / "foreign", "holds no registry")


def test_creating_twice_keeps_what_is_there(registry: ZarrRegistry, records: Records) -> None:
    registry.write(records, message="all", author="test")
    assert open_registry(registry.path, create=True).names("models") == ["tiny"]


def test_a_directory_with_an_odd_name_works(tmp_path: Path, records: Records) -> None:
    odd = open_registry(tmp_path / "größe #1 %20 [a]", create=True)
    odd.write(records, message="all", author="test")
    assert open_registry(tmp_path / "größe #1 %20 [a]").names("models") == ["tiny"]


@pytest.mark.parametrize("home", ["newer", "newer.zip"])
def test_a_newer_version_asks_for_an_update(
    records: Records, tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "VERSION", "2")
    newer = open_registry(tmp_path / "newer", create=True)
    newer.write(records, message="all", author="test")
    export_zip(newer, tmp_path / "newer.zip", model="tiny")
    monkeypatch.undo()
    refused(tmp_path / home, "newer version, update")


@pytest.mark.parametrize("step", range(4))
def test_creation_interrupted_at_any_step_is_made_good_by_the_next(
    tmp_path: Path, records: Records, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Path.rename, iter(range(9))

    def rename(self: Path, target: Any) -> Path:
        if next(calls) == step:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    try:
        open_registry(tmp_path / "registry", create=True)
    except KeyboardInterrupt:
        refused(tmp_path / "registry", "not a registry")
    monkeypatch.undo()
    made = open_registry(tmp_path / "registry", create=True)
    made.write(records, message="all", author="test")
    assert made.names("models") == ["tiny"]


QUIET = """
import sys
import unirestorer.registry as registry
assert not {"torch", "zarr", "icechunk"} & set(sys.modules), "imported too early"
from pathlib import Path
from unirestorer.core.contracts import Record
store = registry.open_registry(Path(sys.argv[1]), create=True)
store.write({("stages", "a"): Record({}, {"fingerprint": "f", "report": None})}, message="m", author="a")
registry.vacuum(Path(sys.argv[1]))
assert registry.verify(store) == []
assert "torch" not in sys.modules, "torch imported"
if len(sys.argv) > 2:
    import icechunk, os
    icechunk.local_filesystem_storage(sys.argv[1])
    sys.stderr.flush()
    os._exit(0)  # on a busy machine icechunk's own thread may abort while the interpreter goes
"""


def test_imports_are_lazy_and_stderr_stays_clean(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", QUIET, str(tmp_path / "registry")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_the_warning_stays_where_no_lock_is_taken(tmp_path: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", QUIET, str(tmp_path / "registry"), "unlocked"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stderr + done.stdout).count("not safe for concurrent commits") == 1
