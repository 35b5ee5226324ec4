"""The model that is extended, read from its registry, and the next version of it, written in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue
from ..contracts import Record, RecordKey, Store
from ..errors import RegistryError
from ..hierarchy import LabelledTree
from ..memory import Memory, recorded
from ..models import (
    belonging,
    check_belonging,
    hierarchy_record,
    load_extractor,
    load_hierarchy,
    load_routers,
    routers_record,
)
from ..recipe import Recipe, fingerprint
from ..routing import Routers
from ..stages.synthesize import resolve
from ..ties import DEFAULT, expert_names, install_hint, is_version
from .growth import Grown


@dataclass(frozen=True)
class Known:
    """A damage that a model knows: its configuration, its share of the mix; how it was drawn if it was added later."""

    config: Mapping[str, Any]
    weight: float
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A model of a registry that can be written to; ``ties`` are the attributes of its record."""

    store: Store
    catalogue: Catalogue
    model: str
    ties: Mapping[str, Any]
    recipe: Recipe
    labelled: LabelledTree
    census: NDArray[np.int32]
    experts: tuple[str, ...]

    @classmethod
    def load(cls, store: Store, catalogue: Catalogue, model: str = DEFAULT) -> Trained:
        """Raises ``RegistryError`` when the store is read-only, lacks the model, or a part of it was replaced."""
        if store.read_only:
            raise RegistryError("a zip registry is read-only; make a folder of it first: unirestorer registry import")
        ties = store.attributes("models", model)
        labelled = load_hierarchy(store, ties["hierarchy"])
        experts = expert_names(ties, len(labelled.tree))
        stamp = str(store.attributes("hierarchies", ties["hierarchy"]).get("stamp"))
        for what, found in belonging(store, ties["extractor"], stamp, experts).items():
            check_belonging(f"models/{model}: {what}", found, ties.get(what))
        if "recipe" not in ties.get("provenance", {}):
            raise RegistryError(f"models/{model}: does not say what recipe made it; only models of 'train' can grow")
        return cls(
            store,
            catalogue,
            model,
            ties,
            Recipe.model_validate(ties["provenance"]["recipe"]),
            labelled,
            store.read("hierarchies", ties["hierarchy"]).arrays["census"],
            tuple(experts),
        )

    @property
    def base(self) -> str:
        """Name that all versions of the model share."""
        return str(self.ties["experts"])

    @property
    def stamp(self) -> str:
        """Changes with every part of the model."""
        return fingerprint(dict(self.ties))

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was done to the model since it was trained, oldest first."""
        return list(self.ties["provenance"].get("extensions", ()))

    @cached_property
    def version(self) -> int:
        """Number of the next version; the model as trained is 1."""
        names = self.store.names("models")
        taken = [int(name.removeprefix(f"{self.base}.")) for name in names if is_version(name, self.base)]
        return max([int(self.ties.get("version") or 1), *taken]) + 1

    @property
    def next_name(self) -> str:
        """Name of the next version's records."""
        return f"{self.base}.{self.version}"

    def extractor(self) -> Any:
        """The extractor, in evaluation mode."""
        return load_extractor(self.store, self.catalogue, self.ties["extractor"])

    def routers(self) -> Routers:
        """The routers as they are."""
        return load_routers(self.store, self.ties["routers"], self.labelled.tree)

    def memory(self) -> Memory | None:
        """The training samples that it remembers; ``None`` for a model of before there were any."""
        name = self.ties["routers"]
        return recorded(self.store.read("routers", name), f"routers {name}")

    def taught(self) -> dict[str, Mapping[str, Any]]:
        """Every damage that the model knows, with the entry of ``history`` that added it, empty for the recipe's."""
        plan = self.recipe.synthesize
        names: dict[str, Mapping[str, Any]] = {name: {} for name in (*plan.degradations, *plan.pairs)}
        for entry in self.history:
            if entry["what"] == "degradation":
                names[entry["name"]] = entry
            for name in entry.get("removed_types", ()):
                names.pop(name, None)
        return names

    def degradations(self) -> dict[str, Known]:
        """Every damage that the model knows and that can be made: of its recipe, or added and not removed since.

        Raises ``RegistryError`` naming the plugin when one of them is not installed.
        """
        plan = self.recipe.synthesize.degradations
        names = {name: added for name, added in self.taught().items() if added or name in plan}
        for name, added in names.items():
            if name not in self.catalogue.synthesizers:
                mend = install_hint(added.get("plugin", ""))
                raise RegistryError(
                    f"the model knows '{name}', which is not installed; {mend}, or remove its node first"
                )
        return {
            name: Known(added["config"], 1.0, added["samples"], added["seed"])
            if added
            else Known(resolve(self.catalogue, name, plan[name]), plan[name].weight)
            for name, added in names.items()
        }

    @property
    def given_kinds(self) -> tuple[str, ...]:
        """The damages that the model learnt from given pairs and still knows."""
        return tuple(kind for kind in self.recipe.synthesize.pairs if kind in self.taught())

    def costs(self) -> Record | None:
        """The cost table that the routers were trained on; None where the registry has none (an imported export)."""
        name = self.ties.get("costs", self.ties["routers"])
        return self.store.read("costs", name) if self.store.exists("costs", name) else None

    def commit(
        self,
        grown: Grown,
        *,
        made: Mapping[int, Record],
        routers: Routers,
        memory: Memory | None,
        costs: Record | None,
        census: NDArray[np.int32],
        entry: Mapping[str, Any],
        message: str,
    ) -> str:
        """Write the next version: ``made`` are the new experts' records by node. Returns the commit id.

        Raises ``RegistryError`` when the model was changed by somebody else in the meantime.
        """
        name, tree = self.next_name, grown.labelled.tree
        experts = [self.experts[old] if old >= 0 else "" for old in grown.origin]
        records: dict[RecordKey, Record] = {}
        for node, record in made.items():
            experts[node] = f"{self.base}/{node}.{self.version}"
            records["experts", experts[node]] = record
        stamp = fingerprint(self.stamp, dict(entry))
        old = dict(self.store.attributes("hierarchies", self.ties["hierarchy"]))
        kept: dict[str, Any] = {key: old[key] for key in ("clusterer", "config") if key in old}
        labels: dict[str, Any] = {
            "node_names": grown.labelled.names,
            "node_types": grown.labelled.types,
            "level_names": grown.labelled.level_names,
        }
        attributes = {**kept, **labels, "dr_set": None, "figures": {}, "stamp": stamp}
        records["hierarchies", name] = hierarchy_record(tree, attributes, census)
        fitted = routers_record(routers, {"config": {}, "losses": {}})
        records["routers", name] = fitted if memory is None else memory.added_to(fitted)
        if costs is not None:
            records["costs", name] = Record(costs.arrays, {**costs.attributes, "hierarchy": name})
        return self._write(records, self._ties(grown, experts, made, stamp, entry), message)

    def commit_routers(self, record: Record, *, costs: Record | None, entry: Mapping[str, Any], message: str) -> str:
        """Write the next version, with the routers ``record`` and, if they were trained on new ones, their ``costs``.

        All else stays. Returns the commit id. Raises ``RegistryError`` as ``commit``.
        """
        name = self.next_name
        records: dict[RecordKey, Record] = {("routers", name): record}
        if costs is not None:
            records["costs", name] = costs
        former = self.ties.get("costs", self.ties["routers"])
        changes = {"routers": name, "costs": former if costs is None else name, "version": self.version}
        return self._write(records, {**self.ties, **changes, "provenance": self._provenance(entry)}, message)

    def _write(self, records: dict[RecordKey, Record], ties: Mapping[str, Any], message: str) -> str:
        model = Record({}, ties)
        records["models", self.next_name] = model
        if not self.store.exists(
            "models", self.base
        ):  # an import has a default only: give it its own name to go back to
            records["models", self.base] = Record({}, self.ties)
        if self.model == DEFAULT:
            records["models", DEFAULT] = model
        if dict(self.store.attributes("models", self.model)) != dict(self.ties):
            raise RegistryError(f"models/{self.model}: changed while it was being extended; run the command again")
        return self.store.write(records, message=message, author="extend")

    def _provenance(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """That of the model with one ``entry`` of history more."""
        older = {name: self.store.attributes("experts", name)["sha256"] for name in self.experts}
        extensions = [*self.history, {**entry, "experts_before": older}]
        return {**self.ties["provenance"], "extensions": extensions}

    def _ties(
        self, grown: Grown, experts: Sequence[str], made: Mapping[int, Record], stamp: str, entry: Mapping[str, Any]
    ) -> dict[str, Any]:
        old = [name for node, name in enumerate(experts) if node not in made]
        stamps = {name: self.store.attributes("experts", name)["stamp"] for name in old}
        stamps |= {experts[node]: record.attributes["stamp"] for node, record in made.items()}
        types = grown.labelled.types
        return {
            **self.ties,
            "hierarchy": self.next_name,
            "hierarchy_stamp": stamp,
            "expert_names": experts,
            "expert_stamps": [stamps[name] for name in experts],
            "routers": self.next_name,
            "costs": self.next_name,
            "tasks": sorted({types[leaf] for leaf in grown.labelled.tree.leaves}),
            "version": self.version,
            "provenance": self._provenance(entry),
        }
