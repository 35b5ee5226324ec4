"""The trained mixture: estimate the degradation of an image, choose a node of the tree, provide its expert."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .catalogue import Catalogue
from .contracts import Network, Record, Runtime, SizeRequirement, Store
from .explaining import EDGE, Branch, Choice, branches, decide
from .hierarchy import LabelledTree
from .instruction import Instruction
from .masking import mask_of, tasks_of
from .memory import Neighbour, recorded
from .models import check_belonging, load_expert, load_extractor, load_hierarchy, load_routers
from .recipe import fingerprint
from .routing import Routing, openings
from .runtimes.eager import EAGER
from .ties import expert_names

IDENTITY = "identity"


@dataclass(frozen=True)
class Estimate:
    """What is wrong with an image, and who shall mend it.

    node: number of the chosen node. path: node names from the root to it. leaves, levels: the routers' probabilities by
    name. types: probability of each damage type, task: the likeliest; of the image, whichever expert was chosen for it.
    alternatives: other nodes with their probability, best first. experts: nodes that are run and their weights, which
    sum to 1; the first is ``node``. level: name of the level of ``node``. tree: every node with the probability of the
    leaves below it. reason: why this level, in one line. novelty: distance to what the model was trained on, 1 at the
    edge of it; ``unknown``: beyond that; well beyond it a coarser expert is run (``explaining``). nearest: training
    samples, the nearest first. These three are None, False and empty where a model keeps no training samples.
    """

    node: int
    path: tuple[str, ...]
    task: str
    leaves: Mapping[str, float]
    levels: Mapping[str, float]
    types: Mapping[str, float]
    alternatives: tuple[tuple[str, float], ...]
    experts: tuple[tuple[int, float], ...] = ()
    level: str = ""
    tree: tuple[Branch, ...] = ()
    reason: str = ""
    novelty: float | None = None
    unknown: bool = False
    nearest: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class Expert:
    """A network, the sizes it accepts, whether it is the identity, and its node's name.

    run: the network as a runtime prepared it, None: as it is. key: a hash of what it is and of its weights.
    """

    module: nn.Module
    size: SizeRequirement
    identity: bool
    name: str
    run: Network | None = None
    key: str = ""

    @property
    def network(self) -> Network:
        """What runs: (1, 3, h, w) float32 in [0, 1] -> the same shape."""
        return self.module if self.run is None else self.run


class Mixture:
    """A model of a registry. Experts are read when first needed; beyond ``cache_bytes`` the least recently used go.

    fallback: whether coarser experts are taken for what is by far unlike anything that the model was trained on.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        model: str = "default",
        cache_bytes: int = 256 * 2**20,
        fallback: bool = True,
        runtime: Runtime = EAGER,
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
        self.memory = recorded(store.read("routers", ties["routers"]), f"routers {ties['routers']}")
        self.fallback, self.runtime = fallback, runtime
        self._cache: OrderedDict[int, Expert] = OrderedDict()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Damage types, and groups of them, that an instruction may name."""
        return tasks_of(self._labelled)

    @property
    def _labelled(self) -> LabelledTree:
        return LabelledTree(self.hierarchy, self.node_names, self._node_types, self.level_names)

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        """Mask (M,) of the nodes that ``instruction`` leaves, as ``masking`` says; None: any.

        Raises ``UnknownNameError`` and ``ConfigError``.
        """
        return mask_of(instruction, self._labelled, self._catalogue.words)

    @torch.inference_mode()
    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        """Route ``image`` (1, 3, H, W) in [0, 1]; only its centre crop at native resolution is looked at."""
        dr = self.extractor(image)
        out = self.routers(dr, allowed=None if allowed is None else torch.from_numpy(allowed))
        return self._explain(dr.numpy(), out, allowed)

    def _found(self, dr: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> dict[str, float]:
        """Probability of each damage type by the distances of ``dr`` (1, D) to the leaves, ``_among`` the allowed.

        This says what is wrong; the routers say which expert helps, which may be none.
        """
        nearness = self.hierarchy.nearness(dr, None if allowed is None else self._among(allowed))[0]
        found = dict.fromkeys(sorted({self._node_types[leaf] for leaf in self.hierarchy.leaves}), 0.0)
        for leaf, share in zip(self.hierarchy.leaves, nearness, strict=True):
            found[self._node_types[leaf]] += float(share)
        return found

    def _among(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Leaves (K,) that the ``allowed`` nodes (M,) open, of a type that these have, if any such leaf has one."""
        opened = openings(self.routers.ancestors, torch.from_numpy(allowed))[0].numpy()
        kinds = {self._node_types[node] for node in np.flatnonzero(allowed)}
        own = opened & np.array([self._node_types[leaf] in kinds for leaf in self.hierarchy.leaves])
        result: NDArray[np.bool_] = own if own.any() else opened
        return result

    def _explain(self, dr: NDArray[np.float32], out: Routing, allowed: NDArray[np.bool_] | None) -> Estimate:
        tree, types = self.hierarchy, self._found(dr, allowed)
        novelty = None if self.memory is None else float(self.memory.novelty(dr)[0])
        choice, reason = self._decide(out.leaf[0].numpy(), out.level[0].numpy(), allowed, novelty)
        mass = np.zeros(len(tree))
        np.add.at(mass, tree.ancestors, choice.leaf[:, None] * conditional(choice.level, choice.usable))
        node = choice.node
        order = [int(n) for n in np.argsort(-mass, kind="stable") if n != node and mass[n] > 1e-3]
        return Estimate(
            node=node,
            path=tuple(self.node_names[n] for n in tree.path(node)),
            task=max(types, key=lambda name: types[name]),
            leaves={self.node_names[n]: float(p) for n, p in zip(tree.leaves, choice.leaf, strict=True)},
            levels={name: float(p) for name, p in zip(self.level_names, choice.level, strict=True)},
            types=types,
            alternatives=tuple((self.node_names[n], float(mass[n])) for n in order[:5]),
            experts=weighted([node, *order[: self.routers.options.top_k - 1]], mass),
            level=choice.level_of(node),
            tree=branches(self._labelled, choice.leaf),
            reason=reason,
            novelty=novelty,
            unknown=novelty is not None and novelty > EDGE,
            nearest=() if self.memory is None else self.memory.nearest(dr[0]),
        )

    def _decide(
        self,
        leaf: NDArray[np.float32],
        level: NDArray[np.float32],
        allowed: NDArray[np.bool_] | None,
        novelty: float | None,
    ) -> tuple[Choice, str]:
        """The routers' choice, or a coarser one for something unknown, and why."""
        tree = self.hierarchy
        usable = np.ones(tree.ancestors.shape, np.bool_) if allowed is None else allowed[tree.ancestors]
        routed = Choice(self._labelled, leaf, level, usable, *top(leaf, level, usable))
        told = None if allowed is None else int(allowed.sum())
        ends = (int(tree.leaves[routed.row]), routed.node)
        unharmed = novelty is not None and novelty > EDGE and any(map(self._is_identity, ends))
        decision = decide(routed, novelty, unharmed=unharmed, told=told, fallback=self.fallback)
        return decision.choice, decision.reason

    def _is_identity(self, node: int) -> bool:
        return bool(self._store.attributes("experts", self._experts[node])["arch"] == IDENTITY)

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

    def expert_record(self, node: int) -> tuple[str, Record]:
        """Name and record of the expert of ``node``, as the registry keeps it. Raises ``RegistryError``."""
        return self._experts[node], self._store.read("experts", self._experts[node])

    def _load(self, node: int) -> Expert:
        name = self._experts[node]
        check_belonging(f"experts/{name}", self._store.attributes("experts", name)["stamp"], self._stamps[node])
        module, spec = load_expert(self._store, self._catalogue, name)
        key = fingerprint(
            spec.name, *(self._store.attributes("experts", name).get(key) for key in ("config", "sha256"))
        )
        identity = spec.name == IDENTITY
        run = None if identity else self.runtime.prepare(module, key, spec.size)
        return Expert(module, spec.size, identity, self.node_names[node], run, key)


