"""Does the extractor, which never saw the new degradation, tell it from the old ones? Said with numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import LabelledTree, normalised
from ..photos import TRAIN
from ..stages.costs import Trials
from .growth import Grown

CONFUSED = 0.2
"""Share of samples beyond which the user is warned."""


def confusions(old: LabelledTree, dr: NDArray[np.float32]) -> dict[str, float]:
    """Damage type -> share of the new DRs (n, D) that lie nearest to a leaf of it."""
    ends = old.tree.assign_dr(dr)[:, -1]
    kinds, counts = np.unique(np.array(old.types)[ends], return_counts=True)
    return {str(kind): float(count) / len(dr) for kind, count in zip(kinds, counts, strict=True)}


def separation(old: LabelledTree, grown: Grown, rehearsal: Trials, new: Trials) -> list[str]:
    """Nearest nodes of the new samples' unseen part and of the old samples, as lines for the user."""
    tree, names = grown.labelled.tree, grown.labelled.names
    unseen = new.take(new.split != TRAIN)
    ends, old_ends = (tree.assign_dr(trials.dr)[:, -1] for trials in (unseen, rehearsal))
    astray = ends[grown.origin[ends] >= 0]
    taken = rehearsal.kind[grown.origin[old_ends] < 0]
    share, share_old = len(astray) / max(1, len(ends)), len(taken) / len(old_ends)
    kind = names[grown.new[0]]
    centre = normalised(unseen.dr).mean(0) if tree.normalize else unseen.dr.mean(0)
    gaps = np.square(old.tree.centroid[old.tree.leaves] - centre).sum(1)
    nearest = old.names[old.tree.leaves[int(gaps.argmin())]]
    lines = [
        f"{kind}: {1 - share:.0%} of {len(ends)} unseen samples lie nearest to its own nodes"
        + (f", {share:.0%} to older ones (most often {_most(np.array(names)[astray])})" if len(astray) else "")
        + f"; the nearest older node is {nearest}, at squared distance {gaps.min():.2f}",
        f"{share_old:.1%} of {len(old_ends)} samples of older damages lie nearest to the new nodes"
        + (f" (most often {_most(taken)})" if len(taken) else ""),
    ]
    if share > CONFUSED or share_old > CONFUSED:
        lines.append(
            f"warning: the extractor does not separate {kind} from what it knows; train one with this degradation in "
            "its mix (unirestorer train), or name it with --task when restoring"
        )
    return lines


def _most(names: NDArray[np.str_]) -> str:
    values, counts = np.unique(names, return_counts=True)
    return str(values[counts.argmax()])
