"""Recipes: one YAML file says all that a training run does. Wrong keys, values and names are reported all at once."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator

from .catalogue import Catalogue, said
from .contracts import Config, ExtractorSpec, Preset
from .datasets import find as find_dataset
from .errors import ConfigError, UniRestorerError
from .overlay import overlaid
from .recipe_experts import expert_choices, expert_problems
from .ties import DEFAULT

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class TrainingConfig(Config):
    """One run of the training loop: linear warm-up, then ``schedule``, gradients clipped, weights averaged (EMA).

    ``schedule``: ``cosine`` from ``lr`` down to ``floor`` times ``lr``, or ``constant``. ``weight_decay`` is that of
    AdamW, with ``adam`` an L2 penalty; of ``all`` parameters, or of ``matrices`` alone, which spares biases,
    normalisation and temperatures. ``ema`` 0: no averaging.
    """

    steps: PositiveInt
    batch: PositiveInt = 8
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: PositiveFloat = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Literal["cosine", "constant"] = "cosine"
    floor: Fraction = 0.01
    warmup: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    decayed: Literal["all", "matrices"] = "all"
    eps: PositiveFloat = 1e-8
    ema: float = Field(default=0.995, ge=0, lt=1)
    clip: PositiveFloat = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: PositiveInt = 500


class DegradationChoice(Config):
    """One degradation of the training mix: a preset, fields of its configuration that replace it, a share."""

    preset: Preset = "in"
    set: Mapping[str, Any] = {}
    weight: PositiveFloat = 1.0


class PairsChoice(Config):
    """Given pairs of the training mix: a split of a data set that ``unirestorer datasets`` lists, and a share.

    ``root``: its folder; a relative one, or the set's own name by default, lies in the folder of data sets that
    ``unirestorer train --datasets`` names. ``degree``: what to call it, by default what the data set says of each pair,
    else its name. ``only``: the degrees to take.
    """

    dataset: str
    split: str = "train"
    root: Path | None = None
    degree: str | None = None
    only: tuple[str, ...] = ()
    weight: PositiveFloat = 1.0


class SynthesizeConfig(Config):
    """How many samples are drawn, of which size (pixels), of what; fractions of photos kept apart.

    ``degradations`` damage clean photos, ``pairs`` are given, by damage type; samples are shared out by all weights.
    """

    samples: int = Field(ge=8)
    crop: int = Field(default=320, ge=16)
    calibration: float = Field(default=0.12, gt=0, lt=0.4)
    heldout: float = Field(default=0.06, gt=0, lt=0.4)
    degradations: Mapping[str, DegradationChoice] = {}
    pairs: Mapping[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")], tuple[PairsChoice, ...]] = {}

    @model_validator(mode="after")
    def _draws_something(self) -> SynthesizeConfig:
        if not self.degradations and not any(self.pairs.values()):
            raise ValueError("has neither degradations nor pairs; give at least one")
        return self


class ExtractorConfig(Config):
    """The extractor plugin, its configuration, and how it is trained (contrast needs batches of at least two).

    ``training: none`` in a recipe, here ``None``: it is used as given, with the weights that its configuration names or
    random ones. ``captions``: a file that says what each photo shows (from ``unirestorer captions``), for extractors
    that use it.
    """

    name: str
    config: Mapping[str, Any] = {}
    training: TrainingConfig | None = None
    captions: Path | None = None

    @field_validator("training", mode="before")
    @classmethod
    def _or_none(cls, training: Any) -> Any:
        return None if training == "none" else training

    @field_validator("training")
    @classmethod
    def _has_pairs(cls, training: TrainingConfig | None) -> TrainingConfig | None:
        if training is not None and training.batch < 2:
            raise ValueError("training.batch must be at least 2")
        return training


class ClusterConfig(Config):
    """The clusterer plugin and its configuration."""

    name: str
    config: Mapping[str, Any] = {}


class ExpertChoice(Config):
    """An expert architecture and its configuration."""

    name: str
    config: Mapping[str, Any] = {}


class ExpertsConfig(Config):
    """The expert architecture, one training run per level (coarsest first), and which damage needs no network.

    ``types``: other architectures for nodes of a damage type, below the root. ``adapter``: every other node below the
    root is this adapter (``lora``) over the root's expert.
    """

    name: str
    config: Mapping[str, Any] = {}
    types: Mapping[str, ExpertChoice] = {}
    adapter: ExpertChoice | None = None
    identity: str = "clean"
    identity_share: float = Field(default=0.8, gt=0.5, le=1.0)
    patch: PositiveInt = 128
    levels: tuple[TrainingConfig, ...] = Field(min_length=1)

    def of(self, kind: str, *, root: bool) -> ExpertChoice:
        """The architecture of a node of the damage type ``kind``."""
        main = ExpertChoice(name=self.name, config=self.config)
        return main if root else self.types.get(kind) or self.adapter or main


class ExtraChoice(DegradationChoice):
    """Samples for the routers alone: damage, or the lack of it, that no expert was trained for."""

    degradation: str
    samples: PositiveInt


class CostsConfig(Config):
    """What every expert is tried on, at which patch size.

    ``samples`` of the training samples, all calibration samples, and ``extra`` ones that are drawn for the routers
    alone, so that they know what their experts do to photos of other kinds.
    """

    samples: PositiveInt = 2000
    patch: PositiveInt = 128
    extra: tuple[ExtraChoice, ...] = ()


class RoutersConfig(Config):
    """Router objective and weights of its terms (paper eq. 9: alpha 0.1, beta 0.01).

    ``explore``: share of uniform probability mixed into the levels in training. Without it the level router soon falls
    for the safe root, after which the leaf router gets no gradient. ``jitter``: deviation of noise added to
    standardised DRs in training, so that routers do not learn them by heart. ``norm``: the authors' heads end in batch
    normalisation; ``none`` decides alike for one image and for many. ``top_k``: experts that are run and blended.
    ``temperature`` divides the logits, before ``calibrate`` fits one for each router on the calibration samples.
    ``balance``: whether the load of leaves is balanced, too, or as in the authors' release that of levels only.
    """

    objective: Literal["paper", "expected"] = "expected"
    cost: Literal["l1", "db"] = "db"
    alpha: float = Field(default=0.1, ge=0)
    beta: float = Field(default=0.01, ge=0)
    jitter: float = Field(default=0.1, ge=0)
    explore: float = Field(default=0.3, ge=0, lt=1)
    norm: Literal["none", "batch"] = "none"
    top_k: PositiveInt = 1
    temperature: float = Field(default=1.0, gt=0, le=100)
    calibrate: bool = True
    balance: Literal["both", "level"] = "both"
    training: TrainingConfig

    @model_validator(mode="after")
    def _has_statistics(self) -> RoutersConfig:
        if self.norm == "batch" and self.training.batch < 2:
            raise ValueError("training.batch must be at least 2 with norm: batch (got 1); or say norm: none")
        return self


class ExtractorRecipe(Config):
    """What ``unirestorer train-extractor`` does: samples, and the extractor that is trained on them."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0, lt=2**31)

    @field_validator("name")
    @classmethod
    def _is_no_version(cls, name: str) -> str:
        if name == DEFAULT or (name.rpartition(".")[2].isdecimal() and "." in name):
            raise ValueError("'default' and names ending in .NUMBER are those of model versions; choose another")
        return name

    synthesize: SynthesizeConfig
    extractor: ExtractorConfig
    smoke: Mapping[str, Any] = Field(default={}, description="put over the rest by --smoke: few steps, small networks")


