"""The house keeps its shape: rooms, packaging, layers, light imports, sizes, public names."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import unirestorer

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "degradations", "plugins", "recipes", "registry")
PUBLIC = [
    "Degraded",
    "Estimate",
    "Instruction",
    "Model",
    "Picture",
    "Restorer",
    "Result",
    "Step",
    "Treatment",
    "UniRestorerError",
    "__version__",
    "degrade",
    "diagnose",
    "evaluate",
    "load",
    "replay",
    "restore",
]

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


def sources() -> Iterator[Path]:
    """Every Python file of the package, by its real path."""
    for room in (*ROOMS, "unirestorer/cli", "unirestorer/web", "tests"):
        yield from sorted((ROOT / room).rglob("*.py"))
    yield from sorted((ROOT / "unirestorer").glob("*.py"))


def packages_in_the_tree() -> Iterator[str]:
    """Import names of all folders with an ``__init__.py``."""
    yield "unirestorer"
    inside = {f"unirestorer.{name}": ROOT / "unirestorer" / name for name in ("cli", "web")}
    for name, folder in (inside | {f"unirestorer.{room}": ROOT / room for room in ROOMS}).items():
        for init in folder.rglob("__init__.py"):
            yield ".".join([name, *init.parent.relative_to(folder).parts])


def test_pyproject_lists_exactly_the_packages_in_the_tree() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert setuptools["packages"] == sorted(packages_in_the_tree())
    assert setuptools["package-dir"] == {"unirestorer": "unirestorer"} | {f"unirestorer.{r}": r for r in ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_imported_from_the_root_folder(room: str) -> None:
    module = importlib.import_module(f"unirestorer.{room}")
    assert Path(str(module.__file__)).resolve() == ROOT / room / "__init__.py"


@pytest.mark.parametrize("room", ROOMS)
def test_a_link_in_the_package_shows_the_room_and_is_not_a_copy(room: str) -> None:
    link = Path(str(unirestorer.__file__)).parent / room
    if not link.exists():
        pytest.skip("a checkout without links (core.symlinks=false) uses the package map alone")
    assert link.resolve() == ROOT / room


@pytest.mark.parametrize("name", ["unirestorer", *(f"unirestorer.{room}" for room in ROOMS)])
def test_every_room_says_what_it_is(name: str) -> None:
    text = (importlib.import_module(name).__doc__ or "").strip()
    assert len(text) > 30
    assert text.splitlines()[0].endswith(".")


def test_importing_everything_never_imports_a_room_under_a_second_name(run_python: RunPython) -> None:
    found = [info.name for info in pkgutil.walk_packages(unirestorer.__path__, "unirestorer.")]
    modules = [name for name in found if not name.endswith(".__main__")]  # importing that one runs the program
    assert len(modules) > 40
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in sys.modules if name.split('.')[0] in {ROOMS!r}])"
    )
    # Third parties' deprecations are not the subject here; "-W error" would stop at the first.
    done = run_python(f"import warnings; warnings.simplefilter('ignore')\n{code}")
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import unirestorer",
        "import unirestorer.core",
        "from unirestorer.plugins.manager import plugin_table; plugin_table()",
        "from unirestorer.cli.app import build; build()",
    ],
)
def test_torch_is_not_imported_by(code: str, run_python: RunPython) -> None:
    done = run_python(f"{code}\nimport sys; print('torch' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


def test_public_names_change_only_on_purpose() -> None:
    assert unirestorer.__all__ == PUBLIC
    assert [name for name in PUBLIC if getattr(unirestorer, name, None) is None] == []


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="restoration"):
        _ = unirestorer.restoration


def test_the_hook_specifications_fit_on_a_page() -> None:
    assert len((ROOT / "core" / "hookspecs.py").read_text().splitlines()) < 150


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path: length for path, length in lengths.items() if length > 500} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _code_lines(node) > 60
    ]
    assert long == []


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_arrows_between_rooms_go_down_only() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    command = re.search(r"-m pytest", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert command
    assert "step python -m pytest\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
