"""Runs notebooks without Jupyter; ``python tests/notebooks.py FILE`` runs one and keeps what its cells show."""

from __future__ import annotations

import ast
import json
import re
import sys
from base64 import b64encode
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

SHOWN = (("image/jpeg", "_repr_jpeg_"), ("image/png", "_repr_png_"))
"""How a value is shown as a picture; the first that it has is kept."""


def code_cells(path: Path) -> list[dict[str, Any]]:
    """The code cells of the notebook in ``path``."""
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run(path: Path, folder: Path) -> list[list[dict[str, Any]]]:
    """What each code cell of ``path`` shows, as .ipynb files keep it, when run one after another in ``folder``."""
    names: dict[str, Any] = {"__name__": "__main__"}
    sources = ["".join(cell["source"]) for cell in code_cells(path)]
    with chdir(folder):
        return [_shown(source, names, count) for count, source in enumerate(sources, 1)]


def _shown(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = StringIO(), None
    with redirect_stdout(printed):
        exec(compile(ast.Module(body, []), f"cell {count}", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    if value is not None:
        data = {"text/plain": re.sub(r" at 0x[0-9A-F]+", "", repr(value)).splitlines(keepends=True)} | _picture(value)
        outputs.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})
    return outputs


def _picture(value: Any) -> dict[str, Any]:
    """``value`` as a picture by its type, empty where it is none."""
    for kind, method in SHOWN:
        if hasattr(value, method):
            return {kind: b64encode(getattr(value, method)()).decode()}
    return {}


def main(path: Path) -> None:
    """Run the notebook in ``path`` where it lies, and write it again with what its cells show."""
    notebook, shown = json.loads(path.read_text(encoding="utf-8")), run(path, path.parent)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, (cell, outputs) in enumerate(zip(cells, shown, strict=True), 1):
        cell |= {"execution_count": count, "outputs": outputs}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