class Recipe(ExtractorRecipe):
    """A whole training run."""

    cluster: ClusterConfig
    experts: ExpertsConfig
    costs: CostsConfig = CostsConfig()
    routers: RoutersConfig


R = TypeVar("R", bound=ExtractorRecipe)
Place = tuple[str | int, ...]
Problem = tuple[Place, str]
"""Where in a recipe something is wrong, for example ``("cluster", "config")``, and what."""


def load_recipe(path: Path, catalogue: Catalogue, *, smoke: bool = False) -> Recipe:
    """Read and check a recipe; with ``smoke`` its ``smoke`` part is put over the rest, and "-smoke" after its name.

    Raises ``ConfigError`` with one line per problem: file, line, field, what is wrong.
    """
    return _load(path, catalogue, Recipe, smoke)


def load_extractor_recipe(path: Path, catalogue: Catalogue, *, smoke: bool = False) -> ExtractorRecipe:
    """As ``load_recipe`` of a recipe that may end with the extractor; what comes after that is not looked at."""
    return _load(path, catalogue, ExtractorRecipe, smoke)


def _load(path: Path, catalogue: Catalogue, model: type[R], smoke: bool) -> R:
    tree, values = read_mapping(path, "a recipe is a mapping with name, synthesize, extractor, ...")
    change = values.get("smoke")
    if smoke:
        if not isinstance(change, dict) or not change:
            raise ConfigError(f"{path}: has no part 'smoke', a smaller version of itself; leave --smoke out")
        values = {**overlaid(values, change), "name": f"{values.get('name')}-smoke"}
    later = Recipe.model_fields.keys() - model.model_fields.keys()
    recipe, problems = _checked({key: value for key, value in values.items() if key not in later}, catalogue, model)
    if problems or recipe is None:
        raise ConfigError(
            [f"{path}:{_line(tree, loc, smoke)}: {'.'.join(map(str, loc))}: {text}" for loc, text in problems]
        )
    return recipe


