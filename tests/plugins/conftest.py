"""Fake third-party distributions, installed by hand: a module and a dist-info folder on the import path."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

IMPORTS = """
from unirestorer.core import ClustererSpec, Config, ExpertSpec, ExtractorSpec, SynthesizerSpec, hookimpl

class Empty(Config):
    pass

def expert(name):
    return ExpertSpec(name, "does little", Empty, lambda config: None)

"""
LIST = """
import json
from dataclasses import asdict
from unirestorer.plugins.manager import plugin_table
print(json.dumps([asdict(row) for row in plugin_table()]))
"""


@dataclass
class Site:
    """A folder of fake distributions and a way to start an interpreter that sees them."""

    folder: Path
    run_python: Callable[..., subprocess.CompletedProcess[str]]

    def install(
        self,
        name: str,
        source: str,
        *,
        metadata: bool = True,
        requires: Sequence[str] = (),
        entry: str | None = None,
        target: str | None = None,
    ) -> None:
        """A distribution ``name-dist`` 1.2 with the module ``name`` and its entry point ``entry`` to ``target``."""
        (self.folder / f"{name}.py").write_text(IMPORTS + textwrap.dedent(source))
        info = self.folder / f"{name}_dist-1.2.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[unirestorer.plugins]\n{entry or name} = {target or name}\n")
        if metadata:
            lines = ["Metadata-Version: 2.1", f"Name: {name}-dist", "Version: 1.2"]
            lines += [f"Requires-Dist: {requirement}" for requirement in requires]
            (info / "METADATA").write_text("\n".join(lines) + "\n")

    def run(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``code`` in an interpreter with the distributions installed."""
        return self.run_python(code, self.folder, **environment)

    def rows(self, **environment: str) -> list[dict[str, Any]]:
        """The plugin table without the rows of the built-ins; fails if the host did not survive."""
        done = self.run(LIST, **environment)
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        assert sum(row["distribution"] == "unirestorer" for row in rows) > 5
        return [row for row in rows if row["distribution"] != "unirestorer"]


@pytest.fixture
def site(tmp_path: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]) -> Site:
    """No distributions yet."""
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder, run_python)
