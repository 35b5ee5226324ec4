from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unirestorer.cli.app import main
from unirestorer.core.contracts import Record, RecordKey
from unirestorer.registry import open_registry
from unirestorer.registry.base import ZarrRegistry

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("ls", path)`` is the exit status, the lines on stdout, and stderr."""

    def call(*arguments: object) -> tuple[int, list[str], str]:
        with pytest.raises(SystemExit) as stopped:
            main(["registry", *map(str, arguments)])
        captured = capsys.readouterr()
        code = stopped.value.code
        return int(code or 0), captured.out.splitlines(), captured.err

    return call


@pytest.fixture
def path(registry: ZarrRegistry, records: dict[RecordKey, Record], tmp_path: Path) -> Path:
    """A complete registry: created, then written once."""
    registry.write(records, message="everything", author="tests")
    registry.close()
    return tmp_path / "registry"


def test_ls_prints_kind_and_name_of_every_record(run: Run, path: Path, records: dict[RecordKey, Record]) -> None:
    code, lines, _ = run("ls", path)
    assert code == 0
    assert sorted(lines) == sorted(f"{kind}/{name}" for kind, name in records)


def test_log_prints_id_time_author_and_message_newest_first(run: Run, path: Path) -> None:
    code, (newest, _creation), _ = run("log", path)
    commit, time, author, message = newest.split("\t")
    assert (code, author, message) == (0, "tests", "everything")
    assert len(commit) > 8
    assert time.endswith("+00:00")


def test_verify_of_a_sound_registry_says_so(run: Run, path: Path) -> None:
    assert run("verify", path) == (0, [f"{path}: no problems"], "")


def test_verify_prints_every_problem_and_exits_with_2(run: Run, path: Path, records: dict[RecordKey, Record]) -> None:
    with open_registry(path) as store:
        ties = dict(records["models", "tiny"].attributes) | {"routers": "gone", "extractor": "lost"}
        store.write({("models", "other"): Record({}, ties)}, message="incomplete", author="tests")
    code, lines, errors = run("verify", path)
    assert (code, lines) == (2, [])
    assert "routers/gone is missing" in errors
    assert "extractors/lost is missing" in errors


def test_export_writes_a_zip_that_opens(run: Run, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.zarr.zip"
    code, lines, _ = run("export", path, target, "--model", "tiny", "--half")
    assert (code, len(lines)) == (0, 1)
    with open_registry(target) as store:
        assert store.names("models") == ["default"]


def test_exporting_an_unknown_model_exits_with_2_and_writes_nothing(run: Run, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.zarr.zip"
    code, _, error = run("export", path, target)
    assert code == 2
    assert "default" in error
    assert "Traceback" not in error
    assert not target.exists()


def test_vacuum_forgets_old_states_and_keeps_the_newest(run: Run, path: Path) -> None:
    with open_registry(path) as store:
        changed = Record({}, {"fingerprint": "g", "report": {}})
        store.write({("stages", "tiny.cluster"): changed}, message="again", author="tests")
    code, (line,), _ = run("vacuum", path)
    assert code == 0
    assert "2 commits" in line  # the creation and the first write
    assert len(run("log", path)[1]) == 1
    with open_registry(path) as store:
        assert store.attributes("stages", "tiny.cluster")["fingerprint"] == "g"


@pytest.mark.parametrize("command", ["ls", "log", "verify", "vacuum"])
def test_a_missing_registry_exits_with_2_in_one_line(run: Run, tmp_path: Path, command: str) -> None:
    code, lines, error = run(command, tmp_path / "nowhere")
    assert (code, lines) == (2, [])
    assert error.count("\n") == 1
    assert "nowhere" in error
