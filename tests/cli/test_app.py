from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from unirestorer import api
from unirestorer.cli import restore

Run = Callable[..., Any]


def test_wrong_usage_ends_with_status_2_and_no_traceback(run: Run) -> None:
    for arguments in (
        ["restore"],
        ["restore", "a.png"],
        ["nonsense"],
        ["degrade", "a.png", "-o", "b", "--preset", "x"],
    ):
        result = run(*arguments)
        assert result.code == 2
        assert "Traceback" not in result.err
        assert result.err


def test_a_recipe_and_a_chain_exclude_each_other(run: Run) -> None:
    assert run("degrade", "a.png", "-o", "b.png", "--chain", "noise", "--replay", "c.json").code == 2


def test_ctrl_c_ends_with_status_130(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setattr(api, "load", interrupt)
    result = run("restore", tmp_path / "a.png", "-o", tmp_path / "b.png")
    assert result.code == 130
    assert result.err == ""


def test_every_command_has_help(run: Run) -> None:
    for command in ("restore", "diagnose", "degrade", "train", "plugins", "registry"):
        result = run(command, "--help")
        assert result.code == 0
        assert "Usage: unirestorer" in result.out


def test_the_version_is_printed(run: Run) -> None:
    result = run("--version")
    assert result.code == 0
    assert result.out.startswith("unirestorer ")


@pytest.mark.parametrize(
    "statement",
    [
        "import unirestorer",
        "from unirestorer.cli.app import main; main(['--help'])",
        "from unirestorer.cli.app import main; main(['restore', '--help'])",
        "from unirestorer.cli.app import main; main(['plugins'])",
    ],
)
def test_torch_is_not_imported_for(statement: str) -> None:
    program = f"import sys, atexit; atexit.register(lambda: sys.stderr.write(str('torch' in sys.modules))); {statement}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr.endswith("False")


def test_commands_register_themselves() -> None:
    fresh = typer.Typer()
    restore.register(fresh)
    assert len(fresh.registered_commands) == 1
