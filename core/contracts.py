"""What a plugin provides and what the host expects of it (shapes: B batch, N items, D DR width).

Images are float32 RGB tensors in [0, 1] of shape (B, 3, H, W), sRGB values, unless a docstring says otherwise.
Nothing here imports torch at run time, so that listing plugins stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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

    ``type_of[p]`` is the index into ``types`` of prompt ``p``. ``captions``: what each photo shows, where the recipe
    names a caption file.
    """

    types: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    captions: tuple[str, ...] = ()

    @property
    def type_of(self) -> tuple[int, ...]:
        """Type index of every prompt."""
        return tuple(self.types.index(kind) for kind, _ in self.pairs)


@dataclass(frozen=True)
class Labels:
    """The true labels of N samples: ``prompt`` (N,) indexes ``prompts.pairs``."""

    prompt: NDArray[np.integer]
    prompts: Prompts


class LabelledClusterer(Protocol):
    """A clusterer that may look at the true labels (``ClustererSpec.labelled``)."""

    hierarchy_: Hierarchy

    def fit(self, dr: NDArray[np.float32], labels: Labels) -> LabelledClusterer:
        """As ``Clusterer.fit``."""
        ...


class Adapter(Protocol):
    """An ``nn.Module`` (B, 3, H, W) -> (B, 3, H, W) over another; its state dict holds only what it adds to that."""

    def merged(self) -> nn.Module:
        """The other network with this folded into its weights: same output, same cost."""
        ...


Network = Callable[["Tensor"], "Tensor"]
"""(1, 3, h, w) float32 in [0, 1], of a size it accepts, to the same shape."""


class Runtime(Protocol):
    """Runs networks, with the numbers that PyTorch gives (``unirestorer.core.runtimes``)."""

    @property
    def name(self) -> str:
        """How it is called: ``eager``, ``compile``, ``openvino``."""
        ...

    def prepare(self, module: nn.Module, key: str, size: SizeRequirement) -> Network:
        """``module`` in evaluation mode, ready to run on (1, 3, h, w) of whatever height and width ``size`` allows.

        key: a hash of architecture, configuration and weights; what is prepared may be kept on disk under it.
        """
        ...


C = TypeVar("C", bound=Config)
ObjectiveInput = Literal["images", "prompt", "photo", "clean"]
"""What an extractor is trained on: damaged crops (B, 3, H, W); (B,) int64 into ``Prompts.pairs``; (B,) int64 into
``Prompts.captions``; the truth of the crops."""


@dataclass(frozen=True)
class Published(Generic[C]):
    """A size at which an architecture was published: its number of parameters, and the ``source`` that says so."""

    variant: str
    config: C
    parameters: int
    source: str


@dataclass(frozen=True)
class SynthesizerSpec(Generic[C]):
    """Registers a degradation. ``presets`` holds its in- and out-of-distribution configs, by default ``config()``.

    ``undamaged``: what it makes counts as undamaged, the truth of a sample is the sample itself.
    ``identity``: a configuration at zero strength, which leaves every image as it is; ``None`` where there is none.
    ``recipe``: a YAML file that says how ``unirestorer extend degradation`` trains it, unless the user gives another.
    ``words``: what people also call it, for ``--task``; the name of another degradation means that one.
    """

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], Synthesizer]
    presets: Mapping[Preset, C] = field(default_factory=dict)
    undamaged: bool = False
    identity: C | None = None
    recipe: Path | None = None
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.presets:
            object.__setattr__(self, "presets", {"in": self.config(), "out": self.config()})


@dataclass(frozen=True)
class ExtractorSpec(Generic[C]):
    """Registers a DR extractor.

    ``objective(extractor, prompts)`` returns a module whose ``forward`` gets a batch of ``inputs``, in that order, and
    returns the scalar training loss; ``None`` for an extractor that is not trained here. ``training_side(config)`` is
    the side in pixels of the random crops it is trained on; ``None`` for whole samples.

    ``pretrained(extractor, config)`` puts the weights of files that ``config`` names into a new extractor: once, before
    training; a registry then keeps them. ``files(config)`` are the files whose content the result depends on.
    ``calibrate(extractor, batches)`` looks once at training samples (b, 3, H, W), after training, as PCA does.
    ``labelled(extractor, prompts)`` is the DR (P, D) of each prompt: training samples then get that of their label.
    ``trial``: a small configuration for the conformance kit; ``None`` for ``config()``.
    """

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], Any]
    objective: Callable[[Any, Prompts], nn.Module] | None = None
    training_side: Callable[[C], int] | None = None
    inputs: tuple[ObjectiveInput, ...] = ("images", "prompt")
    pretrained: Callable[[Any, C], None] | None = None
    files: Callable[[C], Sequence[Path]] | None = None
    calibrate: Callable[[Any, Iterable[Tensor]], None] | None = None
    labelled: Callable[[Any, Prompts], Tensor] | None = None
    trial: C | None = None


@dataclass(frozen=True)
class ExpertSpec(Generic[C]):
    """Registers an expert architecture. One of three makes the network, (B, 3, H, W) -> (B, 3, H, W):

    - ``build(config)``: untrained;
    - ``over(config, base)``: an ``Adapter`` over another expert's network, whose weights stay as they are;
    - ``revive(config, state)``: from a state dict, for networks that only a file of weights describes.

    ``recognise(state)``: the configuration whose network has just the parameter names and shapes of ``state``, else
    ``None``, or a ``ConfigError`` that says why not. ``licence``: SPDX identifier of the network's code; a field
    ``licence`` of its configuration comes first. ``published``: sizes known from papers. ``trial``: a small
    configuration for the conformance kit; ``None`` for ``config()``.
    """

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], nn.Module] | None = None
    size: SizeRequirement = SizeRequirement()
    licence: str = ""
    published: tuple[Published[C], ...] = ()
    recognise: Callable[[Mapping[str, Tensor]], C | None] | None = None
    revive: Callable[[C, Mapping[str, Tensor]], nn.Module] | None = None
    over: Callable[[C, nn.Module], Adapter] | None = None
    trial: C | None = None


@dataclass(frozen=True)
class ClustererSpec(Generic[C]):
    """Registers a clustering strategy; a ``labelled`` one is fitted to DRs and ``Labels`` (``LabelledClusterer``).

    What a fitted one has as ``notes_``, a tuple of lines, is shown and recorded: why it chose what it chose. One that
    knows names for its nodes has them in ``labelled_``, a ``LabelledTree``; else they are called after their samples.
    """

    name: str
    summary: str
    config: type[C]
    build: Callable[[C], Any]
    labelled: bool = False
    trial: C | None = None


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
