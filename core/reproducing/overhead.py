"""The table of what restoring costs: its rows are the parts of a model and published architectures, as measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

from ..catalogue import Catalogue
from ..evaluating.overhead import Loader, Overhead, Setting, model_overhead, published_overhead
from .outcome import Found
from .running import Made, Order
from .table import Costs, Line

PART = "part"
"""The axis of the rows."""


def make_overhead(
    order: Order, costs: Costs, load: Loader, catalogue: Callable[[], Catalogue], threads: int
) -> tuple[Order, Made]:
    """``order`` with a row for each part of the model that ``load`` opens, and what these cost.

    ``load`` and ``catalogue`` are called in other processes, too. Raises what measuring raises.
    """
    start = perf_counter()
    setting = Setting(costs.size, costs.repeats, threads)
    rows = [*model_overhead(load, setting)]
    for name in costs.architectures:
        rows += published_overhead(catalogue, name, setting)
    measured = f"an image of {costs.size} x {costs.size} pixels, median of {costs.repeats} runs"
    lines = tuple(Line(title=row.name, where={PART: row.name}) for row in rows)
    table = order.table.model_copy(update={"rows": lines})
    return replace(order, table=table), Made(found=_found(rows), seconds=perf_counter() - start, measured=measured)


def _found(rows: Sequence[Overhead]) -> list[Found]:
    found = []
    for row in rows:
        figures = {
            "overhead.parameters": row.parameters / 1e6,
            "overhead.active": row.active / 1e6,
            "overhead.flops": row.measured.flops / 1e9,
            "overhead.seconds": row.measured.seconds,
        }
        if row.memory is not None:
            figures["overhead.memory"] = row.memory / 2**20
        found.append(Found({PART: row.name}, figures))
    return found
