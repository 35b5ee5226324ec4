from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from unirestorer.cli import plugins as command
from unirestorer.core import hookspecs
from unirestorer.plugins.manager import plugin_table

if TYPE_CHECKING:
    from .conftest import Site

GUIDE = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture
def output() -> Callable[..., str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["plugins", *arguments], env={"COLUMNS": "300"})
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_the_table_shows_every_registered_name(output: Callable[..., str]) -> None:
    words = re.findall(r"[\w.-]+", output())
    assert {row.name for row in plugin_table()} <= set(words)


def test_json_gives_every_field_of_every_row(output: Callable[..., str]) -> None:
    rows = json.loads(output("--json"))
    assert {(row["kind"], row["name"]) for row in rows} >= {("expert", "identity"), ("degradation", "clean")}
    assert set(rows[0]) == {"kind", "name", "summary", "distribution", "version", "state"}


def test_a_failed_plugin_is_shown_with_its_reason_verbatim(site: Site) -> None:
    site.install("broken", "raise ValueError('got [bold]')")
    code = "from unirestorer.cli.app import main; main(['plugins'])"
    done = site.run(code, COLUMNS="300")
    assert done.returncode == 0
    assert "failed: ValueError: got [bold]" in done.stdout


def test_the_plugin_in_the_guide_works_as_printed(site: Site) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    site.install("acme", example)
    (row,) = site.rows()
    assert (row["kind"], row["name"], row["state"]) == ("expert", "acme-tiny", "ok")
    code = (
        "import torch; from unirestorer.plugins.manager import load_catalogue\n"
        "spec = load_catalogue().expert('acme-tiny')\n"
        "print(*spec.build(spec.config())(torch.zeros(1, 3, 5, 7)).shape)"
    )
    assert site.run(code).stdout == "1 3 5 7\n"


def test_the_guide_describes_every_hook_with_its_exact_arguments() -> None:
    documented = re.findall(r"^### `(\w+\(.*\))`$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    hooks = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, f"{hookspecs.PROJECT}_spec")}
    assert documented == [f"{name}({', '.join(_arguments(spec))})" for name, spec in hooks.items()]


def _arguments(function: Callable[..., object]) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]
