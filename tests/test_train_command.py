"""``train`` and ``registry export`` as a user runs them, at micro scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from .commands import run
from .core.tiny_world import RECIPE, make_photos


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    make_photos(folder / "photos")
    (folder / "micro.yaml").write_text(RECIPE)
    assert run("train", folder / "micro.yaml", "--data", folder / "photos", "--registry", folder / "registry") == 0
    return folder


def test_the_summary_names_every_stage(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", world / "micro.yaml", "--data", world / "photos", "--registry", world / "registry") == 0
    out = capsys.readouterr().out
    for stage in ("synthesize", "extractor", "extract", "cluster", "experts", "costs", "routers", "evaluate"):
        assert stage in out


def test_what_was_trained_restores_a_photo(world: Path, tmp_path: Path) -> None:
    photo = world / "photos" / "photo0.png"
    assert run("restore", photo, "-o", tmp_path / "out.png", "--model", world / "registry") == 0
    assert (tmp_path / "out.png").exists()


def test_an_export_restores_a_photo(world: Path, tmp_path: Path) -> None:
    assert run("registry", "export", world / "registry", tmp_path / "model.zip", "--half") == 0
    photo = world / "photos" / "photo0.png"
    assert run("restore", photo, "-o", tmp_path / "out.png", "--model", tmp_path / "model.zip") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "none.yaml", "--data", "photos", "--registry", "r"),
        ("train", "micro.yaml", "--data", "none", "--registry", "r"),
        ("train", "micro.yaml", "--data", "photos/photo0.png", "--registry", "r"),
        ("train", "micro.yaml", "--data", "photos", "--registry", "micro.yaml"),
        ("train", "micro.yaml", "--data", "photos", "--registry", "photos"),
        ("train", "micro.yaml", "--data", "photos", "--registry", "r", "--threads", "-1"),
        ("evaluate", "-o", "out"),
        ("evaluate", "registry", "--suite", "development", "--data", "none", "-o", "out"),
        ("restore", "photos/photo0.png", "-o", "out", "--model", "photos"),
        ("restore", "x" * 300 + ".png", "-o", "out", "--model", "registry"),
        ("restore", "photos/photo0.png", "-o", "x" * 300, "--model", "registry"),
    ],
)
def test_bad_arguments_are_lines_and_status_2(
    world: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world)
    assert run(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
