"""``unirestorer plugins new``: what it writes installs, works, and passes its own tests untouched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unirestorer.cli.app import main
from unirestorer.cli.scaffold import scaffold
from unirestorer.core.errors import ConfigError, PluginConflictError

from .installing import pip_install

KINDS = ("degradation", "extractor", "expert", "clusterer")
LONG = "acme-with-a-name-as-long-as-one-can-have"
RUFF = [sys.executable, "-m", "ruff"]

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One scaffold of every kind, side by side."""
    root = tmp_path_factory.mktemp("scaffolds")
    return [scaffold(f"acme-{kind}", kind, root / f"acme-{kind}") for kind in KINDS]


@pytest.fixture(scope="module")
def site(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them installed."""
    target = tmp_path_factory.mktemp("site")
    pip_install(target, *folders)
    return target


def test_its_own_tests_pass_untouched(folders: list[Path], site: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("UNIRESTORER_")}
    environment |= {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        *(str(path / "tests") for path in folders),
    ]
    done = subprocess.run(command, cwd=folders[0].parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for kind in KINDS:
        assert done.stdout.count(f"test_acme_{kind}.py::TestConformance::") > 5
        assert f"test_acme_{kind}.py::test_the_host_finds_it PASSED" in done.stdout


def test_the_conformance_check_passes_for_each(site: Path, run_python: Run) -> None:
    code = (
        "from unirestorer.cli.app import main\n"
        f"for kind in {KINDS}:\n"
        "    try: main(['plugins', 'check', f'acme-{kind}'])\n"
        "    except SystemExit as end: print(kind, 'ended with', end.code)"
    )
    done = run_python(code, site)
    for kind in KINDS:
        assert f"{kind} ended with 0\n" in done.stdout, done.stdout + done.stderr


def test_listing_all_of_them_imports_nothing_heavy(site: Path, run_python: Run) -> None:
    code = (
        "import sys; from unirestorer.plugins.manager import plugin_table\n"
        "print([row.name for row in plugin_table() if row.distribution != 'unirestorer' and row.state == 'ok'])\n"
        "print({'torch', 'sklearn', 'open_clip'} & set(sys.modules))"
    )
    names = sorted(f"acme-{kind}" for kind in KINDS)
    assert run_python(code, site).stdout.splitlines() == [str(names), "set()"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ab", LONG])
def test_it_is_clean_whatever_its_name(name: str, kind: str, tmp_path: Path) -> None:
    folder = scaffold(name, kind, tmp_path / name)
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run([*RUFF, *command, "."], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()]
    assert len(texts) == 6
    assert not any("$" in text for text in texts)


def test_names_are_normalised(tmp_path: Path) -> None:
    folder = scaffold("Acme__Fog.Plus", "expert", tmp_path / "new")
    assert 'name = "acme-fog-plus"' in (folder / "pyproject.toml").read_text()
    assert (folder / "src" / "acme_fog_plus" / "network.py").is_file()


def test_the_usual_prefix_is_left_out_of_the_registered_name(tmp_path: Path) -> None:
    folder = scaffold("unirestorer-plugin-fog", "degradation", tmp_path / "new")
    assert 'name="fog"' in (folder / "src" / "unirestorer_plugin_fog" / "__init__.py").read_text()


@pytest.mark.parametrize(
    "name",
    ["", "7fog", "fog-", "-fog", "fög", "a/b", "a b", "..", "x" * 41, "class", "json", "tests", "torch", "fog;x"],
)
def test_a_name_that_cannot_be_one_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plugin name '.*': ") as caught:
        scaffold(name, "expert", tmp_path / "new")
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["haze", "unirestorer-plugin-haze"])
def test_the_name_of_a_built_in_of_the_same_kind_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PluginConflictError, match="degradation 'haze' is built in; choose another"):
        scaffold(name, "degradation", tmp_path / "new")
    assert scaffold(name, "expert", tmp_path / "other").is_dir()


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for target in ("full", "file"):
        with pytest.raises(FileExistsError, match="exists and is not an empty folder; give another with --out"):
            scaffold("acme", "expert", tmp_path / target)
    assert (tmp_path / "full" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert (scaffold("acme", "expert", tmp_path / "new") / "README.md").is_file()


def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def full(self: Path, *arguments: Any, **options: Any) -> int:
        if self.name == "network.py":
            raise OSError("no space left on device")
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        scaffold("acme", "expert", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for code in (0, 2):  # the second time the folder is there
        with pytest.raises(SystemExit) as end:
            main(["plugins", "new", "acme-fog", "--kind", "degradation"])
        assert end.value.code == code
    output = capsys.readouterr()
    written = "acme-fog: degradation written; now: cd acme-fog && pip install -e"
    assert output.out.startswith(written)
    assert output.err == "error: acme-fog: exists and is not an empty folder; give another with --out\n"
    assert (tmp_path / "acme-fog" / "pyproject.toml").is_file()