def _line(tree: yaml.Node | None, loc: Place, smoke: bool) -> int:
    """The line of ``loc``, in the part ``smoke`` where that says it as exactly."""
    depth, line = locate(tree, loc)
    over = locate(tree, ("smoke", *loc)) if smoke else (0, line)
    return over[1] if over[0] > depth else line


def read_mapping(path: Path, wanted: str) -> tuple[yaml.Node | None, dict[Any, Any]]:
    """The YAML mapping in ``path``, as nodes with lines and as values; ``ConfigError`` says ``wanted`` of others."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read it: {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: for example an impossible date
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {wanted}; got {type(values).__name__}")
    return tree, values


def check_recipe(values: Mapping[Any, Any], catalogue: Catalogue) -> tuple[Recipe | None, list[Problem]]:
    """The recipe that ``values`` make, and everything that is wrong with them, plugins' names and configs included."""
    return _checked(values, catalogue, Recipe)


def _checked(values: Mapping[Any, Any], catalogue: Catalogue, model: type[R]) -> tuple[R | None, list[Problem]]:
    problems: list[Problem] = []
    recipe = None
    try:
        recipe = model.model_validate(values)
    except ValidationError as error:
        problems += [(item["loc"], said(item)) for item in error.errors()]
    return recipe, problems + _plugin_problems(values, catalogue)


def fingerprint(*parts: Any) -> str:
    """A hash of JSON-able ``parts`` (pydantic models included) that decides whether a stage is already done."""
    dumped = [part.model_dump(mode="json") if isinstance(part, Config) else part for part in parts]
    return hashlib.sha256(json.dumps(dumped, sort_keys=True, default=str).encode()).hexdigest()


def code_stamp(thing: object) -> str:
    """Hash of the source file that defines the type of ``thing``, so that an edited plugin counts as another one."""
    module = sys.modules.get(type(getattr(thing, "_made", thing)).__module__)
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else ""


