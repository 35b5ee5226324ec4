"""The options of ``restore``, in the order of its help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Image files and folders of images.")]
Model = Annotated[
    Path | None,
    typer.Option(metavar="FILE_OR_DIR", help="Registry (.zip or folder) with the model. Default: the one inside."),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT", help="Folder, or file name for a single image.", show_default=True)
]
License = Annotated[
    str | None,
    typer.Option("--license", metavar="KIND", help="commercial: no expert that may not be used commercially."),
]
Strength = Annotated[
    float, typer.Option(min=0, max=1, metavar="0..1", help="How much of the change is kept; 0: nothing.")
]
Steps = Annotated[int, typer.Option(min=1, metavar="N", help="Restore again while damage is found, N times at most.")]
RoutePerTile = Annotated[
    bool, typer.Option("--route-per-tile", help="Estimate each tile, for damage that varies over the picture.")
]
NoGuards = Annotated[
    bool, typer.Option("--no-guards", help="Deliver results that look like harm (seams, colour shift), too.")
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="png, jpg, webp, tif, avif, ... Default: as each file."),
]
Quality = Annotated[
    int | None, typer.Option(min=1, max=100, metavar="N", help="Of JPEG, WebP and AVIF: 1 (small) to 100 (best).")
]
AllFrames = Annotated[
    bool, typer.Option("--all-frames", help="Restore every picture of animations and multi-page files.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")]
SkipDone = Annotated[
    bool,
    typer.Option(
        "--skip-done", help="Go on where a run ended: leave what exists; with --overwrite, redo what is out of date."
    ),
]
Jobs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Images restored at the same time. Default: as cores allow.")
]
Report = Annotated[Path | None, typer.Option(metavar="FILE", help="Write what was found and done as JSON.")]
Tile = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Side of a tile in pixels; 0: in one piece. Default: as memory allows."),
]
Overlap = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Pixels that neighbouring tiles share, a third of them at most.")
]
Runtime = Annotated[str, typer.Option(metavar="NAME", help="What runs the experts: auto, eager, compile or openvino.")]
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def bytes_of(text: str | int) -> int:
    """``800MB``, ``2GB``, ``1.5GiB`` or a number of bytes; raises ``typer.BadParameter``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", str(text), re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise typer.BadParameter(f"'{text}' is no size, wanted for example 800MB or 2GB")
    units = _BINARY if match[3] else _UNITS
    return int(float(match[1]) * units[match[2].upper()])


MaxMemory = Annotated[
    int | None,
    typer.Option(metavar="SIZE", parser=bytes_of, help="What may be taken, as 800MB or 2GB; larger photos are tiled."),
]
