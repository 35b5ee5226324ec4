"""What a plugin provides and what the host expects of it (shapes: B batch, N items, D DR width).

Images are float32 RGB tensors in [0, 1] of shape (B, 3, H, W), sRGB values, unless a docstring says otherwise.
Nothing here imports torch at run time, so that listing plugins stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from .hierarchy import Hierarchy

Params = Mapping[str, "Tensor"]
"""Parameters of n applications of a synthesizer: tensors whose first axis is n."""

Preset = Literal["in", "out"]
"""In-distribution or out-of-distribution parameter ranges."""


class Config(BaseModel):
    """Base of every plugin's configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Synthesizer(Protocol):
    """Damages clean images with known type and degree."""

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """Draw the parameters of ``n`` applications. All randomness comes from ``generator`` (a CPU generator).

        Whatever ``apply`` needs to be random about (noise, streaks) is sampled here as an int64 ``seed`` of shape (n,).
        """
        ...

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Damage ``clean`` (n, 3, H, W); pure and deterministic: equal arguments give equal bits, at any batch size."""
        ...

    def degree(self, params: Params) -> list[str]:
        """The degree name of each of the n items, for example ``["small", "large"]``."""
        ...


class Extractor(Protocol):
    """Maps images to degradation representations (DRs). An implementation is also an ``nn.Module``."""

    @property
    def dim(self) -> int:
        """Width D of the representation."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], any H and W, to raw (not normalised) representations (B, D)."""
        ...


class Clusterer(Protocol):
    """Builds a hierarchy from DRs; scikit-learn style: parameters in ``__init__``, ``fit`` returns self."""

    hierarchy_: Hierarchy

    def fit(self, dr: NDArray[np.float32]) -> Clusterer:
        """Cluster ``dr`` (N, D) and set ``hierarchy_``. Fitting twice gives equal results."""
        ...


@dataclass(frozen=True)
class SizeRequirement:
    """Input sizes a network accepts; the host pads (reflect) and crops back."""

    multiple: int = 1
    minimum: int = 1


@dataclass(frozen=True)
class Prompts:
    """The label vocabulary of a training set: one prompt per (type, degree) pair; ``types`` are the distinct types.

    ``type_of[p]`` is the index into ``types`` of prompt ``p``.
    """

    types: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def type_of(self) -> tuple[int, ...]:
        """Type index of every prompt."""
        return tuple(self.types.index(kind) for kind, _ in self.pairs)


C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class SynthesizerSpec(Generic[C]):
    """Registers a degradation. ``presets`` holds its in- and out-of-distribution configs, by default ``config()``.

    ``undamaged``: what it makes counts as undamaged, the truth of a sample is the sample itself.
    ``identity``: a configuration at zero strength, which leaves every image as it is; ``None`` where there is none.
    ``recipe``: a YAML file that says how ``unirestorer extend degradation`` trains it, unless the user gives another.
    """

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], Synthesizer]
    presets: Mapping[Preset, C] = field(default_factory=dict)
    undamaged: bool = False
    identity: C | None = None
    recipe: Path | None = None

    def __post_init__(self) -> None:
        if not self.presets:
            object.__setattr__(self, "presets", {"in": self.config(), "out": self.config()})


@dataclass(frozen=True)
class ExtractorSpec(Generic[C]):
    """Registers a DR extractor.

    ``objective(extractor, prompts)`` returns a module whose ``forward(images (B, 3, H, W), prompt (B,) int64)`` is the
    scalar training loss; ``None`` for an extractor that is not trained here. ``training_side(config)`` is the side in
    pixels of the random crops it is trained on; ``None`` for whole samples.
    """

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], Any]
    objective: Callable[[Any, Prompts], nn.Module] | None = None
    training_side: Callable[[C], int] | None = None


@dataclass(frozen=True)
class ExpertSpec(Generic[C]):
    """Registers an expert architecture: ``build(config)`` is an untrained (B, 3, H, W) -> (B, 3, H, W) network."""

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], nn.Module]
    size: SizeRequirement = SizeRequirement()


@dataclass(frozen=True)
class ClustererSpec(Generic[C]):
    """Registers a clustering strategy."""

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], Clusterer]


Spec = SynthesizerSpec[Any] | ExtractorSpec[Any] | ExpertSpec[Any] | ClustererSpec[Any]


@dataclass(frozen=True)
class StageReport:
    """What a pipeline stage did: a one-line summary, its figures and wall time in seconds."""

    stage: str
    summary: str
    seconds: float
    skipped: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One item of a registry: named arrays (a name may contain ``/``) and JSON attributes."""

    arrays: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any]


RecordKey = tuple[str, str]
"""(kind, name), for example ``("experts", "tiny/3")``; kinds are the folders of registry/FORMAT.md."""


@runtime_checkable
class Store(Protocol):
    """What the method needs of a registry. Every write is one atomic commit."""

    @property
    def read_only(self) -> bool:
        """Whether ``write`` is refused."""
        ...

    def names(self, kind: str) -> list[str]:
        """Sorted names of the records of ``kind``."""
        ...

    def exists(self, kind: str, name: str) -> bool:
        """Whether the record is there."""
        ...

    def attributes(self, kind: str, name: str) -> Mapping[str, Any]:
        """The attributes alone; does not read arrays."""
        ...

    def read(self, kind: str, name: str) -> Record:
        """The whole record, its hashes, shapes and versions verified. Raises ``RegistryError``."""
        ...

    def write(self, records: Mapping[RecordKey, Record], *, message: str, author: str) -> str:
        """Replace the given records in one commit; returns the commit id."""
        ...