def top(leaf: NDArray[np.float32], level: NDArray[np.float32], usable: NDArray[np.bool_]) -> tuple[int, int]:
    """The likeliest leaf (K,), and of the levels (L,) at which its node is ``usable`` (K, L) the likeliest (eq. 6).

    So the node is always an allowed one: a leaf of probability above 0 is open, and an open leaf has such a level.
    """
    row = int(leaf.argmax())
    return row, int(np.where(usable[row], level, -1).argmax())


def conditional(level: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(K, L): probability of each level (L,) for each leaf, among those at which its node is ``usable`` (K, L)."""
    shares = np.where(usable, level.astype(np.float64), 0.0)
    result: NDArray[np.float64] = shares / np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return result


def weighted(nodes: Sequence[int], mass: NDArray[np.float64]) -> tuple[tuple[int, float], ...]:
    """``nodes`` with weights that sum to 1, in proportion to ``mass`` (M,), the probability over all leaves and levels.

    For a single node this is paper eq. 6. The authors' release is written for k experts but works for one only; it
    multiplies outputs by gates that do not sum to 1, which would change the brightness of the picture.
    """
    weights = np.maximum(mass[list(nodes)], np.finfo(np.float64).tiny)
    return tuple(zip(nodes, (weights / weights.sum()).tolist(), strict=True))


def _bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())
