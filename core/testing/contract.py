"""What the contracts of all kinds share: the base class, messages, comparing bits, and process-wide state."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from ..contracts import Config

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_UNLIKELY = 776_531_419


class Contract:
    """Rules as methods ``test_...``; each raises where the plugin breaks it, ``SkipTest`` where it does not apply.

    A subclass sets ``spec``, and ``config`` where not its trial, its default or its presets shall be checked.
    """

    spec: Any
    config: Config | None = None

    @classmethod
    def rules(cls) -> list[str]:
        """Names of the methods that are rules, those of base classes first."""
        names = (name for base in reversed(cls.__mro__) for name in vars(base) if name.startswith("test_"))
        return list(dict.fromkeys(names))

    def configs(self) -> dict[str, Config]:
        """The configurations to check, by a name for messages."""
        trial = getattr(self.spec, "trial", None)
        return {"config": self.config or trial or self.spec.config()}

    def test_spec_is_well_formed(self) -> None:
        """The name fits the grammar, the summary is one line, configurations survive being written as JSON."""
        spec = self.spec
        require(_NAME.fullmatch(str(spec.name)), "name", repr(spec.name), "a lower-case letter, then a-z 0-9 _ . -")
        one_line = isinstance(spec.summary, str) and spec.summary.strip() and len(spec.summary.splitlines()) == 1
        require(one_line, "summary", repr(spec.summary), "one line of text")
        is_model = isinstance(spec.config, type) and issubclass(spec.config, Config)
        require(is_model, "config", repr(spec.config), "a subclass of unirestorer.core.Config")
        settings = spec.config.model_config
        strict = settings.get("frozen") and settings.get("extra") == "forbid"
        require(strict, "config.model_config", repr(settings), "frozen=True and extra='forbid', as in Config")
        for name, config in self.configs().items():
            require(isinstance(config, spec.config), name, repr(config), f"a {spec.config.__name__}")
            again = through_json(config)
            require(again == config, f"{name} written as JSON and read again", repr(again), repr(config))


def require(holds: object, what: str, got: object, wanted: str) -> None:
    """Raise ``AssertionError`` in one line unless ``holds``; no assert statement, so that ``python -O`` checks too."""
    if not holds:
        raise AssertionError(f"{what}: got {got}, wanted {wanted}")


def require_equal(first: object, second: object, what: str, wanted: str, tolerance: float = 0) -> None:
    """Two tensors of equal shape, dtype and bits, or within ``tolerance`` (absolute, or relative where beyond 1)."""
    require(isinstance(first, Tensor) and isinstance(second, Tensor), what, f"{type(first)}, {type(second)}", "tensors")
    a, b = torch.as_tensor(first), torch.as_tensor(second)
    same_form = a.shape == b.shape and a.dtype == b.dtype
    require(same_form, what, f"{tuple(a.shape)} {a.dtype} and {tuple(b.shape)} {b.dtype}", wanted)
    if not torch.equal(a, b):
        gap = (a.double() - b.double()).abs()
        close = tolerance > 0 and bool((gap <= tolerance * b.double().abs().clamp(min=1)).all())
        require(
            close, what, f"{int((a != b).sum())} of {a.numel()} values that differ, by up to {gap.max():.3g}", wanted
        )


def require_range(image: object, shape: Sequence[int], what: str, *, limits: bool) -> None:
    """A finite float32 tensor of ``shape``; with ``limits`` also in [0, 1]."""
    require(isinstance(image, Tensor), what, type(image).__name__, "a tensor")
    tensor = torch.as_tensor(image)
    good = tuple(tensor.shape) == tuple(shape) and tensor.dtype == torch.float32
    require(good, what, f"{tuple(tensor.shape)} {tensor.dtype}", f"{tuple(shape)} torch.float32")
    require(torch.isfinite(tensor).all(), what, "values that are infinite or not a number", "finite values")
    if limits and tensor.numel():
        low, high = float(tensor.min()), float(tensor.max())
        require(low >= 0 and high <= 1, what, f"values in [{low:.4g}, {high:.4g}]", "values in [0, 1]")


def does_not_apply(reason: str) -> SkipTest:
    """To be raised by a rule that this plugin need not keep."""
    return SkipTest(f"does not apply: {reason}")


def through_json(config: Config) -> Config:
    """``config`` as a registry gives it back."""
    return type(config).model_validate(config.model_dump(mode="json"))


@contextmanager
def random_state(seed: int, torch_seed: int | None = None) -> Iterator[None]:
    """Global random state of Python, NumPy and torch (CPU) from ``seed``; afterwards as it was before.

    ``torch_seed`` seeds torch otherwise: the host seeds torch alone when it builds a network.
    """
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.default_generator.manual_seed(seed if torch_seed is None else torch_seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)


@contextmanager
def world_unchanged(what: str) -> Iterator[None]:
    """Fails where the block changes state that the whole process shares."""
    with random_state(_UNLIKELY):  # a plugin that always sets the same seed would else find it set already
        before = _world()
        yield
        changed = [name for name, value in _world().items() if value != before[name]]
    wanted = "process-wide state as it was; draw from a generator of your own"
    require(not changed, what, f"a change of {', '.join(changed)}", wanted)


def _world() -> dict[str, object]:
    _, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "NumPy's random state": (np.asarray(keys).tobytes(), *rest),
        "Python's random state": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's gradient mode": torch.is_grad_enabled(),
    }