def _plugin_problems(values: Mapping[str, Any], catalogue: Catalogue) -> list[Problem]:
    """Names and configurations that plugins own, checked against the catalogue, whatever else is wrong."""
    problems: list[Problem] = []
    finders: dict[str, Callable[[str], Any]] = {"extractor": catalogue.extractor, "cluster": catalogue.clusterer}
    named = {(section,): values.get(section) for section in finders} | expert_choices(values)
    for place, block in named.items():
        if isinstance(block, dict) and isinstance(block.get("name"), str):
            try:
                find: Callable[[str], Any] = finders.get(str(place[0]), catalogue.expert)
                _collect(find(block["name"]).config, block.get("config", {}), (*place, "config"), problems)
            except UniRestorerError as error:
                problems.append(((*place, "name"), str(error)))
    problems += [*expert_problems(values, catalogue), *_extractor_problems(values, catalogue)]
    synthesize = values.get("synthesize")
    degradations = synthesize.get("degradations") if isinstance(synthesize, dict) else None
    drawn: dict[Place, tuple[Any, Any]] = {}
    for name, choice in _items(degradations):
        drawn["synthesize", "degradations", str(name)] = (name, choice)
    costs = values.get("costs")
    extra = costs.get("extra") if isinstance(costs, dict) else None
    for number, choice in enumerate(extra if isinstance(extra, list) else ()):
        if isinstance(choice, dict) and "degradation" in choice:
            drawn["costs", "extra", number] = (choice["degradation"], choice)
    for place, (name, choice) in drawn.items():
        try:
            model = catalogue.synthesizer(str(name)).config
        except UniRestorerError as error:
            problems.append((place, str(error)))
            continue
        if isinstance(choice, dict):
            _collect(model, choice.get("set", {}), (*place, "set"), problems)
    return problems + _pair_problems(synthesize)


def _pair_problems(synthesize: Any) -> list[Problem]:
    """Data sets and splits that nobody knows, and sets without pairs."""
    problems: list[Problem] = []
    for kind, choices in _items(synthesize.get("pairs") if isinstance(synthesize, dict) else None):
        for number, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict) and "dataset" in choice:
                try:
                    about = find_dataset(str(choice["dataset"]))
                    about.split(str(choice.get("split", "train")))
                    if about.kind != "pairs":
                        raise ConfigError(f"'{about.name}' has no pairs; its photos can be damaged: train --data")
                except UniRestorerError as error:
                    problems.append((("synthesize", "pairs", str(kind), number), str(error)))
    return problems


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _extractor_problems(values: Mapping[str, Any], catalogue: Catalogue) -> list[Problem]:
    """An extractor with an objective, without weights and training; captions for one that is not trained on them."""
    block = values.get("extractor")
    spec = catalogue.extractors.get(str(block.get("name"))) if isinstance(block, dict) else None
    if not isinstance(block, dict) or spec is None:
        return []
    problems: list[Problem] = []
    if block.get("training") is None and spec.objective is not None and not _has_weights(spec, block):
        text = f"missing, and '{spec.name}' is trained by its recipe; or say 'training: none' to use it untrained"
        problems.append((("extractor", "training"), text))
    if block.get("captions") is not None and "photo" not in spec.inputs:
        text = f"'{spec.name}' is not trained on captions (got {block['captions']!r}); leave them out"
        problems.append((("extractor", "captions"), text))
    return problems


def _has_weights(spec: ExtractorSpec[Any], block: Mapping[str, Any]) -> bool:
    """Whether its configuration names a file; also where that is wrong, which is another problem."""
    try:
        return spec.files is not None and bool(spec.files(spec.config.model_validate(block.get("config", {}))))
    except (ValidationError, UniRestorerError):
        return True


def _collect(model: type[Config], values: Any, place: Place, problems: list[Problem]) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            if item["type"] != "missing" or place[-1] != "set":
                problems.append(((*place, *item["loc"]), said(item)))


def locate(tree: yaml.Node | None, loc: Sequence[str | int]) -> tuple[int, int]:
    """How many leading parts of ``loc`` are in the file, and the line of the last of them."""
    depth, line, node = 0, 1, tree
    for part in loc:
        step = _child(node, part)
        if step is None:
            break
        depth, (line, node) = depth + 1, step
    return depth, line


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None
