"""How the peers of a report were routed: levels and experts by true type, and the types that were found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..routing_statistics import Routed, Statistics, markdown, statistics
from .report import Report, Row

TOLD = "instruction"
"""The peer that finds the type that it was told."""


def routing(report: Report) -> dict[str, Statistics]:
    """Of every peer that used several experts, how often it used which, by true type; levels from coarse to fine."""
    found: dict[str, Statistics] = {}
    order = _levels(report)
    for peer in report.peers:
        rows = [
            Routed(row.task, row.node, row.level, row.leaf_probability, row.level_probability, row.found)
            for row in _rows(report, peer)
            if row.node is not None and row.level is not None
        ]
        levels = order.get(peer, next(iter(order.values()), ()))
        rows.sort(key=lambda row: (levels.index(row.level) if row.level in levels else len(levels), row.node))
        if len({row.node for row in rows}) > 1:
            found[peer] = statistics(rows, levels=levels)
    return found


def _rows(report: Report, peer: str) -> list[Row]:
    return [row for row in report.rows if row.peer == peer]


def _levels(report: Report) -> dict[str, tuple[str, ...]]:
    """Names of the levels of each peer that says them."""
    peers = report.facts.get("peers", {})
    return {name: tuple(about["levels"]) for name, about in peers.items() if about.get("levels")}


def routing_tables(report: Report) -> str:
    """Markdown: types found, and a section a peer that used several experts; empty where nothing was routed."""
    sections = [
        *_types(report),
        *(markdown(found, f"Routing: {peer}").strip() for peer, found in routing(report).items()),
    ]
    return "\n\n".join(sections)


def _types(report: Report) -> Iterator[str]:
    """How often the type was found, and the confusion matrix; peers that found the same share one."""
    same: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for peer in report.peers:
        pairs = tuple(
            (row.task, row.found) for row in _rows(report, peer) if row.task is not None and row.found is not None
        )
        if pairs and peer != TOLD:
            same.setdefault(pairs, []).append(peer)
    for pairs, peers in same.items():
        right = sum(true == guess for true, guess in pairs)
        lines = [f"## Type found: {', '.join(peers)}", "", f"{right} of {len(pairs)} ({right / len(pairs):.1%}).", ""]
        yield "\n".join([*lines, *confusion_lines(pairs)])


def confusion_lines(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Markdown of the confusion matrix of (true type, type found): counts, true types in rows."""
    kinds = sorted({kind for pair in pairs for kind in pair})
    yield "| true \\ found | " + " | ".join(kinds) + " |"
    yield "|---" * (len(kinds) + 1) + "|"
    for true in dict.fromkeys(sorted(true for true, _ in pairs)):
        counts = [pairs.count((true, guess)) for guess in kinds]
        yield f"| {true} | " + " | ".join(str(count) if count else "." for count in counts) + " |"
