"""What is measured side by side: the model's modes, its best expert, other models, files of weights, functions.

The peers of one model share a ``Bench``: estimates and outputs are made once an image, through ``Restorer``, so that
every number is that of an image which a user gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import tiles
from ..checkpoints import read_state
from ..contracts import ExpertSpec, SizeRequirement
from ..errors import ConfigError, PluginError, ShapeError, UniRestorerError, WeightsError
from ..files import digest
from ..images import Picture
from ..instruction import AUTO, Instruction
from ..mixture import Estimate, Expert, Mixture
from ..models import new_network
from ..restoring import Restorer
from ..weights import pack_state, unpack
from .cases import Case
from .suite import Part

Pixels = NDArray[np.uint8]
Rank = Callable[[Pixels, Pixels, str | None], float]
"""(restored, truth, damage type) -> PSNR in dB by the convention that ranks experts."""
Experts = tuple[tuple[int, float], ...]
"""Nodes and their weights."""


@dataclass(frozen=True, eq=False)
class Restored:
    """``pixels`` (H, W, 3) uint8 and how they came about: node that was run, its level, and the estimate, if any.

    seconds: of the estimate and of the experts, whether they ran for this peer or for another one before.
    """

    pixels: Pixels
    seconds: float
    node: str | None = None
    level: str | None = None
    estimate: Estimate | None = None


class Peer(Protocol):
    """Something that restores images. ``facts`` say what it is, as JSON values."""

    @property
    def name(self) -> str:
        """Its row in the tables."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it is."""
        ...

    def refuses(self, part: Part) -> str:
        """Why it cannot be measured on the images of ``part``; empty where it can."""
        ...

    def restore(self, case: Case) -> Restored:
        """The image of ``case`` restored, without a look at its truth; raises ``UniRestorerError``."""
        ...


class Bench:
    """A model, and what it made of the image at hand; nothing is kept of the image before."""

    def __init__(self, restorer: Restorer) -> None:
        self.mixture = cast(Mixture, restorer.mixture)
        self._restorer = restorer
        self._case: Case | None = None
        self._estimates: dict[Instruction, tuple[Estimate, float]] = {}
        self._outputs: dict[tuple[Experts, bool], tuple[Pixels, float]] = {}  # True: as the guards left it
        self._passed: set[Experts] = set()

    def restore(self, case: Case, instruction: Instruction = AUTO) -> Restored:
        """``case`` within ``instruction``, as ``Restorer`` restores it; without guards where that names the expert."""
        self._take(case)
        if instruction not in self._estimates:
            start = perf_counter()
            estimate = self._restorer.diagnose(Picture(case.damaged), instruction)
            self._estimates[instruction] = estimate, perf_counter() - start
        estimate, seconds = self._estimates[instruction]
        pixels, more = self._made(case, instruction, estimate)
        return self._restored(pixels, seconds + more, estimate.node, estimate)

    def best(self, case: Case, rank: Rank) -> Restored:
        """What the expert makes of ``case`` that comes nearest to its truth; the coarsest of equal ones.

        Every expert runs; only the best output so far is kept beside those that other peers made.
        """
        self._take(case)
        truth = cast(Pixels, case.truth)
        top, total = (-np.inf, 0, case.damaged), 0.0
        for node in range(len(self.mixture.hierarchy)):
            known = self._outputs.get((((node, 1.0),), False))
            pixels, seconds = known or self._run(case, _Told(self.mixture, self._told(node)))[:2]
            value, total = rank(pixels, truth, case.task), total + seconds
            if value > top[0]:
                top = value, node, pixels
        return self._restored(top[2], total, top[1], None)

    def _take(self, case: Case) -> None:
        if case is not self._case:
            self._case, self._estimates, self._outputs, self._passed = case, {}, {}, set()

    def _made(self, case: Case, instruction: Instruction, estimate: Estimate) -> tuple[Pixels, float]:
        """What is made of ``case``, and seconds; what passes the guards is the same with and without them."""
        guarded = self._restorer.treatment.guards and not (instruction.levels or instruction.experts)
        key = estimate.experts or ((estimate.node, 1.0),)
        place = key, guarded and key not in self._passed
        if place not in self._outputs:
            told = _Told(self.mixture, estimate, self.mixture.allowed(instruction))
            pixels, seconds, passed = self._run(case, told, guarded=guarded)
            if guarded and passed:
                self._passed.add(key)
                place = key, False
            self._outputs[place] = pixels, seconds
        return self._outputs[place]

    def _run(self, case: Case, told: _Told, *, guarded: bool = False) -> tuple[Pixels, float, bool]:
        """Pixels, seconds, and whether they are those of the expert that was told."""
        treatment = replace(self._restorer.treatment, guards=guarded)
        done = replace(self._restorer, mixture=told, treatment=treatment).restore(Picture(case.damaged))
        return done.picture.eight, done.seconds["expert"], done.route[0].outcome == "kept"

    def _told(self, node: int) -> Estimate:
        path = tuple(self.mixture.node_names[step] for step in self.mixture.hierarchy.path(node))
        return Estimate(node, path, "", {}, {}, {}, ())

    def _restored(self, pixels: Pixels, seconds: float, node: int, estimate: Estimate | None) -> Restored:
        level = self.mixture.level_names[int(self.mixture.hierarchy.level[node])]
        return Restored(pixels, seconds, self.mixture.node_names[node], level, estimate)


