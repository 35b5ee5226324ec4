"""One node fewer: its experts stay in the registry, but no model version from here on uses them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ..contracts import Record
from ..hierarchy import node_number
from ..run import Watcher
from .finish import Clock, Extended, fit_routers
from .growth import Grown, prune
from .options import ExtensionRecipe
from .refit import counterparts, grown_routers
from .trained import Trained


def remove_node(trained: Trained, name: str, options: ExtensionRecipe, work: Path, watch: Watcher) -> Extended:
    """Remove the node ``name`` and all below it, or of a group only the group. Needs no photos.

    The routers are fitted again where the registry has costs (without the rows of damages that are gone); otherwise
    they lose the node's outputs and stay as they are.
    """
    clock = Clock()
    grown = prune(trained.labelled, node_number(trained.labelled, name))
    gone = set(trained.labelled.types) - set(grown.labelled.types)
    record, memory = trained.costs(), trained.memory()
    if record is None:
        same, old = counterparts(trained.labelled, grown), trained.routers()
        routers, costs = grown_routers(old, grown, same), None
    else:
        costs = _without(record, grown, gone)
        everything = np.ones(len(costs.arrays["dr"]), dtype=np.bool_)
        routers = fit_routers(trained, options, grown, costs, everything, work, watch).routers
    trained.commit(
        grown,
        made={},
        routers=routers,
        memory=None if memory is None else memory.without(gone),
        costs=costs,
        census=trained.census[grown.origin],
        entry={"what": "remove", "node": name, "removed_types": sorted(gone)},
        message=f"{trained.model}: without {name}",
    )
    clock.lap("routers")
    shutil.rmtree(work, ignore_errors=True)
    lost = len(trained.labelled.names) - len(grown.labelled.names)
    return Extended(trained.next_name, (), (), clock.seconds, (f"{name}: {lost} nodes removed",))


def _without(record: Record, grown: Grown, gone: set[str]) -> Record:
    """The cost table of the nodes that are left, without the rows of ``gone`` damages."""
    kinds = np.array(record.attributes["kinds"])[record.arrays["kind"]] if "kind" in record.arrays else None
    rows = np.ones(len(record.arrays["dr"]), dtype=np.bool_) if kinds is None else ~np.isin(kinds, list(gone))
    arrays = {key: values[rows] for key, values in record.arrays.items()}
    arrays |= {key: arrays[key][:, grown.origin] for key in ("l1", "mse")}
    known = np.isfinite(arrays["mse"]).any(axis=1)  # a row may have been tried on nothing that is left
    return Record({key: values[known] for key, values in arrays.items()}, record.attributes)
