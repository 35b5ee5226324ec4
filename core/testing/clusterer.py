"""The contract of clusterers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import ClustererSpec, Labels, Prompts
from ..errors import UniRestorerError
from ..hierarchy import Hierarchy
from .contract import Contract, random_state, require, world_unchanged
from .data import representations

SAMPLES = 240


class ClustererContract(Contract):
    """What every clusterer promises; see ``unirestorer.core.contracts.Clusterer``."""

    spec: ClustererSpec[Any]

    def test_fit_gives_a_tree(self) -> None:
        """``fit`` returns self; ``hierarchy_`` is valid, every sample on a path to a leaf, every leaf with samples."""
        clusterer, dr = self._build(), representations(SAMPLES)
        fitted = self._fit(clusterer, dr)
        require(fitted is clusterer, "fit(dr)", type(fitted).__name__, "the clusterer itself")
        _check_tree(clusterer, dr, "hierarchy_")
        notes = getattr(clusterer, "notes_", ())
        lines = isinstance(notes, tuple) and all(
            isinstance(note, str) and len(note.splitlines()) == 1 for note in notes
        )
        require(lines, "notes_", repr(notes), "a tuple of lines")

    def test_repeatable(self) -> None:
        """Fitting again, in the same instance or another, gives equal arrays, whatever the global random state."""
        first, second, dr = self._build(), self._build(), representations(SAMPLES)
        with random_state(1):
            wanted = self._fit(first, dr.copy()).hierarchy_
        for how, clusterer in (("again", first), ("in a new instance", second)):
            with random_state(2):
                _same_tree(self._fit(clusterer, dr.copy()).hierarchy_, wanted, f"after fit {how}")

    def test_a_second_fit_forgets_the_first(self) -> None:
        """Fitting other DRs first leaves no trace in the tree."""
        used, new, dr = self._build(), self._build(), representations(SAMPLES)
        self._fit(used, representations(SAMPLES + 60, seed=1))
        tree, wanted = (self._fit(clusterer, dr.copy()).hierarchy_ for clusterer in (used, new))
        _same_tree(tree, wanted, "after fitting other DRs before")

    def test_nothing_else_changes(self) -> None:
        """``fit`` writes neither into the DRs nor into process-wide state."""
        clusterer, dr = self._build(), representations(SAMPLES)
        with world_unchanged("fit"):
            self._fit(clusterer, dr)
        same = np.array_equal(dr, representations(SAMPLES))
        require(same, "DRs after fit", "other values", "the values from before")

    def test_equal_samples(self) -> None:
        """Many equal DRs make a valid tree, or are refused with a ``UniRestorerError``."""
        for distinct in (1, 3, 30):
            self._fits_or_refuses(
                np.repeat(representations(distinct), 8, axis=0), f"{distinct} distinct DRs, 8 of each"
            )

    def test_too_few_samples(self) -> None:
        """No sample is refused with a ``UniRestorerError``; of one or two, a valid tree would do as well."""
        empty = representations(0)
        refused = self._refuses(self._build(), empty, "fit with no sample")
        require(refused, "fit with no sample", "a tree", "a UniRestorerError")
        for count in (1, 2):
            self._fits_or_refuses(representations(count), f"fit with {count} sample(s)")

    def test_values_that_are_no_numbers(self) -> None:
        """DRs with nan or inf are refused with a ``UniRestorerError``, or make a valid tree all the same."""
        for value in (np.nan, np.inf):
            dr = representations(SAMPLES)
            dr[7, 1] = value
            self._fits_or_refuses(dr, f"fit with a DR that holds {value}")

    def _build(self) -> Any:
        (config,) = self.configs().values()
        return self.spec.build(config)

    def _fit(self, clusterer: Any, dr: NDArray[np.float32]) -> Any:
        """Fit to ``dr``, and to its labels where the spec says so."""
        return clusterer.fit(dr, labels(len(dr))) if self.spec.labelled else clusterer.fit(dr)

    def _fits_or_refuses(self, dr: NDArray[np.float32], what: str) -> None:
        clusterer = self._build()
        if not self._refuses(clusterer, dr, what):
            _check_tree(clusterer, dr, what)

    def _refuses(self, clusterer: Any, dr: NDArray[np.float32], what: str) -> bool:
        try:
            self._fit(clusterer, dr)
        except UniRestorerError:
            return True
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise AssertionError(f"{what}: got {got}, wanted a valid tree or a UniRestorerError") from error
        return False


def labels(n: int) -> Labels:
    """The labels of ``representations(n)``: four types (blobs) of three degrees each."""
    pairs = tuple(
        (kind, degree) for kind in ("fog", "grain", "dusk", "smear") for degree in ("slight", "some", "strong")
    )
    prompts = Prompts(tuple(dict.fromkeys(kind for kind, _ in pairs)), pairs)
    return Labels((np.arange(n) % len(pairs)).astype(np.int32), prompts)


def _same_tree(tree: Hierarchy, wanted: Hierarchy, what: str) -> None:
    for name in ("parent", "level", "centroid", "assign"):
        same = np.array_equal(getattr(tree, name), getattr(wanted, name))
        require(same, f"hierarchy_.{name} {what}", "another array", "an equal array")


def _check_tree(clusterer: Any, dr: NDArray[np.float32], what: str) -> None:
    tree = getattr(clusterer, "hierarchy_", None)
    if not isinstance(tree, Hierarchy):
        raise AssertionError(f"{what}: got {type(tree).__name__}, wanted a Hierarchy")
    tree.validate()
    shapes = (tree.centroid.shape[1], len(tree.assign))
    require(shapes == (dr.shape[1], len(dr)), f"{what}: width and samples", shapes, str((dr.shape[1], len(dr))))
    inner = tree.parent[tree.parent >= 0]
    empty = np.setdiff1d(np.arange(len(tree)), np.concatenate([inner, tree.assign[:, -1]]))
    require(not len(empty), f"{what}: leaves without a sample", empty.tolist(), "none")
