"""Plugins that each break a rule of the conformance kit, with all the rules that must notice."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import count
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict
from torch import Tensor, nn

from unirestorer.core import Config, Params, SizeRequirement
from unirestorer.core.contracts import Spec
from unirestorer.core.hierarchy import Hierarchy

from .extractor_mutants import ABILITIES
from .sample_plugins import Fog, FogConfig, Gain, Halves, Matching, Mender, Probe, fog, gain, halves, mender, probe

SALT = count(1)


class OddConfig(FogConfig):
    """A set comes back from JSON as a list."""

    tags: Any = frozenset({1})


class LooseConfig(FogConfig):
    model_config = ConfigDict(frozen=False, extra="ignore")


def with_parameter(name: str, make: Any) -> type[Fog]:
    class Mutant(Fog):
        def sample(self, n: int, generator: torch.Generator) -> Params:
            return {**super().sample(n, generator), name: make(n, generator)}

    return Mutant


def with_damage(change: Any) -> type[Fog]:
    """``change(self, image, damaged, strength)`` takes the place of the damaged image."""

    class Mutant(Fog):
        def __init__(self, config: FogConfig) -> None:
            super().__init__(config)
            self.salt = next(SALT)

        def damage(self, image: Tensor, strength: float, seed: int) -> Tensor:
            changed: Tensor = change(self, image, super().damage(image, strength, seed), strength)
            return changed

    return Mutant


def with_apply(change: Any) -> type[Fog]:
    """``change(clean, params, damaged)`` takes the place of the damaged batch."""

    class Mutant(Fog):
        def apply(self, clean: Tensor, params: Params) -> Tensor:
            changed: Tensor = change(clean, params, super().apply(clean, params))
            return changed

    return Mutant


def with_degree(change: Any) -> type[Fog]:
    class Mutant(Fog):
        def degree(self, params: Params) -> list[str]:
            names: list[str] = change(super().degree(params), params)
            return names

    return Mutant


class Counting(Fog):
    calls = 0

    def sample(self, n: int, generator: torch.Generator) -> Params:
        self.calls += 1
        return {**super().sample(n, generator), "call": torch.full((n,), self.calls)}


def _write(clean: Tensor, params: Params, damaged: Tensor) -> Tensor:
    params["strength"].mul_(0.5)
    return damaged


def _reseed(clean: Tensor, params: Params, damaged: Tensor) -> Tensor:
    torch.manual_seed(0)
    return damaged


def _brightest(clean: Tensor, params: Params, damaged: Tensor) -> Tensor:
    top = clean.amax() if len(clean) else torch.ones(())
    return torch.where(params["strength"][:, None, None, None] > 0, damaged * top, damaged)


def _fail_when_tiny(self: Fog, image: Tensor, damaged: Tensor, strength: float) -> Tensor:
    if strength and min(image.shape[1:]) < 3:
        raise RuntimeError("padding should be less than the input")
    return damaged


SYNTHESIZERS: dict[str, tuple[Spec, set[str]]] = {
    "bad name": (fog(name="Thick Fog"), {"spec_is_well_formed"}),
    "no summary": (fog(summary=""), {"spec_is_well_formed"}),
    "config changed by JSON": (fog(config=OddConfig, identity=None), {"spec_is_well_formed"}),
    "config that can change": (fog(config=LooseConfig, identity=None), {"spec_is_well_formed"}),
    "one preset": (fog(presets={"in": FogConfig()}), {"spec_is_well_formed"}),
    "identity of another class": (fog(identity=Config()), {"spec_is_well_formed", "identity_at_zero_strength"}),
    "complex parameter": (
        fog(with_parameter("phase", lambda n, g: torch.zeros(n, dtype=torch.complex64))),
        {"sample_gives_n_of_each_parameter"},
    ),
    "one value for all items": (
        fog(with_parameter("light", lambda n, g: torch.ones(3))),
        {"sample_gives_n_of_each_parameter"},
    ),
    "slash in a parameter": (
        fog(with_parameter("a/b", lambda n, g: torch.ones(n))),
        {"sample_gives_n_of_each_parameter"},
    ),
    "remembers earlier draws": (fog(Counting), {"equal_generators_give_equal_parameters"}),
    "draws from the global state": (
        fog(with_parameter("x", lambda n, g: torch.rand(n))),
        {"equal_generators_give_equal_parameters", "process_state_is_left_alone"},
    ),
    "seeds the process": (fog(with_apply(_reseed)), {"process_state_is_left_alone"}),
    "brighter than white": (fog(with_damage(lambda s, i, d, x: d + 0.5 * x)), {"any_size"}),
    "nan on black": (fog(with_damage(lambda s, i, d, x: d * (i.amax() / i.amax()) if x else d)), {"any_size"}),
    "float64": (fog(with_apply(lambda c, p, d: d.double()), identity=None), {"any_size"}),
    "another shape": (fog(with_apply(lambda c, p, d: d[..., :-1]), identity=None), {"any_size"}),
    "fails on tiny images": (fog(with_damage(_fail_when_tiny)), {"any_size"}),
    "writes into the images": (fog(with_apply(lambda c, p, d: c.copy_(d))), {"arguments_are_left_alone"}),
    "writes into the parameters": (fog(with_apply(_write)), {"arguments_are_left_alone"}),
    "depends on the memory layout": (
        fog(with_apply(lambda c, p, d: d if c.is_contiguous() else d * 0.9)),
        {"repeatable"},
    ),
    "depends on the threads": (
        fog(with_damage(lambda s, i, d, x: d * 0.9 if torch.get_num_threads() == 3 else d)),
        {"number_of_threads_does_not_matter"},
    ),
    "depends on the instance": (fog(with_damage(lambda s, i, d, x: d / s.salt if x else d)), {"replay"}),
    "depends on the batch": (fog(with_apply(_brightest)), {"batch_equals_its_items"}),
    "capital degree": (fog(with_degree(lambda names, p: [n.title() for n in names])), {"degree_names"}),
    "degree with a slash": (fog(with_degree(lambda names, p: [f"a/{n}" for n in names])), {"degree_names"}),
    "one degree for all": (fog(with_degree(lambda names, p: names[:1])), {"degree_names"}),
    "degree of the batch": (
        fog(with_degree(lambda names, p: ["big" if x > p["strength"].mean() else "small" for x in p["strength"]])),
        {"degree_names"},
    ),
    "identity that damages": (fog(identity=FogConfig(strength=(0.01, 0.01))), {"identity_at_zero_strength"}),
}


def _forward(base: type[Any], change: Any) -> type[nn.Module]:
    """``change(self, images, output)`` takes the place of the output."""

    class Mutant(base):  # type: ignore[misc]
        def __init__(self, config: Config) -> None:
            super().__init__(config)
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("centre", torch.zeros(()), persistent=False)
            self.unused = torch.randn(())
            self.number = float(np.random.rand())

        def forward(self, images: Tensor) -> Tensor:
            changed: Tensor = change(self, images, super().forward(images))
            return changed

    return Mutant


def _seeded_elsewhere(base: type[Any]) -> type[nn.Module]:
    class Mutant(base):  # type: ignore[misc]
        def __init__(self, config: Config) -> None:
            super().__init__(config)
            with torch.no_grad():
                next(self.parameters()).mul_(float(np.random.rand()))

    return Mutant


def _drop(net: Any, images: Tensor, out: Tensor) -> Tensor:
    return nn.functional.dropout(out, 0.5, training=True)


def _count(net: Any, images: Tensor, out: Tensor) -> Tensor:
    net.calls += 1
    return out


def _write_images(net: Any, images: Tensor, out: Tensor) -> Tensor:
    if not net.training:
        images.clamp_(0.2, 0.8)
    return out


def _running(net: Any, images: Tensor, out: Tensor) -> Tensor:
    if net.training:
        net.centre += 1
    shifted: Tensor = out + net.centre
    return shifted


def _saliency(net: Any, images: Tensor, out: Tensor) -> Tensor:
    if net.training:
        return out
    with torch.enable_grad():
        probe = images.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(probe.square().sum(), probe)
    return out + 0 * slope.mean()


def _less_batch_mean(net: Any, images: Tensor, out: Tensor) -> Tensor:
    return out - out.mean(0, keepdim=True)


def networks(base: type[Any], spec: Any, modes: set[str]) -> Iterator[tuple[str, tuple[Spec, set[str]]]]:
    """Mutants of a network; ``modes``: the rules that use inference mode."""
    random = {"repeatable", "nothing_else_changes", "batch_equals_its_items", "weights_come_back"}
    layout = {"memory_layout_does_not_matter"} if base is Mender else {"inference_mode", "calibration_is_repeatable"}
    yield "weights from NumPy", (spec(_seeded_elsewhere(base)), {"equal_seeds_build_equal_weights"})
    yield "dropout in evaluation", (spec(_forward(base, _drop)), random | layout)
    yield "counts in a buffer", (spec(_forward(base, _count)), {"nothing_else_changes"})
    yield "writes into the images", (spec(_forward(base, _write_images)), {"nothing_else_changes"})
    yield "less the batch's mean", (spec(_forward(base, _less_batch_mean)), {"batch_equals_its_items"})
    hidden = spec(_forward(base, lambda net, x, out: out + net.unused))
    yield "weight outside the state dict", (hidden, {"weights_come_back"})
    yield "statistics outside the state dict", (spec(_forward(base, _running)), {"weights_come_back"})
    yield "needs autograd", (spec(_forward(base, _saliency)), modes)


def _nan_on_black(net: Any, images: Tensor, out: Tensor) -> Tensor:
    top = images.amax((1, 2, 3), keepdim=True)
    return out * (top / top)


class FloatDim(Probe):
    dim = 8.0


class WrongDim(Probe):
    dim = 9


class NoPadding(Probe):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.features[0] = nn.Conv2d(3, 8, 3)


class VectorLoss(Matching):
    def forward(self, images: Tensor, prompt: Tensor) -> Tensor:
        losses: Tensor = (self.extractor(images) @ self.prompt.T).sum(1)
        return losses


class NanLoss(Matching):
    def forward(self, images: Tensor, prompt: Tensor) -> Tensor:
        return super().forward(images, prompt) * torch.nan


class DetachedLoss(Matching):
    def forward(self, images: Tensor, prompt: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.extractor(images).detach() @ self.prompt.T, prompt)


EXTRACTORS: dict[str, tuple[Spec, set[str]]] = {
    **dict(networks(Probe, probe, {"inference_mode"})),
    "width is no int": (probe(FloatDim), {"width_is_a_positive_number"}),
    "width is another": (probe(WrongDim), {"any_size"}),
    "no training side": (
        probe(training_side=lambda config: 0),
        {"width_is_a_positive_number", "objective_trains_the_extractor"},
    ),
    "fails on tiny images": (probe(NoPadding), {"any_size"}),
    "float64": (probe(_forward(Probe, lambda net, x, out: out if net.training else out.double())), {"any_size"}),
    "no scalar loss": (probe(objective=VectorLoss), {"objective_trains_the_extractor"}),
    "nan loss": (probe(objective=NanLoss), {"objective_trains_the_extractor"}),
    "loss without the extractor": (probe(objective=DetachedLoss), {"objective_trains_the_extractor"}),
    "bad summary": (probe(summary="two\nlines"), {"spec_is_well_formed"}),
    **ABILITIES,
}


class Spare(Mender):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.spare = nn.Linear(2, 2)


class Frozen(Mender):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(images)


NEED_SIZE = {"nothing_else_changes", "batch_equals_its_items", "weights_come_back", "sizes_of_the_spec", "repeatable"}
NEED_SIZE |= {"memory_layout_does_not_matter", "restores_photos_of_any_size", "training_reaches_the_parameters"}
EXPERTS: dict[str, tuple[Spec, set[str]]] = {
    **dict(networks(Mender, mender, {"restores_photos_of_any_size"})),
    "size beyond a tile": (mender(size=SizeRequirement(2, 100_000)), NEED_SIZE | {"spec_is_well_formed"}),
    "takes less than it says": (
        mender(size=SizeRequirement(1, 1)),
        {"sizes_of_the_spec", "restores_photos_of_any_size"},
    ),
    "nan on black": (mender(_forward(Mender, _nan_on_black)), {"sizes_of_the_spec"}),
    "depends on the memory layout": (
        mender(_forward(Mender, lambda net, x, out: out if x.is_contiguous() else out * 0.9)),
        {"memory_layout_does_not_matter"},
    ),
    "unused parameter": (mender(Spare), {"training_reaches_the_parameters"}),
    "no gradient": (mender(Frozen), {"training_reaches_the_parameters"}),
    "bad name": (mender(name="2fast"), {"spec_is_well_formed"}),
}


class OwnsBase(Gain):
    """The base is part of its state dict."""

    def __init__(self, config: Any, base: nn.Module) -> None:
        super().__init__(config, base)
        self.below = base


class CopiesBase(Gain):
    def __init__(self, config: Any, base: nn.Module) -> None:
        super().__init__(config, base)
        self.first = nn.Parameter(base.get_parameter(self.names[0]).clone(), requires_grad=False)


class KeepsGains(Gain):
    """Merged it is still itself: as costly as before."""

    def merged(self) -> nn.Module:
        return self


class LosesGains(Gain):
    def merged(self) -> nn.Module:
        return copy.deepcopy(self.kept[0])


class MergesInPlace(Gain):
    def merged(self) -> nn.Module:
        (base,) = self.kept
        with torch.no_grad():
            for name, weight in self.weights(base).items():
                base.get_parameter(name).copy_(weight)
        return base


class TrainsStatistics(Gain):
    def train(self, mode: bool = True) -> Self:
        self.kept[0].train(mode)
        return super().train(mode)


ADAPTERS: dict[str, tuple[Spec, set[str]]] = {
    "holds the base": (gain(OwnsBase), {"adapter_holds_only_what_it_adds", "training_leaves_the_base"}),
    "holds a copy of a weight": (gain(CopiesBase), {"adapter_holds_only_what_it_adds"}),
    "merged is the adapter": (gain(KeepsGains), {"merged_equals_the_adapter"}),
    "merged without what was added": (gain(LosesGains), {"merged_equals_the_adapter"}),
    "merged spoils the base": (gain(MergesInPlace), {"merged_equals_the_adapter"}),
    "changes the base's statistics": (gain(TrainsStatistics), {"training_leaves_the_base", "weights_come_back"}),
}


def with_fit(change: Any) -> type[Halves]:
    """``change(self, dr)`` runs before fitting; what it returns, if anything, takes the place of ``dr``."""

    class Mutant(Halves):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.first: Any = None

        def fit(self, dr: NDArray[np.float32]) -> Halves:
            changed = change(self, dr)
            return super().fit(dr if changed is None else changed)

    return Mutant


def with_tree(change: Any) -> type[Halves]:
    class Mutant(Halves):
        def tree(self, dr: NDArray[np.float32], half: NDArray[np.int32]) -> Hierarchy:
            tree: Hierarchy = change(super().tree(dr, half))
            return tree

    return Mutant


def with_notes(*notes: str) -> type[Halves]:
    class Mutant(Halves):
        notes_ = notes

    return Mutant


class Elsewhere(Halves):
    def fit(self, dr: NDArray[np.float32]) -> Halves:
        return copy.copy(super().fit(dr))


class Shuffled(Halves):
    def order(self, dr: NDArray[np.float32]) -> NDArray[np.intp]:
        return np.random.default_rng().permutation(len(dr))


def _warm(net: Any, dr: NDArray[np.float32]) -> NDArray[np.float32]:
    net.first = dr[:1] if net.first is None else net.first
    return dr * np.abs(net.first).astype(np.float32) if len(dr) else dr


def _only_distinct(net: Any, dr: NDArray[np.float32]) -> None:
    if len(np.unique(dr, axis=0)) < len(dr):
        raise ValueError("equal samples")


def _refuse(net: Any, dr: NDArray[np.float32]) -> None:
    if len(dr) < 3:
        raise IndexError("list index out of range")


def _only_numbers(net: Any, dr: NDArray[np.float32]) -> None:
    if not np.isfinite(dr).all():
        raise ValueError("input contains nan")


def _accept(net: Any, dr: NDArray[np.float32]) -> NDArray[np.float32] | None:
    return None if len(dr) else np.zeros((2, dr.shape[1]), dtype=np.float32)


def _extra_leaf(tree: Hierarchy) -> Hierarchy:
    parent, level = np.append(tree.parent, 0).astype(np.int32), np.append(tree.level, 1).astype(np.int32)
    return Hierarchy(parent, level, np.concatenate([tree.centroid, tree.centroid[:1]]), tree.assign, tree.normalize)


def _crooked(tree: Hierarchy) -> Hierarchy:
    return Hierarchy(tree.parent, tree.level, tree.centroid, tree.assign[:, ::-1], tree.normalize)


def _one_short(tree: Hierarchy) -> Hierarchy:
    return Hierarchy(tree.parent, tree.level, tree.centroid, tree.assign[1:], tree.normalize)


TREE = {"fit_gives_a_tree", "equal_samples", "too_few_samples"}
CLUSTERERS: dict[str, tuple[Spec, set[str]]] = {
    "bad name": (halves(name=""), {"spec_is_well_formed"}),
    "returns another object": (halves(Elsewhere), {"fit_gives_a_tree"}),
    "invalid tree": (halves(with_tree(_crooked)), TREE),
    "notes are no lines": (halves(with_notes("one\ntwo")), {"fit_gives_a_tree"}),
    "leaf without samples": (halves(with_tree(_extra_leaf)), TREE),
    "sample left out": (halves(with_tree(_one_short)), TREE),
    "random": (halves(Shuffled), {"repeatable", "a_second_fit_forgets_the_first"}),
    "remembers the first fit": (halves(with_fit(_warm)), {"a_second_fit_forgets_the_first"}),
    "seeds NumPy": (halves(with_fit(lambda net, dr: np.random.seed(0))), {"nothing_else_changes"}),
    "writes into the DRs": (halves(with_fit(lambda net, dr: dr.__isub__(1))), {"nothing_else_changes"}),
    "fails on equal samples": (halves(with_fit(_only_distinct)), {"equal_samples"}),
    "fails on few samples": (halves(with_fit(_refuse)), {"too_few_samples"}),
    "makes a tree of nothing": (halves(with_fit(_accept)), {"too_few_samples"}),
    "fails on nan": (halves(with_fit(_only_numbers)), {"values_that_are_no_numbers"}),
}
MUTANTS: dict[str, tuple[Spec, set[str]]] = {
    f"{kind} {name}": mutant
    for kind, table in (
        ("synthesizer", SYNTHESIZERS),
        ("extractor", EXTRACTORS),
        ("expert", EXPERTS),
        ("adapter", ADAPTERS),
        ("clusterer", CLUSTERERS),
    )
    for name, mutant in table.items()
}
