"""The contract of degradations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..contracts import Config, Params, Synthesizer, SynthesizerSpec
from ..words import plain
from .contract import (
    Contract,
    does_not_apply,
    random_state,
    require,
    require_equal,
    require_range,
    through_json,
    world_unchanged,
)
from .data import clean_images, with_extremes

SIZES = ((1, 1), (1, 9), (2, 2), (5, 37), (37, 5), (64, 48))
_STORED = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
_STORED |= {torch.float16, torch.float32, torch.float64}
_DEGREE = re.compile(r"[a-z0-9][a-z0-9 +_.-]*")


class SynthesizerContract(Contract):
    """What every degradation promises; see ``unirestorer.core.contracts.Synthesizer``."""

    spec: SynthesizerSpec[Any]

    def configs(self) -> dict[str, Config]:
        """The presets, or ``config`` alone where the class sets it."""
        if self.config is not None:
            return {"config": self.config}
        return {f"preset '{name}'": config for name, config in self.spec.presets.items()}

    def test_spec_is_well_formed(self) -> None:
        """As for every kind; both presets exist, ``identity`` is a configuration, ``recipe`` a file, and words."""
        super().test_spec_is_well_formed()
        presets = sorted(self.spec.presets)
        require(presets == ["in", "out"], "presets", presets, "['in', 'out']")
        identity, recipe = self.spec.identity, self.spec.recipe
        is_config = identity is None or isinstance(identity, self.spec.config)
        require(is_config, "identity", repr(identity), f"a {self.spec.config.__name__} or None")
        require(recipe is None or recipe.is_file(), "recipe", recipe, "an existing file or None")
        words = self.spec.words
        spoken = isinstance(words, tuple) and all(isinstance(word, str) and plain(word) for word in words)
        require(spoken, "words", repr(words), "a tuple of words")

    def test_sample_gives_n_of_each_parameter(self) -> None:
        """Named tensors whose first axis is n, of a dtype that a registry stores; n may be 0."""
        for where, synthesizer in self._each():
            for n in (0, 1, 5):
                _check_params(f"{where}: sample({n})", synthesizer.sample(n, _generator()), n)

    def test_equal_generators_give_equal_parameters(self) -> None:
        """Drawing depends on the generator alone: not on what was drawn before, nor on global random state."""
        for (where, first), (_, second) in zip(self._each(), self._each(), strict=True):
            with random_state(1):
                wanted = first.sample(5, _generator(9))
            for synthesizer in (first, second):
                with random_state(2):
                    drawn = synthesizer.sample(5, _generator(9))
                _same_params(drawn, wanted, f"{where}: sample(5) twice from equal generators")

    def test_process_state_is_left_alone(self) -> None:
        """Building, sampling, applying and naming change no random state or setting of the process."""
        for name, config in self.configs().items():
            with world_unchanged(f"{name}: sample and apply"):
                synthesizer = self.spec.build(config)
                params = synthesizer.sample(2, _generator())
                synthesizer.apply(clean_images(2), params)
                synthesizer.degree(params)

    def test_any_size(self) -> None:
        """Any H and W, black and white images, an empty batch: float32 of the same shape in [0, 1]."""
        for where, synthesizer in self._each():
            for height, width in SIZES:
                for seed in range(3):
                    clean = with_extremes(height, width)
                    damaged = _apply(synthesizer, clean, synthesizer.sample(3, _generator(seed)))
                    require_range(damaged, clean.shape, f"{where}: apply to {height} x {width} pixels", limits=True)
            empty = synthesizer.apply(torch.zeros(0, 3, 8, 8), synthesizer.sample(0, _generator()))
            require_range(empty, (0, 3, 8, 8), f"{where}: apply to an empty batch", limits=True)

    def test_arguments_are_left_alone(self) -> None:
        """``apply`` and ``degree`` write neither into the images nor into the parameters."""
        for where, synthesizer in self._each():
            clean, params = clean_images(2), synthesizer.sample(2, _generator())
            kept, kept_params = clean.clone(), {key: value.clone() for key, value in params.items()}
            synthesizer.apply(clean, params)
            require_equal(clean, kept, f"{where}: images after apply", "the images as they were")
            synthesizer.degree(params)
            _same_params(params, kept_params, f"{where}: parameters after apply and degree")

    def test_repeatable(self) -> None:
        """Equal arguments give equal bits: again, under other global random state, in another memory layout."""
        for where, synthesizer in self._each():
            clean, params = clean_images(2), synthesizer.sample(2, _generator())
            layouts = {"again": clean, "to channels_last": clean.contiguous(memory_format=torch.channels_last)}
            with random_state(1):
                wanted = _apply(synthesizer, clean, params)
            for how, images in layouts.items():
                with random_state(2):
                    damaged = _apply(synthesizer, images, params)
                require_equal(damaged, wanted, f"{where}: apply {how}", "equal bits")

    def test_number_of_threads_does_not_matter(self) -> None:
        """One thread and three give equal bits, on an image large enough to be shared out."""
        for where, synthesizer in self._each():
            clean, params = clean_images(1, 211, 323), synthesizer.sample(1, _generator(1))
            one, three = (_with_threads(count, synthesizer, clean, params) for count in (1, 3))
            require_equal(three, one, f"{where}: apply with 3 threads", "the bits of 1 thread")

    def test_replay(self) -> None:
        """Stored parameters and a stored configuration give equal bits and names, in a new instance."""
        for (where, synthesizer), config in zip(self._each(), self.configs().values(), strict=True):
            clean, params = clean_images(3), synthesizer.sample(3, _generator(2))
            again, stored = self.spec.build(through_json(config)), _through_numpy(params)
            damaged = _apply(again, clean, stored)
            require_equal(
                damaged, _apply(synthesizer, clean, params), f"{where}: apply with stored parameters", "equal bits"
            )
            got, wanted = again.degree(stored), synthesizer.degree(params)
            require(got == wanted, f"{where}: degree of stored parameters", got, str(wanted))

    def test_batch_equals_its_items(self) -> None:
        """An item's bits depend neither on its place in the batch nor on the others."""
        for where, synthesizer in self._each():
            for height, width in ((37, 41), (64, 64)):
                clean, params = clean_images(4, height, width), synthesizer.sample(4, _generator(3))
                batch = _apply(synthesizer, clean, params)
                for item in range(4):
                    alone = _apply(synthesizer, clean[item : item + 1], _rows(params, item))
                    what = f"{where}: item {item} of a batch of {height} x {width} pixels"
                    require_equal(batch[item : item + 1], alone, what, "the bits of the item alone")

    def test_degree_names(self) -> None:
        """One name per item, fit for a node of the tree, from the item's parameters alone."""
        for where, synthesizer in self._each():
            params = synthesizer.sample(40, _generator(4))
            names = synthesizer.degree(params)
            require(isinstance(names, list) and len(names) == 40, f"{where}: degree of 40 items", names, "a list of 40")
            odd = [name for name in names if not (isinstance(name, str) and _DEGREE.fullmatch(name))]
            require(not odd, f"{where}: degree", odd[:3], "names of a-z 0-9 + _ . - and spaces")
            alone = [name for item in range(40) for name in synthesizer.degree(_rows(params, item))]
            require(names == alone, f"{where}: degree of a batch", names, f"that of its items alone, {alone}")
            require(
                synthesizer.degree(synthesizer.sample(0, _generator())) == [],
                f"{where}: degree of no item",
                "some",
                "[]",
            )

    def test_identity_at_zero_strength(self) -> None:
        """``spec.identity`` gives every image back bit for bit."""
        if self.spec.identity is None:
            raise does_not_apply("the spec names no identity configuration")
        synthesizer = self.spec.build(self.spec.identity)
        for height, width in SIZES:
            clean = with_extremes(height, width)
            damaged = _apply(synthesizer, clean, synthesizer.sample(3, _generator()))
            require_equal(damaged, clean, f"identity: apply to {height} x {width} pixels", "the images bit for bit")

    def _each(self) -> Iterator[tuple[str, Synthesizer]]:
        for where, config in self.configs().items():
            yield where, self.spec.build(config)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _check_params(what: str, params: object, n: int) -> None:
    require(isinstance(params, Mapping) and params, what, repr(params), "a mapping with at least one parameter")
    for key, value in dict(params).items():  # type: ignore[call-overload]
        require(isinstance(key, str) and key and "/" not in key, what, f"a parameter {key!r}", "names without '/'")
        require(isinstance(value, Tensor), f"{what}['{key}']", type(value).__name__, "a tensor")
        stored = value.dtype in _STORED and value.device.type == "cpu" and not value.requires_grad
        form = f"{value.dtype} on {value.device}, requires_grad={value.requires_grad}"
        require(stored, f"{what}['{key}']", form, "bool, integer or float of at most 8 bytes, on the CPU, no gradient")
        require(
            value.ndim and len(value) == n, f"{what}['{key}']", f"shape {tuple(value.shape)}", f"a first axis of {n}"
        )


def _same_params(first: Params, second: Params, what: str) -> None:
    require(first.keys() == second.keys(), what, sorted(first), f"the same names, {sorted(second)}")
    for key in first:
        require_equal(first[key], second[key], f"{what}: '{key}'", "equal bits")


def _through_numpy(params: Params) -> Params:
    arrays = {key: np.ascontiguousarray(value.numpy()) for key, value in params.items()}
    loaded = {key: np.frombuffer(bytearray(a.tobytes()), a.dtype).reshape(a.shape) for key, a in arrays.items()}
    return {key: torch.from_numpy(array) for key, array in loaded.items()}


def _apply(synthesizer: Synthesizer, clean: Tensor, params: Params) -> Tensor:
    """``apply`` on copies, so that one which writes into its arguments breaks the rule about that and no other."""
    return synthesizer.apply(clean.clone(), {key: value.clone() for key, value in params.items()})


def _rows(params: Params, item: int) -> Params:
    return {key: value[item : item + 1] for key, value in params.items()}


def _with_threads(count: int, synthesizer: Synthesizer, clean: Tensor, params: Params) -> Tensor:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return _apply(synthesizer, clean, params)
    finally:
        torch.set_num_threads(before)
