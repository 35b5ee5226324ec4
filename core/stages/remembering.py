"""What the routers stage, and extensions, hand to a model's memory: all that the routers learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RegistryError
from ..hierarchy import Hierarchy
from ..memory import SIZE, Memory, Seen, remembered
from ..run import Run
from ..samples import SampleSet
from .costs import draw_extra


def memory_of(run: Run, tree: Hierarchy, table: Mapping[str, NDArray[Any]]) -> Memory:
    """The samples of the DR set and the extra ones of the costs ``table``, of which ``SIZE`` are remembered.

    The extra ones count as known: routers learnt what the experts do to them. They are drawn once more, but not made.
    """
    samples, plan = run.samples(), run.recipe.costs.extra
    if samples.dr is None:
        raise RegistryError(f"dr_sets/{run.name}: has no DRs yet; run the extract stage first")
    parts, extra = [seen_of(samples, samples.dr)], table["dr"][table["sample"] < 0]
    for number, choice in enumerate(plan):
        drawn, rows = draw_extra(run.catalogue, run.photos, run.recipe, number, choice.samples)
        parts.append(seen_of(drawn.take(rows), extra[: len(rows)]))
        extra = extra[len(rows) :]
    return remembered(joined(*parts), tree, SIZE, run.recipe.seed)


def seen_of(samples: SampleSet, dr: NDArray[np.float32]) -> Seen:
    """``samples`` with their DRs (n, D)."""
    labels = [samples.prompts.pairs[number] for number in samples.prompt]
    return Seen(dr, labels, [samples.images[number] for number in samples.image], samples.split)


def joined(*parts: Seen) -> Seen:
    """One after the other."""
    return Seen(
        np.concatenate([part.dr for part in parts]),
        [label for part in parts for label in part.labels],
        [photo for part in parts for photo in part.photos],
        np.concatenate([part.split for part in parts]),
    )
