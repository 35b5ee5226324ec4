from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from unirestorer.cli.app import build
from unirestorer.plugins.manager import load_catalogue

if TYPE_CHECKING:
    from .conftest import Site


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    result = CliRunner().invoke(build(), ["experts", "--json"])
    assert result.exit_code == 0, result.output
    listed: list[dict[str, Any]] = json.loads(result.stdout)
    return listed


def test_every_published_size_of_every_expert_has_the_published_parameters(rows: list[dict[str, Any]]) -> None:
    shown = {(row["name"], row["variant"]): row for row in rows}
    published = [(name, size) for name, spec in load_catalogue().experts.items() for size in spec.published]
    assert len(published) > 8
    for name, size in published:
        row = shown.pop((name, size.variant))
        assert row["parameters"] == row["published"] == size.parameters, (name, size.variant)
        assert (row["verdict"], row["source"]) == ("equal", size.source)
        assert row["licence"]
    assert {row["published"] for row in shown.values()} == {None}


def test_the_table_of_the_documentation_is_what_the_command_counts(rows: list[dict[str, Any]]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "parts.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \| ([\d,]+) \| ([\d,]+) \| ([^|]+) \| ([^|]+) \|$", page, flags=re.MULTILINE
    )
    keys = ("name", "variant", "parameters", "published", "licence", "source")
    wanted = [tuple(f"{row[key]:,}" if isinstance(row[key], int) else row[key] for key in keys) for row in rows]
    assert listed == [row for row, found in zip(wanted, rows, strict=True) if found["published"]]


def test_every_expert_is_there_once_or_once_per_size(rows: list[dict[str, Any]]) -> None:
    catalogue = load_catalogue().experts
    assert [row["name"] for row in rows] == [
        name for name, spec in catalogue.items() for _ in range(max(1, len(spec.published)))
    ]


def test_without_a_published_size_the_default_is_counted_or_there_is_nothing_to_count(
    rows: list[dict[str, Any]],
) -> None:
    found = {row["name"]: (row["variant"], row["parameters"], row["verdict"]) for row in rows if not row["published"]}
    assert found["identity"] == ("default", 0, "-")
    assert found["resunet"] == ("default", 460_436, "-")
    assert found["lora"] == found["spandrel"] == ("-", None, "-")


def test_the_table_has_a_line_per_row() -> None:
    result = CliRunner().invoke(build(), ["experts"])
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["name", "variant", "parameters", "published", "multiple", "licence", "source"]
    words = [line.split() for line in lines]
    wanted = "retinexformer one stage 1,605,701 1,605,701 equal 4 MIT 1.61 M: Cai et al., ICCV 2023"
    assert wanted.split() in words
    assert ["lora", "-", "-", "-", "-", "1"] in [line[:6] for line in words]


THIRD_PARTY = """
from unirestorer.core import Published, SizeRequirement

class Sized(Config):
    width: int

def linear(config):
    import torch
    return torch.nn.Linear(config.width, 1)

def looks(config):
    import torch
    return torch.nn.Linear(int(torch.linspace(1, 3, 3)[-1].item()), 1)

@hookimpl
def register_experts():
    sizes = (Published("paper", Sized(width=2), 3, "ours"), Published("other", Sized(width=2), 4, "ours"))
    return [
        ExpertSpec("mine", "m", Sized, linear, SizeRequirement(7), licence="ISC", published=sizes),
        ExpertSpec("unsized", "u", Sized, linear),
        ExpertSpec("looking", "l", Empty, looks),
        ExpertSpec("broken", "b", Empty, lambda config: 1 / 0),
    ]
"""


def test_third_parties_are_listed_and_what_differs_or_breaks_is_an_error(site: Site) -> None:
    site.install("acme", THIRD_PARTY)
    done = site.run("from unirestorer.cli.app import main; main(['experts'])")
    lines = [line.split() for line in done.stdout.splitlines()[-5:]]
    assert lines == [
        ["mine", "paper", "3", "3", "equal", "7", "ISC", "ours"],
        ["mine", "other", "3", "4", "differs", "7", "ISC", "ours"],
        ["unsized", "-", "-", "-", "-", "1", "-", "u"],
        ["looking", "default", "4", "-", "-", "1", "-", "l"],
        ["broken", "-", "-", "-", "-", "1", "-", "b"],
    ]
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith("error: expert 'broken' of acme-dist 1.2: build: ZeroDivisionError: division by zero; ")
    assert second == "error: expert mine, other: 3 parameters, published 4"