@dataclass(frozen=True)
class _Told:
    """A mixture for ``Restorer`` whose estimate, among the nodes of ``mask``, is known."""

    mixture: Mixture
    told: Estimate
    mask: NDArray[np.bool_] | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.mixture.tasks

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        return self.mask

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        return self.told

    def expert(self, node: int) -> Expert:
        return self.mixture.expert(node)


@dataclass(frozen=True)
class InputPeer:
    """The damaged image itself."""

    name: str = "input"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it is."""
        return {"what": "the damaged image"}

    def refuses(self, part: Part) -> str:
        """Never."""
        return ""

    def restore(self, case: Case) -> Restored:
        """``case`` as it is."""
        return Restored(case.damaged, 0.0)


@dataclass(frozen=True)
class ModelPeer:
    """A model within ``instruction``, which may depend on the damage type; None: there is none for such images."""

    name: str
    bench: Bench
    instruction: Callable[[str | None], Instruction | None]
    facts: Mapping[str, Any]

    def refuses(self, part: Part) -> str:
        """Where there is no instruction, or none that the model can follow."""
        instruction = self.instruction(part.task)
        if instruction is None:
            return "the damage has no name to tell"
        try:
            self.bench.mixture.allowed(instruction)
        except UniRestorerError as error:
            return str(error)
        return ""

    def restore(self, case: Case) -> Restored:
        """``case`` as the model restores it."""
        return self.bench.restore(case, self.instruction(case.task) or AUTO)


@dataclass(frozen=True)
class OraclePeer:
    """The expert of a model that is best for the image at hand, which only the truth tells; a bound for routers."""

    bench: Bench
    rank: Rank
    name: str = "oracle"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it is."""
        return {"what": "the best expert of the model for each image", "levels": list(self.bench.mixture.level_names)}

    def refuses(self, part: Part) -> str:
        """Where nobody knows the truth."""
        return "" if part.has_truth else "no truth to find the best expert by"

    def restore(self, case: Case) -> Restored:
        """What the best expert makes of ``case``; the truth is used to choose it, for nothing else."""
        return self.bench.best(case, self.rank)


@dataclass(frozen=True)
class NetworkPeer:
    """A network, in tiles as experts are run."""

    name: str
    network: nn.Module
    size: SizeRequirement
    facts: Mapping[str, Any]
    tile: int | None = 512
    overlap: int = 64

    def refuses(self, part: Part) -> str:
        """Never."""
        return ""

    def restore(self, case: Case) -> Restored:
        """What the network makes of ``case``."""
        start = perf_counter()
        pixels = tiles.run_pixels(case.damaged, self.network, self.size, self.tile, self.overlap)
        return Restored(pixels, perf_counter() - start)


