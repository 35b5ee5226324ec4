"""The trained mixture: estimate the degradation of an image, choose a node of the tree, provide its expert."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .catalogue import Catalogue
from .contracts import SizeRequirement, Store
from .errors import UnknownNameError
from .instruction import Instruction
from .models import check_belonging, load_expert, load_extractor, load_hierarchy, load_routers
from .ties import expert_names

IDENTITY = "identity"


class Neighbour(NamedTuple):
    """A training sample: the photo it was made of, its damage type and degree, its distance in units of ``novelty``."""

    photo: str
    type: str
    degree: str
    distance: float


@dataclass(frozen=True)
class Estimate:
    """What is wrong with an image, and who shall mend it.

    node: number of the chosen node. path: node names from the root to it. leaves, levels: the routers' probabilities by
    name. types: probability of each damage type, task: the likeliest; of the image, whichever expert was chosen for it.
    alternatives: other nodes with their probability, best first. experts: nodes that are run and their weights, which
    sum to 1; the first is ``node``. reason: why this level, in one line. novelty: distance to what the model was
    trained on, 1 at the edge of it; ``unknown``: beyond that, so that a coarser expert was taken. nearest: training
    samples, the nearest first. These are None or empty where a model keeps no training samples.
    """

    node: int
    path: tuple[str, ...]
    task: str
    leaves: Mapping[str, float]
    levels: Mapping[str, float]
    types: Mapping[str, float]
    alternatives: tuple[tuple[str, float], ...]
    experts: tuple[tuple[int, float], ...] = ()
    reason: str = ""
    novelty: float | None = None
    unknown: bool = False
    nearest: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class Expert:
    """A ready network, the sizes it accepts, whether it is the identity, and its node's name."""

    module: nn.Module
    size: SizeRequirement
    identity: bool
    name: str


class Mixture:
    """A model of a registry. Experts are read when first needed; beyond ``cache_bytes`` the least recently used go."""

    def __init__(
        self, store: Store, catalogue: Catalogue, model: str = "default", cache_bytes: int = 256 * 2**20
    ) -> None:
        """Raises ``RegistryError`` when the store has no such model or a part of it is damaged."""
        self._store, self._catalogue, self._cache_bytes = store, catalogue, cache_bytes
        ties = store.read("models", model).attributes
        extractor = store.attributes("extractors", ties["extractor"])
        tree = store.attributes("hierarchies", ties["hierarchy"])
        check_belonging(f"extractors/{ties['extractor']}", extractor["fingerprint"], ties.get("extractor_fingerprint"))
        check_belonging(f"hierarchies/{ties['hierarchy']}", tree.get("stamp"), ties.get("hierarchy_stamp"))
        self._stamps = ties.get("expert_stamps", [])
        self.hierarchy, self.node_names, self._node_types, self.level_names = load_hierarchy(store, ties["hierarchy"])
        self._experts = expert_names(ties, len(self.hierarchy))
        self.extractor = load_extractor(store, catalogue, ties["extractor"])
        self.routers = load_routers(store, ties["routers"], self.hierarchy)
        self._cache: OrderedDict[int, Expert] = OrderedDict()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Damage types, and groups of them, that an instruction may name."""
        return tuple(
            sorted({kind for kind, level in zip(self._node_types, self.hierarchy.level, strict=True) if level})
        )

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        """Mask (M,): nodes of the named damage types or groups, and all below them, but never the root; None: any.

        Raises ``UnknownNameError``.
        """
        if not instruction:
            return None
        tasks = instruction.tasks
        for task in tasks:
            if task not in self.tasks:
                raise UnknownNameError("task", task, self.tasks)
        groups = set(tasks) - {self._node_types[leaf] for leaf in self.hierarchy.leaves}
        paths = [self.hierarchy.path(node) for node in range(len(self.hierarchy))]
        below = [
            self._node_types[path[-1]] in tasks or any(self._node_types[n] in groups for n in path) for path in paths
        ]
        return np.array(below) & (self.hierarchy.level > 0)

    @torch.inference_mode()
    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        """Route ``image`` (1, 3, H, W) in [0, 1]; only its centre crop at native resolution is looked at."""
        dr = self.extractor(image)
        out = self.routers(dr, allowed=None if allowed is None else torch.from_numpy(allowed))
        found = self._found(dr.numpy(), allowed)
        return self._explain(out.leaf[0].numpy(), out.level[0].numpy(), found, allowed)

    def _found(self, dr: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> dict[str, float]:
        """Probability of each damage type by the distances of ``dr`` (1, D) to the leaves, among the allowed ones.

        This says what is wrong; the routers say which expert helps, which may be none.
        """
        nearness = self.hierarchy.nearness(dr)[0]
        if allowed is not None:
            nearness = nearness * allowed[self.hierarchy.leaves]
        found = dict.fromkeys(sorted({self._node_types[leaf] for leaf in self.hierarchy.leaves}), 0.0)
        for leaf, share in zip(self.hierarchy.leaves, nearness / nearness.sum(), strict=True):
            found[self._node_types[leaf]] += float(share)
        return found

    def _explain(
        self,
        leaf: NDArray[np.float32],
        level: NDArray[np.float32],
        types: dict[str, float],
        allowed: NDArray[np.bool_] | None,
    ) -> Estimate:
        tree = self.hierarchy
        choice = (leaf[:, None] * level[None, :]) * (1 if allowed is None else allowed[tree.ancestors])
        row, column = self._top(leaf, level, choice)
        node = int(tree.ancestors[row, column])
        mass = np.zeros(len(tree))
        np.add.at(mass, tree.ancestors, choice)
        order = [int(n) for n in np.argsort(-mass, kind="stable") if n != node and mass[n] > 1e-3]
        return Estimate(
            node=node,
            path=tuple(self.node_names[n] for n in tree.path(node)),
            task=max(types, key=lambda name: types[name]),
            leaves={self.node_names[n]: float(p) for n, p in zip(tree.leaves, leaf, strict=True)},
            levels={name: float(p) for name, p in zip(self.level_names, level, strict=True)},
            types=types,
            alternatives=tuple((self.node_names[n], float(mass[n])) for n in order[:5]),
        )

    @staticmethod
    def _top(leaf: NDArray[np.float32], level: NDArray[np.float32], choice: NDArray[np.float32]) -> tuple[int, int]:
        """Top-1 leaf and level (paper eq. 6), or the likeliest allowed pair if an instruction forbids that node."""
        row, column = int(leaf.argmax()), int(level.argmax())
        if choice[row, column] > 0:
            return row, column
        best = np.unravel_index(int(choice.argmax()), choice.shape)
        return int(best[0]), int(best[1])

    def expert(self, node: int) -> Expert:
        """The expert of ``node``, loaded on first use. Raises ``RegistryError`` when it is missing or damaged."""
        if node in self._cache:
            self._cache.move_to_end(node)
            return self._cache[node]
        expert = self._load(node)
        self._cache[node] = expert
        while len(self._cache) > 1 and sum(_bytes(e.module) for e in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)
        return expert

    def _load(self, node: int) -> Expert:
        name = self._experts[node]
        check_belonging(f"experts/{name}", self._store.attributes("experts", name)["stamp"], self._stamps[node])
        module, spec = load_expert(self._store, self._catalogue, name)
        return Expert(module, spec.size, spec.name == IDENTITY, self.node_names[node])


def _bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())
