"""The cost table of a grown tree: what is known is kept, only new rows and columns are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..contracts import Record
from ..models import build_expert, load_expert
from ..photos import HELDOUT
from ..routing import Routers
from ..stages.costs import Trials, errors, mean_psnr
from ..stages.routers import choose
from .bench import Bench
from .growth import Grown

UNKNOWN = 3.0
"""dB by which an expert that was not tried counts as worse than the one that the routers chose."""


class Costs(NamedTuple):
    """Mean absolute and mean squared error (n, M) of every expert on every trial."""

    l1: NDArray[np.float32]
    mse: NDArray[np.float32]


class KindReport(NamedTuple):
    """Mean PSNR in dB of the held-out trials of one kind: damaged, restored before and after extending."""

    kind: str
    number: int
    damaged: float
    before: float
    after: float


def tabulate(bench: Bench, grown: Grown, made: Mapping[int, Record], trials: Trials, need: NDArray[np.bool_]) -> Costs:
    """Costs of the grown tree's experts where ``need`` (n, M), NaN elsewhere; ``made`` are not in the registry yet."""
    table = _known(bench, grown, made, trials)
    for node in range(len(grown.origin)):
        rows = np.flatnonzero(np.isnan(table.l1[:, node]) & need[:, node])
        if len(rows):
            network = _network(bench, grown, made, node)
            table.l1[rows, node], table.mse[rows, node] = errors(network, trials.damaged[rows], trials.clean[rows])
        bench.watch("costs", node + 1, len(grown.origin), f"{grown.labelled.names[node]}, {len(rows)} rows")
    return table


def former_choice(routers: Routers, grown: Grown, dr: NDArray[np.float32]) -> NDArray[np.int64]:
    """The node (n,), by its new number, that the old ``routers`` choose for each DR; -1 for one that is gone."""
    place = {int(old): node for node, old in enumerate(grown.origin) if old >= 0}
    return np.array([place.get(int(node), -1) for node in choose(routers, dr)], dtype=np.int64)


def filled(table: Costs, former: NDArray[np.int64]) -> Costs:
    """``table`` with what is unknown taken for ``UNKNOWN`` dB worse than the former choice (n,) of the routers.

    Where that is gone or was never tried itself, for as bad as the worst that is known.
    """
    rows, factor = np.arange(len(former)), 10 ** (UNKNOWN / 20)
    parts = []
    for part, scale in ((table.l1, factor), (table.mse, factor**2)):
        known = np.where(former >= 0, part[rows, former] * scale, np.nan)
        base = np.where(np.isnan(known), np.nanmax(part, axis=1), known)
        parts.append(np.where(np.isnan(part), base[:, None], part).astype(np.float32))
    return Costs(*parts)


def _known(bench: Bench, grown: Grown, made: Mapping[int, Record], trials: Trials) -> Costs:
    """The recorded costs in their new places, NaN elsewhere.

    Used where a trial is the same sample with the same DR, bit for bit; either alone may be that of many samples.
    """
    shape = (len(trials), len(grown.origin))
    table = Costs(np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32))
    record = bench.trained.costs()
    if record is None:
        return table
    place = {key: row for row, key in enumerate(_keys(record.arrays["sample"], record.arrays["dr"]))}
    found = np.array([place.get(key, -1) for key in _keys(trials.sample, trials.dr)])
    rows = np.flatnonzero(found >= 0)
    old = np.array(
        [node for node in range(len(grown.origin)) if grown.origin[node] >= 0 and node not in made], dtype=np.intp
    )
    for name, values in table._asdict().items():
        values[np.ix_(rows, old)] = record.arrays[name][np.ix_(found[rows], grown.origin[old])]
    return table


def _keys(sample: NDArray[np.integer], dr: NDArray[np.float32]) -> list[tuple[int, bytes]]:
    return [(int(number), row.tobytes()) for number, row in zip(sample, dr, strict=True)]


def _network(bench: Bench, grown: Grown, made: Mapping[int, Record], node: int) -> nn.Module:
    trained = bench.trained
    if node in made:
        return build_expert(trained.store, trained.catalogue, made[node], grown.labelled.names[node])[0]
    return load_expert(trained.store, trained.catalogue, trained.experts[grown.origin[node]])[0]


def report(trials: Trials, table: Costs, former: NDArray[np.int64], routers: Routers) -> list[KindReport]:
    """What the choice of the old routers, ``former`` (n,), and of the new ones give on the held-out trials, by kind."""
    held = np.flatnonzero(trials.split == HELDOUT)
    if not len(held):
        return []
    mse = table.mse[held]
    after = mse[np.arange(len(held)), choose(routers, trials.dr[held])]
    before = np.where(former[held] >= 0, mse[np.arange(len(held)), former[held]], np.nan)
    gap = trials.damaged[held].astype(np.float32) / 255 - trials.clean[held].astype(np.float32) / 255
    damaged = np.square(gap).mean((1, 2, 3))
    return [
        KindReport(str(kind), len(rows), *(mean_psnr(values[rows]) for values in (damaged, before, after)))
        for kind in np.unique(trials.kind[held])
        for rows in [np.flatnonzero(trials.kind[held] == kind)]
    ]
