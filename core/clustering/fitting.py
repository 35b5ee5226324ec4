"""Fitting the clusterer that a recipe names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue, validate_config
from ..contracts import Config, Labels
from ..hierarchy import Hierarchy, LabelledTree
from ..recipe import ClusterConfig


class Fitted(NamedTuple):
    """The tree that a clusterer found, with the configuration it had.

    ``notes``: lines on why it is as it is. ``labelled``: the tree with names, where the clusterer knows them.
    """

    tree: Hierarchy
    config: Config
    notes: tuple[str, ...]
    labelled: LabelledTree | None


def fit(catalogue: Catalogue, section: ClusterConfig, dr: NDArray[np.float32], labels: Labels) -> Fitted:
    """The tree over ``dr`` (N, D), whose true ``labels`` only a labelled clusterer is shown.

    Raises ``UnknownNameError``, ``ConfigError``, and what the clusterer raises.
    """
    spec = catalogue.clusterer(section.name)
    config = validate_config(spec.config, section.config, "cluster.config")
    clusterer = spec.build(config)
    fitted = clusterer.fit(dr, labels) if spec.labelled else clusterer.fit(dr)
    notes = tuple(" ".join(str(note).split()) for note in getattr(fitted, "notes_", ()))
    return Fitted(fitted.hierarchy_, config, notes, getattr(fitted, "labelled_", None))
