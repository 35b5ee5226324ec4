"""``docs/plugins.md``: its tutorial is run as printed, its tables and headings are compared with the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from unirestorer.api import embedded_model
from unirestorer.cli.app import build
from unirestorer.core import hookspecs
from unirestorer.core.contracts import ClustererSpec, Config, ExpertSpec, ExtractorSpec, SynthesizerSpec
from unirestorer.core.extending.options import ExpertsChoice, ExtensionRecipe
from unirestorer.core.testing import ClustererContract, Contract, ExpertContract, ExtractorContract, SynthesizerContract
from unirestorer.registry import open_registry

from .test_smallest import PYTHON, TOML

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\d)\. .*?\n(.*?)(?=^## |\Z)", GUIDE, flags=re.MULTILINE | re.DOTALL))
BLOCK = re.compile(r"(?:^`([\w./-]+)`\n\n)?^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
KINDS: dict[str, tuple[type[Any], type[Contract]]] = {
    "degradation": (SynthesizerSpec, SynthesizerContract),
    "extractor": (ExtractorSpec, ExtractorContract),
    "expert": (ExpertSpec, ExpertContract),
    "clusterer": (ClustererSpec, ClustererContract),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the tutorial asks for: twelve clean photos, and another one."""
    (tmp_path / "photos").mkdir()
    for path in sorted((ROOT / "examples" / "clean").glob("*.jpg")):
        with Image.open(path) as photo:
            large = photo.resize((round(photo.width * 340 / photo.height), 340))
        for left in (0, large.width - 340):
            large.crop((left, 0, left + 340, 340)).save(tmp_path / "photos" / f"{path.stem}-{left}.png")
    with Image.open(ROOT / "examples" / "clean" / "otter.jpg") as photo:
        photo.save(tmp_path / "photo.jpg", quality=95)
    return tmp_path


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment of its own that sees all packages of this one; its pip needs no network."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=os.name == "posix")
    (site,) = home.glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in sys.path if path.endswith("site-packages")]
    (site / "parent.pth").write_text("\n".join([*lines, str(ROOT)]) + "\n")
    offline = "--no-index --no-build-isolation --no-deps"
    for name, arguments in {"unirestorer": '-m unirestorer.cli.app "$@"', "pip": f'-m pip "$@" {offline}'}.items():
        script = home / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{home}/bin/python" -P {arguments}\n')
        script.chmod(0o755)
    variables = {key: value for key, value in os.environ.items() if not key.startswith("UNIRESTORER_")}
    return variables | {"PATH": f"{home}/bin{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


@pytest.mark.timeout(900)
def test_the_tutorial_works_as_printed(folder: Path, environment: dict[str, str]) -> None:
    for path, language, text in BLOCK.findall(SECTIONS["2"]):
        if path:
            (folder / path).write_text(text, encoding="utf-8")
        elif language == "console":
            for command, shown in commands(text):
                done = subprocess.run(
                    command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
                missing = [line for line in shown if not found(line, done.stdout)]
                assert missing == [], f"{command}\n{done.stdout}"
    damaged, restored = (psnr(folder / name, folder / "photo.jpg") for name in ("faded.png", "restored/faded.png"))
    assert restored > damaged + 4


def test_the_tutorial_names_the_number_of_experts() -> None:
    with open_registry(embedded_model()) as store:
        assert f"{len(store.names('experts'))} experts have the sha256" in SECTIONS["2"]


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command after ``$``, with the lines of output that are shown."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command, [line for line in shown if line.strip() != "..."]


def found(line: str, output: str) -> bool:
    """Whether ``output`` has ``line``, whatever its numbers and spaces; three dots stand for anything."""
    pattern = r"\s+".join(map(re.escape, line.split()))
    pattern = re.sub(r"\d+(\\\.\d+)*", r"[\\d.]+", pattern).replace(re.escape("..."), ".*")
    return re.search(rf"^\s*{pattern}\s*$", output, flags=re.MULTILINE) is not None


def psnr(path: Path, clean: Path) -> float:
    """PSNR in dB of two photos, 8 bit."""
    images = []
    for name in (path, clean):
        with Image.open(name) as image:
            images.append(np.asarray(image.convert("RGB"), dtype=np.float64))
    return float(10 * np.log10(255**2 / np.square(images[0] - images[1]).mean()))


def test_the_smallest_plugin_is_the_one_that_is_installed_in_the_tests() -> None:
    files = {path: text for path, _, text in BLOCK.findall(SECTIONS["1"])}
    assert files == {"acme_vignette.py": PYTHON, "pyproject.toml": TOML}


def test_every_command_shown_exists_with_its_options() -> None:
    shown = re.findall(r"^(?:\$ )?(unirestorer .*?)(?:  +#.*)?$", GUIDE, flags=re.MULTILINE)
    assert len(shown) > 15
    for line in shown:
        command: Any = typer.main.get_command(build())
        words = shlex.split(line)[1:]
        while hasattr(command, "commands") and words:
            name = words.pop(0)
            assert name in command.commands, line
            command = command.commands[name]
        command.make_context(line, words)


def test_every_rule_of_the_kit_is_listed_with_its_kinds() -> None:
    rules = {(rule, kind) for kind, (_, contract) in KINDS.items() for rule in contract.rules()}
    listed = set(pairs(SECTIONS["6"]))
    assert listed == {(rule.removeprefix("test_").replace("_", " "), kind) for rule, kind in rules}


def test_every_field_of_every_spec_is_listed_with_its_kinds() -> None:
    wanted = {(f"`{field.name}`", kind) for kind, (spec, _) in KINDS.items() for field in fields(spec)}
    assert set(pairs(SECTIONS["5"].split("| key |")[0])) == wanted


def test_every_key_of_an_extension_recipe_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", SECTIONS["5"].split("| key |")[1], flags=re.MULTILINE))
    models: dict[str, type[Config]] = {"": ExtensionRecipe, "experts.": ExpertsChoice}
    defaults = {f"{place}{key}": field for place, model in models.items() for key, field in model.model_fields.items()}
    assert list(rows) == sorted(defaults, key=list(rows).index)
    for key, field in defaults.items():
        if isinstance(field.default, int | float | tuple) and field.default:
            values = field.default if isinstance(field.default, tuple) else (field.default,)
            assert rows[key] == ", ".join(f"{value:g}" for value in values), key


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """First column with each of the comma-separated kinds in the second one, of the rows of tables."""
    for first, second in re.findall(r"^\| (.+?) \| (.+?) \|", text, flags=re.MULTILINE):
        yield from ((first, kind) for kind in second.split(", ") if kind in KINDS)


def test_the_guide_describes_every_hook_with_its_exact_arguments() -> None:
    documented = re.findall(r"^### `(\w+\(.*\))`$", GUIDE, flags=re.MULTILINE)
    hooks = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, f"{hookspecs.PROJECT}_spec")}
    assert documented == [f"{name}({', '.join(_arguments(spec))})" for name, spec in hooks.items()]


def _arguments(function: Callable[..., object]) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]
