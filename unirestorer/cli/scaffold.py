"""Writes the distribution of a new plugin from the templates beside this file, which are package data."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from unirestorer.core.errors import ConfigError, PluginConflictError
from unirestorer.plugins.manager import plugin_table
from unirestorer.plugins.requirements import canonical

TEMPLATES = Path(__file__).with_name("templates")
PREFIX = "unirestorer-plugin-"
LONGEST = 40
WORK = {"degradation": "fading", "extractor": "statistics", "expert": "network", "clusterer": "ward"}
"""The module that does the work, by kind."""
_RECIPE = "In a recipe (`unirestorer train`, and a choice of `unirestorer ablate`):\n\n```yaml\n$section\n```"
USE = {
    "degradation": "On one photo:\n\n```\nunirestorer degrade photo.jpg -o damaged.png --chain $name\n```",
    "extractor": _RECIPE.replace("$section", "extractor:\n  name: $name\n  config: {scales: 3}"),
    "expert": _RECIPE.replace("$section", "experts:\n  name: $name\n  config: {width: 32, blocks: 4}"),
    "clusterer": _RECIPE.replace("$section", "cluster:\n  name: $name\n  config: {sizes: [1, 8, 17]}"),
}
"""How the thing is used, by kind."""


def scaffold(name: str, kind: str, target: Path | None = None) -> Path:
    """Write a distribution ``name`` that registers one ``kind``; returns its folder: ``target``, or named after it.

    Raises ``ConfigError`` for a name that cannot be one, ``PluginConflictError`` for one that is taken, and
    ``FileExistsError`` where ``target`` is there and not empty. All files are written, or none.
    """
    words = _words(name, kind)
    target = Path(words["distribution"]) if target is None else target
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{target}: exists and is not an empty folder; give another with --out")
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent, prefix=".unirestorer-") as work:
        folder = Path(work) / "new"
        for path, text in _files(words).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        if target.exists():
            target.rmdir()
        folder.rename(target)
    return target


def _words(name: str, kind: str) -> dict[str, str]:
    """What the placeholders of the templates stand for."""
    distribution = canonical(name)
    module, short = distribution.replace("-", "_"), distribution.removeprefix(PREFIX)
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", distribution) or len(name) > LONGEST:
        raise ConfigError(
            f"plugin name '{name}': wanted a letter, then letters, digits and single hyphens, at most {LONGEST} "
            f"characters, for example acme-fog"
        )
    taken = sys.stdlib_module_names | {"unirestorer", "src", "tests"}
    if keyword.iskeyword(module) or module in taken or not re.match("[a-z]", short):
        raise ConfigError(f"plugin name '{name}': taken by Python or UniRestorer itself; wanted one like acme-fog")
    if find_spec(module) is not None:
        raise ConfigError(
            f"plugin name '{name}': a module '{module}' is installed, which it would replace; choose another"
        )
    if (kind, short) in {(row.kind, row.name) for row in plugin_table() if row.distribution == "unirestorer"}:
        raise PluginConflictError(
            f"plugin name '{name}': {kind} '{short}' is built in; choose another, like acme-{short}"
        )
    words = {"distribution": distribution, "module": module, "name": short, "kind": kind}
    words |= {"work": WORK[kind], "version": _version()}
    return words | {"use": Template(USE[kind]).substitute(words)}


def _version() -> str:
    from packaging.version import Version

    return Version(version("unirestorer")).public


def _files(words: Mapping[str, str]) -> dict[Path, str]:
    """The text of every file, by its path in the distribution."""
    files = {}
    for root in (TEMPLATES / "common", TEMPLATES / words["kind"]):
        for template in sorted(root.rglob("*.in")):
            path = str(template.relative_to(root).with_suffix("")).replace("MODULE", words["module"])
            files[Path(path)] = Template(template.read_text(encoding="utf-8")).substitute(words)
    return files
