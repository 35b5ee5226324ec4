"""Concurrent writers, kills, damage and upkeep."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unirestorer.core.contracts import Record, RecordKey
from unirestorer.core.errors import RegistryError
from unirestorer.registry import export_zip, history, layout, local, locking, open_registry, vacuum, verify
from unirestorer.registry.base import ZarrRegistry

Records = dict[RecordKey, Record]

WRITER = """
import sys
from pathlib import Path
import numpy as np
from unirestorer.core.contracts import Record
from unirestorer.registry import open_registry
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = open_registry(path, create=True)
attributes = {"arch": "x", "config": {}, "steps": 1, "parent": None, "metrics": {}}
for number in range(count):
    record = Record({"weights": np.full(20_000, number, dtype=np.uint8)}, attributes)
    store.write({("experts", f"{name}/{number}"): record}, message=f"{name} {number}", author="test")
    print(number, flush=True)
"""


def start(path: Path, name: str, count: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_processes_of_twenty_commits_leave_forty(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "registry"
    writers = [start(path, name, 20, environment) for name in ("a", "b")]
    assert [len(writer.communicate()[0].split()) for writer in writers] == [20, 20]
    store = open_registry(path)
    assert len(store.names("experts")) == 40
    assert len(history(store)) == 41
    assert verify(store) == []


def test_what_was_committed_survives_kills_at_random_moments(tmp_path: Path, environment: dict[str, str]) -> None:
    path, delays = tmp_path / "registry", random.Random(0)
    for kill in range(10):
        writer = start(path, f"kill{kill}", 100_000, environment)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delays.uniform(0, 0.03))
        writer.kill()
        committed = 1 + len(writer.communicate()[0].splitlines())
        store = open_registry(path)
        present = [name for name in store.names("experts") if name.startswith(f"kill{kill}/")]
        assert committed - 1 <= len(present) <= committed + 1
        assert store.read("experts", present[-1]).arrays["weights"].size == 20_000
    assert verify(open_registry(path)) == []
    vacuum(path)
    assert verify(open_registry(path)) == []


def fingerprint(store: ZarrRegistry) -> dict[RecordKey, object]:
    """Every record of a registry, comparable."""
    kinds = ("extractors", "hierarchies", "experts", "routers", "models")
    keys = [(kind, name) for kind in kinds for name in store.names(kind)]
    found: dict[RecordKey, object] = {}
    for key in keys:
        record = store.read(*key)
        arrays = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in record.arrays.items()}
        found[key] = (dict(record.attributes), arrays)
    return found


def test_a_zip_with_flipped_bytes_is_right_or_refused(registry: ZarrRegistry, records: Records, tmp_path: Path) -> None:
    registry.write(records, message="all", author="test")
    export_zip(registry, tmp_path / "good.zip", model="tiny")
    content = (tmp_path / "good.zip").read_bytes()
    with open_registry(tmp_path / "good.zip") as good:
        wanted = fingerprint(good)
    choose, refusals = random.Random(1), []
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(choose.choice((1, 1, 4))):
            damaged[choose.randrange(len(damaged))] ^= 1 << choose.randrange(8)
        (tmp_path / "bad.zip").write_bytes(damaged)
        try:
            with open_registry(tmp_path / "bad.zip") as bad:
                assert fingerprint(bad) == wanted
        except RegistryError as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert not any("\n" in refusal for refusal in refusals)


def test_a_truncated_zip_is_refused(registry: ZarrRegistry, records: Records, tmp_path: Path) -> None:
    registry.write(records, message="all", author="test")
    export_zip(registry, tmp_path / "good.zip", model="tiny")
    content = (tmp_path / "good.zip").read_bytes()
    for length in (1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "bad.zip").write_bytes(content[:length])
        with pytest.raises(RegistryError):
            open_registry(tmp_path / "bad.zip")


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "deleted"])
def test_a_damaged_directory_is_right_or_refused(registry: ZarrRegistry, records: Records, damage: str) -> None:
    registry.write(records, message="all", author="test")
    wanted = fingerprint(registry)
    parts = [path for path in sorted(registry.path.rglob("*")) if path.is_file() and path.name != locking.LOCK_FILE]
    choose, refusals = random.Random(2), []
    for path in parts:
        content = path.read_bytes()
        path.write_bytes(spoil(content, damage, choose))
        if damage == "deleted":
            path.unlink()
        try:
            with contextlib.closing(open_registry(registry.path)) as store:
                assert fingerprint(store) == wanted
        except RegistryError as error:
            refusals.append(str(error))
        path.write_bytes(content)
    assert len(refusals) >= 3
    assert not any("\n" in refusal for refusal in refusals)
    assert fingerprint(open_registry(registry.path)) == wanted


def spoil(content: bytes, damage: str, choose: random.Random) -> bytes:
    if damage == "flipped" and content:
        position = choose.randrange(len(content))
        return content[:position] + bytes([content[position] ^ 1 << choose.randrange(8)]) + content[position + 1 :]
    return content[: len(content) // 2] if damage == "truncated" else b""


def test_verify_names_the_damaged_record(registry: ZarrRegistry, records: Records) -> None:
    registry.write(records, message="all", author="test")
    big = np.random.default_rng(0).integers(0, 255, 50_000).astype(np.uint8)
    attributes = {key: value for key, value in records["experts", "tiny/0"].attributes.items() if key != "sha256"}
    registry.write({("experts", "tiny/9"): Record({"weights": big}, attributes)}, message="big", author="test")
    chunk = max((path for path in (registry.path / "chunks").iterdir()), key=lambda path: path.stat().st_size)
    chunk.write_bytes(spoil(chunk.read_bytes(), "flipped", random.Random(3)))
    problems = verify(open_registry(registry.path))
    assert len(problems) == 1
    assert "experts/tiny/9/weights: bytes do not match" in problems[0]


def test_a_held_lock_is_waited_for_then_reported(
    registry: ZarrRegistry, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "LOCK_TIMEOUT_S", 0.2)
    with locking.write_lock(registry.path), pytest.raises(RegistryError, match="locked by another writer"):
        registry.write(records, message="m", author="a")
    registry.write(records, message="m", author="a")


@pytest.mark.parametrize("foreign", ["a", "b"])
def test_a_commit_made_behind_the_lock_is_kept_or_replaced_not_lost(
    registry: ZarrRegistry, records: Records, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, stage = layout.write_record, records["stages", "tiny.cluster"]
    interfered: list[str] = []

    def interfere(store: Any, kind: str, name: str, record: Record) -> None:
        real(store, kind, name, record)
        if not interfered:
            interfered.append(foreign)
            session = local.open_repository(registry.path).writable_session("main")
            real(session.store, "stages", foreign, stage)
            session.commit("foreign")

    monkeypatch.setattr(local, "write_record", interfere)
    own = Record({}, {"fingerprint": "own", "report": None})
    registry.write({("stages", "a"): own}, message="own", author="test")
    assert registry.names("stages") == sorted({"a", foreign})
    assert registry.attributes("stages", "a")["fingerprint"] == "own"
    assert verify(registry) == []


def test_vacuum_shrinks_a_much_rewritten_registry_and_keeps_its_content(
    registry: ZarrRegistry, records: Records
) -> None:
    registry.write(records, message="all", author="test")
    attributes = {key: value for key, value in records["experts", "tiny/0"].attributes.items() if key != "sha256"}
    for number in range(10):
        array = np.random.default_rng(number).integers(0, 255, 100_000).astype(np.uint8)
        registry.write({("experts", "tiny/0"): Record({"weights": array}, attributes)}, message="m", author="a")
    wanted, before = fingerprint(registry), size(registry.path)
    removed = vacuum(registry.path)
    assert removed.commits == 11
    assert removed.bytes > 900_000
    assert size(registry.path) < before - 900_000
    assert fingerprint(registry) == wanted
    assert len(history(registry)) == 1
    registry.write(records, message="again", author="test")
    assert len(history(registry)) == 2
    assert verify(open_registry(registry.path)) == []


def test_vacuum_keeps_recent_commits_when_asked(registry: ZarrRegistry, records: Records) -> None:
    registry.write(records, message="all", author="test")
    registry.write(records, message="again", author="test")
    before = len(history(registry))
    assert vacuum(registry.path, keep=timedelta(hours=1)).commits == 0
    assert len(history(registry)) == before


def size(path: Path) -> int:
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
