"""``unirestorer ablate`` as a user runs it, at micro scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from unirestorer.registry.locking import write_lock

from .commands import run
from .core.tiny_world import RECIPE, make_photos

SWEEP = """
name: command
recipe: micro.yaml
axes:
  alpha: {none: {routers: {alpha: 0}}, paper: }
  clusterer: {three: , broken: {cluster: {config: {sizes: [1, 5000]}}}}
exclude: [{alpha: none, clusterer: broken}]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablate")
    make_photos(folder / "photos")
    (folder / "micro.yaml").write_text(RECIPE)
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "typo.yaml").write_text(SWEEP.replace("sizes", "sises"))
    (folder / "kept").mkdir()
    (folder / "kept" / "diary.txt").write_text("mine")
    return folder


def ablate(world: Path, *options: str) -> int:
    return run("ablate", world / "sweep.yaml", "--data", world / "photos", "--out", world / "out", *options)


def test_a_dry_run_lists_cells_and_trains_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--data", world / "photos", "--out", world / "dry", "--dry-run")
    assert run("ablate", world / "sweep.yaml", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "paper+three: as in none+three: synthesize, extractor, extract, cluster, experts, costs; to run: " in lines[1]
    )
    assert lines[-1] == "3 cells"
    assert not (world / "dry").exists()


def test_a_sweep_ends_with_its_table_and_status_2_for_the_failed_cell(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(world) == 2
    out, err = capsys.readouterr()
    assert "| none | three | 1-3-4 |" in out
    assert "failed: kmeans-topdown: " in out
    assert "paper+three: done, mean gain" in err
    assert "6 stages shared with none+three" in err
    assert "Traceback" not in err
    assert {path.name for path in (world / "out").iterdir() if path.suffix} >= {"table.md", "table.csv", "plot.png"}
    assert ablate(world, "--dry-run") == 0
    assert "none+three: done before: synthesize, extractor" in capsys.readouterr().out


def test_a_cell_restores_a_photo(world: Path, tmp_path: Path) -> None:
    if not (world / "out" / "none+three").exists():
        ablate(world)
    model = world / "out" / "none+three"
    assert run("restore", world / "photos" / "photo0.png", "-o", tmp_path / "out.png", "--model", model) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.yaml", "--data", "photos", "--out", "new"), "none.yaml: cannot read"),
        (("typo.yaml", "--data", "photos", "--out", "new"), "cluster.config.sises"),
        (("sweep.yaml", "--data", "none", "--out", "new"), "none"),
        (("sweep.yaml", "--data", "photos", "--out", "kept"), "give --out"),
        (("sweep.yaml", "--data", "photos", "--out", "micro.yaml"), "give --out"),
        (("sweep.yaml", "--data", "photos", "--out", "new", "--threads", "-1"), "threads"),
    ],
)
def test_bad_arguments_are_lines_and_status_2(
    world: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(world)
    assert run("ablate", *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_two_sweeps_never_write_into_one_folder(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "busy").mkdir()
    with write_lock(world / "busy"):
        assert run("ablate", world / "sweep.yaml", "--data", world / "photos", "--out", world / "busy") == 2
    assert "locked by another writer" in capsys.readouterr().err
