from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from unirestorer.cli import plugins as command
from unirestorer.plugins.manager import plugin_table

if TYPE_CHECKING:
    from .conftest import Site


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
    assert set(rows[0]) == {"kind", "name", "summary", "plugin", "distribution", "version", "state"}


LIST = "from unirestorer.cli.app import main; main(['plugins'])"


def test_a_failed_plugin_is_shown_once_with_its_reason_verbatim(site: Site) -> None:
    site.install("broken", "raise ValueError('got [bold]')")
    done = site.run(LIST)
    assert (done.returncode, done.stderr) == (0, "")
    remedy = "upgrade or uninstall broken-dist, or set UNIRESTORER_DISABLE_PLUGINS=broken"
    *_, row, reason = done.stdout.splitlines()
    assert row.split() == ["plugin", "broken", "broken-dist", "1.2", "failed"]
    assert reason == f"broken of broken-dist 1.2 failed: ValueError: got [bold]; {remedy}"


def test_the_table_fits_into_100_columns(output: Callable[..., str]) -> None:
    assert max(map(len, output().splitlines())) <= 100


def test_listing_imports_nothing_heavy(site: Site) -> None:
    site.install("acme", "@hookimpl\ndef register_experts(): return [expert('mine')]")
    heavy = {"torch", "open_clip", "sklearn", "matplotlib", "zarr", "icechunk", "accelerate"}
    done = site.run(
        f"import atexit, sys; atexit.register(lambda: sys.stderr.write(str({heavy} & set(sys.modules)))); {LIST}"
    )
    assert done.returncode == 0
    assert done.stderr == "set()"


SYNTHESIZER = """
@hookimpl
def register_synthesizers(): return [SynthesizerSpec('mine', 'does little', Empty, {build})]
"""


def test_what_fails_when_it_is_used_is_one_line_that_names_the_distribution(site: Site, tmp_path: Path) -> None:
    site.install("acme", SYNTHESIZER.format(build="lambda config: 1 / 0"))
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(photo)
    arguments = ["degrade", str(photo), "-o", str(tmp_path / "out.png"), "--chain", "mine"]
    done = site.run(f"from unirestorer.cli.app import main; main({arguments})")
    reason = "degradation 'mine' of acme-dist 1.2: build: ZeroDivisionError: division by zero"
    remedy = "upgrade or uninstall acme-dist, or set UNIRESTORER_DISABLE_PLUGINS=acme"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {reason}; {remedy}\n"


def check(site: Site, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return site.run(f"from unirestorer.cli.app import main; main(['plugins', 'check', {name!r}])", **environment)


def test_checking_shows_every_rule_and_ends_with_2_where_one_is_broken(site: Site) -> None:
    """A network that draws its weights from NumPy, and is the identity otherwise."""
    site.install(
        "acme",
        """
        def build(config):
            import numpy, torch

            class Net(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.gain = torch.nn.Parameter(torch.tensor(numpy.random.rand()).float())
                def forward(self, images):
                    return images * self.gain
            return Net()

        @hookimpl
        def register_experts(): return [ExpertSpec('mine', 'does little', Empty, build)]
    """,
    )
    done = check(site, "mine")
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["kind", "name", "rule", "result", "seconds"]
    assert {tuple(row.split()[:2]) for row in rows} == {("expert", "mine")}
    results = {" ".join(row.split()[2:-2]): row.split()[-2] for row in rows}
    assert [rule for rule, result in results.items() if result != "passed"] == ["equal seeds build equal weights"]
    assert len(results) > 5
    assert done.returncode == 2
    assert done.stderr.startswith("error: expert mine: equal seeds build equal weights: weights of two builds")


@pytest.mark.parametrize("name", ["acme", "acme-dist", "Acme.Dist"])
def test_checking_finds_a_plugin_by_its_name_and_its_distribution(site: Site, name: str) -> None:
    site.install("acme", "@hookimpl\ndef stage_finished(): pass")
    done = check(site, name)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}: registers nothing that has rules\n", "")


def test_checking_a_plugin_that_failed_gives_its_reason(site: Site) -> None:
    site.install("acme", "1 / 0")
    done = check(site, "acme")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: acme of acme-dist 1.2 failed: ZeroDivisionError: division by zero; upgrade")
    assert done.stderr.count("\n") == 1


def test_checking_a_disabled_plugin_says_so(site: Site) -> None:
    site.install("acme", "1 / 0")
    done = check(site, "acme", UNIRESTORER_DISABLE_PLUGINS="acme")
    assert done.returncode == 2
    assert done.stderr == "error: acme of acme-dist 1.2 is disabled by UNIRESTORER_DISABLE_PLUGINS\n"


def test_checking_an_unknown_name_suggests_a_near_one(site: Site) -> None:
    site.install("acme", "@hookimpl\ndef stage_finished(): pass")
    done = check(site, "acne")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown plugin 'acne'; did you mean 'acme'? Known: ")


def test_a_built_in_is_checked_by_its_name(output: Callable[..., str]) -> None:
    rows = output("check", "identity").splitlines()[1:]
    assert {row.split()[-2] for row in rows} == {"passed", "skipped"}
