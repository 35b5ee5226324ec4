"""What the README, docs/python.md and the notebook say of the Python interface is so."""

from __future__ import annotations

import inspect
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import unirestorer
from tests.notebooks import code_cells, run
from unirestorer.model import Options

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "restoring.ipynb"
REFERENCE = (DOCS / "python.md").read_text(encoding="utf-8")


def kinds(outputs: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(output["output_type"], sorted(output.get("data", ()))) for output in outputs]


def section(heading: str) -> str:
    """What stands under the heading that begins so."""
    (found,) = re.findall(rf"^## {re.escape(heading)}.*?(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    return str(found)


def listed(text: str) -> set[str]:
    """The names in the first column of tables."""
    first = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", text, re.MULTILINE)
    return {name.partition("(")[0] for cell in first for name in re.findall(r"`([^`]+)`", cell)}


def test_the_notebook_runs_and_its_outputs_are_kept() -> None:
    cells, shown = code_cells(NOTEBOOK), run(NOTEBOOK, DOCS)
    assert [kinds(outputs) for outputs in shown] == [kinds(cell["outputs"]) for cell in cells]
    assert sum("image/jpeg" in str(outputs) for outputs in shown) >= 3
    assert NOTEBOOK.stat().st_size < 400_000


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_first_lines_of_python_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)[0]
    shutil.copy(ROOT / "examples" / "photos" / "spices-jpeg.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})
    assert (tmp_path / "restored.jpg").stat().st_size > 10_000


def test_every_option_field_and_function_is_in_the_reference() -> None:
    assert listed(section("`unirestorer.load(")) == set(inspect.signature(unirestorer.load).parameters)
    options = Options.__annotations__.keys() | {"task"}
    assert listed(section("`model.restore(")) == options | {"image"}
    assert set(inspect.signature(unirestorer.Model.restore).parameters) == options | {"self", "image"}
    assert listed(section("`Treatment(")) == {field.name for field in fields(unirestorer.Treatment)}
    assert listed(section("Functions")) == {"restore", "diagnose", "degrade", "replay", "evaluate"}


def test_every_part_of_a_result_is_in_the_reference() -> None:
    public = {name for name in vars(unirestorer.Result) if not name.startswith("_") and name != "picture"}
    inner = {field.name for field in fields(unirestorer.Result)}
    assert listed(section("`Result`")) == public - inner
