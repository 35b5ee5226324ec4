"""How little a useful plugin takes: a degradation in 15 lines of Python and 8 of TOML, installed for real."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .installing import pip_install

PYTHON = """\
from unirestorer.core import Config, SynthesizerSpec, hookimpl


class Vignette(Config):
    strength: float = 0.8

    def sample(self, n, generator):
        import torch

        return {"strength": self.strength * torch.rand(n, generator=generator)}

    def apply(self, clean, params):
        import torch

        y, x = (torch.linspace(-1, 1, side) for side in clean.shape[-2:])
        return (clean * (1 - params["strength"].view(-1, 1, 1, 1) * (y[:, None] ** 2 + x**2) / 2)).clamp(0, 1)

    def degree(self, params):
        return ["strong" if strength > 0.4 else "slight" for strength in params["strength"]]


@hookimpl
def register_synthesizers():
    return [SynthesizerSpec("vignette", "dark corners", Vignette, lambda config: config)]
"""
TOML = """\
[project]
name = "acme-vignette"
version = "0.1"
dependencies = ["unirestorer"]

[project.entry-points."unirestorer.plugins"]
acme = "acme_vignette"
"""

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("acme-vignette")
    (source / "acme_vignette.py").write_text(PYTHON)
    (source / "pyproject.toml").write_text(TOML)
    target = tmp_path_factory.mktemp("site")
    pip_install(target, source)
    return target


def command(*arguments: object) -> str:
    return f"from unirestorer.cli.app import main; main({[str(argument) for argument in arguments]})"


def lines(text: str) -> int:
    """Lines that are neither blank nor a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def test_it_is_as_small_as_promised() -> None:
    assert lines(PYTHON) <= 15
    assert lines(TOML) <= 8


def test_it_is_listed(site: Path, run_python: Run) -> None:
    rows = json.loads(run_python(command("plugins", "--json"), site).stdout)
    (row,) = [row for row in rows if row["distribution"] != "unirestorer"]
    assert row == {
        "kind": "degradation",
        "name": "vignette",
        "summary": "dark corners",
        "plugin": "acme",
        "distribution": "acme-vignette",
        "version": "0.1",
        "state": "ok",
    }


def test_it_damages_a_photo(site: Path, run_python: Run, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "white").save(tmp_path / "photo.png")
    chain = ["--chain", "vignette:strength=0.9"]
    done = run_python(command("degrade", tmp_path / "photo.png", "-o", tmp_path / "dark.png", *chain), site)
    assert done.returncode == 0, done.stderr
    dark = np.asarray(Image.open(tmp_path / "dark.png"))
    assert dark[24, 32].min() > 250
    assert dark[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 250


def test_it_keeps_every_rule(site: Path, run_python: Run) -> None:
    done = run_python(command("plugins", "check", "acme"), site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") > 8
