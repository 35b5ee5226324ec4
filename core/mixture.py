"""The trained mixture: estimate the degradation of an image, choose a node of the tree, provide its expert."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .catalogue import Catalogue
from .contracts import Network, Record, Runtime, SizeRequirement, Store
from .explaining import EDGE, Branch, Choice, branches, decide
from .hierarchy import LabelledTree, node_number
from .instruction import Instruction
from .licences import Licence, forgone, licence_of, within_licence
from .masking import mask_of, tasks_of
from .memory import Neighbour, recorded
from .models import check_belonging, load_expert, load_extractor, load_hierarchy, load_routers
from .recipe import fingerprint
from .routing import Routing, openings
from .runtimes import UnsupportedError
from .runtimes.eager import EAGER
from .ties import BASE, expert_names

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
    undamaged: probability of the types whose leaves are all the identity.
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
    undamaged: float = 0.0

    def __str__(self) -> str:
        """What was found, the tree with its probabilities, why this node, and what the image is like."""
        from .reports import estimate_line, explanation_lines

        return "\n".join([estimate_line(self), *explanation_lines(self)])


@dataclass(frozen=True)
class Expert:
    """A network, the sizes it accepts, whether it is the identity, and its node's name.

    run: the network as a runtime prepared it, None: as it is. key: a hash of what it is and of its weights. note: why
    another runtime than the one asked for runs it, empty where none does.
    """

    module: nn.Module
    size: SizeRequirement
    identity: bool
    name: str
    run: Network | None = None
    key: str = ""
    note: str = ""

    @property
    def network(self) -> Network:
        """What runs: (1, 3, h, w) float32 in [0, 1] -> the same shape."""
        return self.module if self.run is None else self.run


class Mixture:
    """A model of a registry. Experts are read when first needed; beyond ``cache_bytes`` the least recently used go.

    fallback: whether coarser experts are taken for what is by far unlike anything that the model was trained on.
    runtime: what runs experts; one that it cannot run is run by PyTorch. Several threads may use one mixture.
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
        self._ties = ties = store.read("models", model).attributes
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
        self._alone = threading.RLock()  # the extractor, the store and the cache serve one thread at a time

    @property
    def tasks(self) -> tuple[str, ...]:
        """Damage types, and groups of them, that an instruction may name."""
        return tasks_of(self._labelled)

    @property
    def _labelled(self) -> LabelledTree:
        return LabelledTree(self.hierarchy, self.node_names, self._node_types, self.level_names)

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        """Mask (M,) of the nodes that ``instruction`` leaves, as ``masking`` and ``licences`` say; None: any.

        Raises ``UnknownNameError`` and ``ConfigError``.
        """
        named = mask_of(replace(instruction, licence=""), self._labelled, self._catalogue.words)
        if not instruction.licence:
            return named
        return within_licence(instruction.licence, named, self.licences, self.node_names)

    @cached_property
    def licences(self) -> tuple[Licence, ...]:
        """That of the expert of each node."""
        return tuple(self._licence(name) for name in self._experts)

    def _licence(self, expert: str) -> Licence:
        attributes = self._store.attributes("experts", expert)
        base = self._licence(attributes[BASE]) if BASE in attributes else None
        return licence_of(attributes, self._catalogue.experts.get(attributes["arch"]), base)

    def parts(self) -> Mapping[str, str | bool]:
        """Digests of extractor, tree and routers, and whether it falls back to coarser experts."""
        ties = self._ties
        return {
            "extractor": self._store.attributes("extractors", ties["extractor"])["fingerprint"],
            "hierarchy": self._store.attributes("hierarchies", ties["hierarchy"]).get("stamp", ""),
            "routers": self._store.attributes("routers", ties["routers"])["sha256"],
            "fallback": self.fallback,
        }

    def sha256(self, name: str) -> str | None:
        """That of the weights of the node ``name``, None for the identity; raises ``UnknownNameError``."""
        node = node_number(self._labelled, name)
        found: str | None = self._store.attributes("experts", self._experts[node])["sha256"]
        return found

    def forgone(self, free: Estimate, taken: Estimate) -> str:
        """What it costs that a licence barred the expert which ``free`` chose, so that it is ``taken`` instead."""
        return forgone(self.licences[free.node], free, taken, self._loss(free.node, taken.node, free.task))

    def _loss(self, node: int, instead: int, task: str) -> tuple[float, int] | None:
        """dB lost by the expert ``instead`` of that of ``node``, and the recorded samples of ``task`` that say so."""
        ties = self._ties
        name = ties.get("costs", ties["routers"])
        if not self._store.exists("costs", name):
            return None
        table = self._store.read("costs", name)
        rows = np.ones(len(table.arrays["mse"]), np.bool_)
        if "kind" in table.arrays:
            rows = np.array(table.attributes["kinds"])[table.arrays["kind"]] == task
        mse = table.arrays["mse"][rows][:, [node, instead]].astype(np.float64)
        mse = mse[np.isfinite(mse).all(axis=1) & (mse > 0).all(axis=1)]
        return (float(10 * np.log10(mse[:, 1] / mse[:, 0]).mean()), len(mse)) if len(mse) else None

    @torch.inference_mode()
    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        """Route ``image`` (1, 3, H, W) in [0, 1]; only its centre crop at native resolution is looked at."""
        with self._alone:
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
            undamaged=sum(share for kind, share in types.items() if kind in self._unharmed),
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
        unharmed = novelty is not None and novelty > EDGE and not self._identities.isdisjoint(ends)
        decision = decide(routed, novelty, unharmed=unharmed, told=told, fallback=self.fallback)
        return decision.choice, decision.reason

    @cached_property
    def _unharmed(self) -> frozenset[str]:
        """The types whose leaves are all the identity."""
        leaves = [(self._node_types[leaf], int(leaf) in self._identities) for leaf in self.hierarchy.leaves]
        return frozenset(kind for kind, _ in leaves) - {kind for kind, identity in leaves if not identity}

    @cached_property
    def _identities(self) -> frozenset[int]:
        """The nodes whose expert is the identity."""
        arches = [self._store.attributes("experts", name)["arch"] for name in self._experts]
        return frozenset(node for node, arch in enumerate(arches) if arch == IDENTITY)

    def expert(self, node: int) -> Expert:
        """The expert of ``node``, loaded on first use. Raises ``RegistryError`` when it is missing or damaged."""
        with self._alone:
            if node in self._cache:
                self._cache.move_to_end(node)
                return self._cache[node]
            expert = self._cache[node] = self._load(node)
            while len(self._cache) > 1 and sum(map(_bytes, self._cache.values())) > self._cache_bytes:
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
        expert = Expert(module, spec.size, spec.name == IDENTITY, self.node_names[node], key=key)
        return expert if expert.identity else self._prepared(expert)

    def _prepared(self, expert: Expert) -> Expert:
        try:
            return replace(expert, run=self.runtime.prepare(expert.module, expert.key, expert.size))
        except UnsupportedError as error:
            note = f"expert {expert.name} is run by PyTorch, because {self.runtime.name} cannot: {error}"
            return replace(expert, run=EAGER.prepare(expert.module, expert.key, expert.size), note=note)


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


def _bytes(expert: Expert) -> int:
    """The weights, and what a runtime made of them."""
    weights = sum(p.numel() * p.element_size() for p in expert.module.parameters())
    return weights + getattr(expert.run, "bytes", 0)