@dataclass(frozen=True)
class FunctionPeer:
    """A function of the user's, (H, W, 3) uint8 -> (H, W, 3) uint8; only its name tells it from another one."""

    name: str
    function: Callable[[Pixels], Pixels]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it is."""
        return {"what": "a function of the user's"}

    def refuses(self, part: Part) -> str:
        """Never."""
        return ""

    def restore(self, case: Case) -> Restored:
        """What the function makes of ``case``.

        Raises ``ShapeError`` where that is no image of the same shape, ``PluginError`` where the function fails.
        """
        start = perf_counter()
        try:
            pixels = self.function(case.damaged.copy())
        except Exception as error:  # one bad image shall not stop the others
            raise PluginError(f"peer {self.name}: {type(error).__name__}: {' '.join(str(error).split())}") from error
        seconds = perf_counter() - start
        got = (getattr(pixels, "shape", None), getattr(pixels, "dtype", None))
        if got != (case.damaged.shape, np.dtype(np.uint8)):
            raise ShapeError(f"peer {self.name}: returned {got[0]} {got[1]}, wanted {case.damaged.shape} uint8")
        return Restored(pixels, seconds)


def model_peer(name: str, bench: Bench, facts: Mapping[str, Any]) -> ModelPeer:
    """``bench`` in one of its modes: auto, instruction, root or leaf-only; in auto mode under any other name."""
    levels = bench.mixture.level_names
    modes: dict[str, tuple[str, Callable[[str | None], Instruction | None]]] = {
        "instruction": ("told the damage type", lambda task: None if task is None else Instruction(tasks=(task,))),
        "root": (f"level {levels[0]} alone", lambda task: Instruction(levels=(levels[0],))),
        "leaf-only": (f"level {levels[-1]} alone", lambda task: Instruction(levels=(levels[-1],))),
    }
    what, instruction = modes.get(name, ("auto mode", lambda task: AUTO))
    return ModelPeer(name, bench, instruction, {"what": what, **facts})


def built_in(name: str, bench: Bench, facts: Mapping[str, Any], rank: Rank) -> Peer:
    """The damaged input, the best expert of each image by ``rank``, or a mode of ``bench`` (``model_peer``)."""
    if name == "input":
        return InputPeer()
    return OraclePeer(bench, rank) if name == "oracle" else model_peer(name, bench, facts)


def weights_peer(name: str, spec: ExpertSpec[Any], path: Path, licence: str = "") -> NetworkPeer:
    """The network of the architecture ``spec`` whose weights are in the file ``path``, recognised by their shapes.

    ``licence`` of the weights, else that of the architecture. Raises ``WeightsError`` for a file that cannot be read,
    or is of another architecture, and ``ConfigError`` for an architecture that rests on another expert.
    """
    if spec.recognise is None:
        raise ConfigError(
            f"peer {name}: no file of weights tells how a '{spec.name}' is built; name another architecture"
        )
    state = read_state(path)
    try:
        settings = spec.recognise(state)
    except UniRestorerError as error:
        raise WeightsError(f"{path}: {error}") from None
    if settings is None:
        raise WeightsError(f"{path}: is no '{spec.name}': other names or shapes; name the architecture that it is of")
    if spec.revive is not None:
        network = spec.revive(settings, state)
    else:
        network = new_network(spec, settings)
        unpack(network, pack_state(state), str(path))
    given = settings.model_dump(mode="json")
    facts = {
        "what": f"{spec.name} with the weights of a file",
        "file": path.name,
        "sha256": digest(path),
        "licence": licence or given.get("licence") or spec.licence or "not stated",
        "parameters": sum(weights.numel() for weights in network.parameters()),
    }
    return NetworkPeer(name, network.eval(), spec.size, facts)
