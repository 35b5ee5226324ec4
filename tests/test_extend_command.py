"""``unirestorer extend`` and ``registry import`` as a user runs them, at micro scale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unirestorer import api
from unirestorer.core.pipeline import run_pipeline
from unirestorer.registry import export_zip, open_registry
from unirestorer.registry.locking import write_lock

from .commands import run
from .core.tiny_world import make_run

SMALL = ("--samples", "64", "--steps", "4")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extend")
    run_pipeline(make_run(folder, "trained"))
    export_zip(open_registry(folder / "trained"), folder / "model.zip", model="default")
    return folder


@pytest.fixture
def own(world: Path, tmp_path: Path) -> Path:
    """A registry of one's own."""
    shutil.copytree(world / "trained", tmp_path / "own")
    return tmp_path / "own"


def nodes(registry: Path) -> list[str]:
    store = open_registry(registry)
    return list(store.attributes("hierarchies", store.attributes("models", "default")["hierarchy"])["node_names"])


def test_one_command_teaches_the_model_a_new_damage(own: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("extend", "degradation", "rain", "--registry", own, "--data", world / "photos", *SMALL) == 0
    out = capsys.readouterr().out
    assert "unseen samples lie nearest to its own nodes" in out
    assert "held-out samples" in out
    assert "models/micro.2; new experts: rain" in out
    assert run("registry", "verify", own) == 0
    assert "8 experts have the sha256 that they had before" in capsys.readouterr().out
    photo = world / "photos" / "photo0.png"
    assert run("restore", photo, "-o", own.parent / "out.png", "--model", own, "--task", "rain") == 0


def test_a_registry_that_is_not_there_is_made_of_the_embedded_model(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "embedded_model", lambda: world / "model.zip")
    options = ("--registry", tmp_path / "new", "--data", world / "photos", *SMALL)
    assert run("extend", "degradation", "rain", *options, "--dry-run") == 0
    assert not (tmp_path / "new").exists()
    assert run("extend", "degradation", "rain", *options) == 0
    assert "rain" in nodes(tmp_path / "new")
    assert run("extend", "remove", "rain", "--registry", tmp_path / "new") == 0
    assert run("registry", "use", tmp_path / "new", "micro") == 0
    assert "rain" not in nodes(tmp_path / "new")


def test_levels_experts_and_removal(own: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--registry", own, "--data", world / "photos")
    names = nodes(own)
    leaf, siblings = names[-1], names[1:3]
    assert run("extend", "level", *data, "--node", leaf, "--into", "2", "--samples", "160", "--steps", "4") == 0
    assert run("extend", "level", *data, "--group", ",".join(siblings), "--name", "camera", *SMALL) == 0
    assert nodes(own)[len(names) :] == [f"{leaf}/1", f"{leaf}/2", "camera"]
    assert run("extend", "expert", siblings[0], *data, *SMALL, "--force") == 0
    assert run("extend", "remove", "camera", "--registry", own) == 0
    assert "camera" not in nodes(own)
    assert run("registry", "verify", own) == 0
    capsys.readouterr()


def test_only_one_extension_at_a_time(own: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with write_lock(own, name="extend.lock"):
        assert run("extend", "degradation", "rain", "--registry", own, "--data", world / "photos", *SMALL) == 2
    assert "locked by another writer" in capsys.readouterr().err
    assert "rain" not in nodes(own)


def test_an_older_version_can_be_used_again(own: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--registry", own, "--data", world / "photos")
    assert run("extend", "degradation", "rain", *data, *SMALL) == 0
    assert run("registry", "use", own, "micro") == 0
    assert "rain" not in nodes(own)
    assert run("extend", "degradation", "blur", *data, *SMALL, "--model", "micro.2") == 0
    assert "blur" not in nodes(own)  # only the default moves when the default is extended
    assert run("registry", "use", own, "micro.3") == 0
    assert {"rain", "blur"} < set(nodes(own))
    assert run("registry", "use", own, "micro.9") == 2
    zipped = own.parent / "second.zip"
    assert run("registry", "export", own, zipped, "--model", "micro.2") == 0
    assert run("restore", world / "photos" / "photo0.png", "-o", own.parent / "x.png", "--model", zipped) == 0
    capsys.readouterr()


def test_an_extension_recipe_is_followed(own: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = own.parent / "rain.yaml"
    recipe.write_text(
        "samples: 64\nsteps: 3\ndegradation: {set: {strength: [90, 99]}}\n"
        "cluster: {name: kmeans, config: {sizes: [1, 2]}}\n"
        "experts: {name: resunet, patch: 32, config: {widths: [8], encoder: [1], decoder: []}, levels: [{steps: 9}]}\n"
    )
    data = ("--registry", own, "--data", world / "photos", "--recipe", recipe)
    assert run("extend", "degradation", "rain", *data, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "train rain: resunet, 3 steps of 8 x 32 px" in out
    assert "in all, about; nothing was changed" in out
    assert run("extend", "degradation", "rain", *data) == 0
    assert len([name for name in nodes(own) if name.startswith("rain")]) == 3
    store = open_registry(own)
    assert store.attributes("experts", "micro/8.2")["config"]["widths"] == [8]
    assert store.attributes("models", "default")["provenance"]["extensions"][0]["config"]["strength"] == [90, 99]


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ("samples: few", "samples: Input should be a valid integer"),
        ("experts: {name: resunet, colour: red}", "experts.colour: Extra inputs are not permitted"),
        ("- samples", "an extension recipe is a mapping"),
        ("samples: [", "not valid YAML"),
        ("experts: {name: nonsense}", "unknown expert 'nonsense'"),
        ("cluster: {name: kmeans, config: {sizes: [2]}}", "sizes must begin with 1"),
        ("cluster: {name: kmeans, config: {sizes: [1, 2], normalize: false}}", "must cluster with normalisation"),
        ("degradation: {set: {strength: [5, 1]}}", "want (low, high)"),
    ],
)
def test_a_bad_recipe_is_one_line_and_changes_nothing(
    own: Path, world: Path, recipe: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (own.parent / "bad.yaml").write_text(recipe)
    options = ("--registry", own, "--data", world / "photos", "--recipe", own.parent / "bad.yaml")
    assert run("extend", "degradation", "rain", *options) == 2
    err = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert len(err) == 1
    assert line in err[0]
    assert "rain" not in nodes(own)


@pytest.mark.parametrize(
    "arguments",
    [
        ("degradation", "fog", "--registry", "own", "--data", "photos"),
        ("degradation", "noise", "--registry", "own", "--data", "photos"),
        ("degradation", "rain", "--registry", "own", "--data", "none"),
        ("degradation", "rain", "--registry", "photos", "--data", "photos"),
        ("degradation", "rain", "--registry", "model.zip", "--data", "photos"),
        ("degradation", "rain", "--registry", "own", "--data", "photos", "--model", "other"),
        ("degradation", "rain", "--registry", "own", "--data", "photos", "--arch", "none"),
        ("expert", "nobody", "--registry", "own", "--data", "photos"),
        ("expert", "1", "--registry", "own", "--data", "photos", "--weights", "none.safetensors"),
        ("level", "--registry", "own", "--data", "photos"),
        ("level", "--registry", "own", "--data", "photos", "--node", "1", "--group", "1,2"),
        ("level", "--registry", "own", "--data", "photos", "--group", "1,nobody", "--name", "x"),
        ("remove", "all", "--registry", "own"),
        ("remove", "nobody", "--registry", "own"),
        ("remove", "1", "--registry", "model.zip"),
    ],
)
def test_what_cannot_be_done_is_status_2_and_no_traceback(
    own: Path,
    world: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(own.parent)
    for name in ("photos", "model.zip"):
        (own.parent / name).symlink_to(world / name)
    before = nodes(own)
    assert run("extend", *arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert nodes(own) == before


def test_a_zip_becomes_a_registry_that_restores(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("registry", "import", world / "model.zip", tmp_path / "made") == 0
    assert run("registry", "import", world / "model.zip", tmp_path / "made") == 2
    assert "holds a registry already" in capsys.readouterr().err
    assert run("restore", world / "photos" / "photo0.png", "-o", tmp_path / "a.png", "--model", tmp_path / "made") == 0
    assert (
        run("restore", world / "photos" / "photo0.png", "-o", tmp_path / "b.png", "--model", world / "model.zip") == 0
    )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
