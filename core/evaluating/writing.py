"""The files of a report: ``report.md``, ``report.json``, ``rows.csv``, charts and the contact sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import atomic
from ..routing_statistics import Statistics
from ..routing_statistics import draw as draw_experts
from .charts import bars, draw, levels
from .report import Report, to_json
from .routes import routing
from .sheet import draw_sheet, picks, restored_again
from .tables import csv_text, report_text

if TYPE_CHECKING:
    from .opening import Entry
    from .peers import Peer


def write_report(report: Report, folder: Path, entries: Iterable[Entry], peers: Sequence[Peer]) -> tuple[Path, ...]:
    """Write everything about ``report`` into ``folder``; returns the files, the Markdown first.

    ``entries`` and ``peers`` are those that were measured: the images of the contact sheet are restored once more.
    Equal reports give equal files, but for the wall times in the CSV. Raises ``ImageError`` where a file cannot be
    written, and what reading and restoring an image raises.
    """
    texts = {"report.md": report_text([report]), "report.json": to_json(report), "rows.csv": csv_text(report)}
    for name, text in texts.items():
        with atomic(folder / name) as file:
            file.write(text.encode())
    paths = [folder / name for name in texts]
    if f"{report.suite.conventions[0]}.psnr" in report.keys:
        paths.append(folder / "psnr.png")
        draw(bars([report]), paths[-1])
    paths += _routing_charts(routing(report), folder)
    paths += draw_sheet(restored_again(picks(report), entries, peers), folder)
    return tuple(paths)


def _routing_charts(found: Mapping[str, Statistics], folder: Path) -> list[Path]:
    """Levels of the peers that used several, and the experts of the first peer that was routed."""
    paths = []
    several = {peer: statistics for peer, statistics in found.items() if len(statistics.everything.levels) > 1}
    if several:
        paths.append(folder / "levels.png")
        draw(levels(several), paths[-1])
    if found:
        paths.append(folder / "experts.png")
        with atomic(paths[-1]) as file:
            draw_experts(next(iter(found.values())), file)
    return paths
