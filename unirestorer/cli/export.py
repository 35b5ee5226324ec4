"""``unirestorer export``: a model as files that run without this program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unirestorer.cli.console import say


def export(
    onnx: Annotated[Path, typer.Option("--onnx", metavar="DIR", help="New folder for ONNX files and their manifest.")],
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="Registry (.zip or folder) with the model. Default: the one inside."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder of an earlier export.")] = False,
) -> None:
    """Write the experts, extractor and routers of a model as ONNX files, each compared with PyTorch. Needs [onnx]."""
    from unirestorer.api import embedded_model
    from unirestorer.core.exporting import export_onnx
    from unirestorer.core.mixture import Mixture
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry

    mixture = Mixture(open_registry(model or embedded_model()), load_catalogue())
    export_onnx(mixture, onnx, overwrite=overwrite, said=say)
    say(f"{onnx}: README.md says how to run it")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(export)
