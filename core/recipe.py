"""Recipes: one YAML file says all that a training run does. Wrong keys, values and names are reported all at once."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator

from .catalogue import Catalogue
from .contracts import Config, Preset
from .errors import ConfigError, UniRestorerError
from .ties import DEFAULT

Fraction = Field(ge=0.0, le=1.0)


class TrainingConfig(Config):
    """One run of the training loop: AdamW, linear warm-up, cosine decay to 1 % of ``lr``, weight averaging (EMA)."""

    steps: PositiveInt
    batch: PositiveInt = 8
    lr: PositiveFloat = 1e-3
    warmup: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    clip: PositiveFloat = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: PositiveInt = 500


class DegradationChoice(Config):
    """One degradation of the training mix: a preset, fields of its configuration that replace it, a share."""

    preset: Preset = "in"
    set: Mapping[str, Any] = {}
    weight: PositiveFloat = 1.0


class SynthesizeConfig(Config):
    """How many samples are drawn, of which size (pixels), from which degradations; fractions of photos kept apart."""

    samples: int = Field(ge=8)
    crop: int = Field(default=320, ge=16)
    calibration: float = Field(default=0.12, gt=0, lt=0.4)
    heldout: float = Field(default=0.06, gt=0, lt=0.4)
    degradations: Mapping[str, DegradationChoice] = Field(min_length=1)


class ExtractorConfig(Config):
    """The extractor plugin, its configuration, and how it is trained (contrast needs batches of at least two)."""

    name: str
    config: Mapping[str, Any] = {}
    training: TrainingConfig | None = None

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


class ExpertsConfig(Config):
    """The expert architecture, one training run per level (coarsest first), and which damage needs no network."""

    name: str
    config: Mapping[str, Any] = {}
    identity: str = "clean"
    identity_share: float = Field(default=0.8, gt=0.5, le=1.0)
    patch: PositiveInt = 128
    levels: tuple[TrainingConfig, ...] = Field(min_length=1)


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
    standardised DRs in training, so that routers do not learn them by heart.
    """

    objective: Literal["paper", "expected"] = "expected"
    cost: Literal["l1", "db"] = "db"
    alpha: float = Field(default=0.1, ge=0)
    beta: float = Field(default=0.01, ge=0)
    jitter: float = Field(default=0.1, ge=0)
    explore: float = Field(default=0.3, ge=0, lt=1)
    training: TrainingConfig


class Recipe(Config):
    """A whole training run."""

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
    cluster: ClusterConfig
    experts: ExpertsConfig
    costs: CostsConfig = CostsConfig()
    routers: RoutersConfig


Place = tuple[str | int, ...]
Problem = tuple[Place, str]
"""Where in a recipe something is wrong, for example ``("cluster", "config")``, and what."""


def load_recipe(path: Path, catalogue: Catalogue) -> Recipe:
    """Read and check a recipe. Raises ``ConfigError`` with one line per problem: file, line, field, what is wrong."""
    tree, values = read_mapping(path, "a recipe is a mapping with name, synthesize, extractor, ...")
    recipe, problems = check_recipe(values, catalogue)
    if problems or recipe is None:
        raise ConfigError(
            [f"{path}:{locate(tree, loc)[1]}: {'.'.join(map(str, loc))}: {text}" for loc, text in problems]
        )
    return recipe


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
    problems: list[Problem] = []
    recipe = None
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        problems += [(item["loc"], f"{item['msg']} (got {item['input']!r})") for item in error.errors()]
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
    kinds = (("extractor", catalogue.extractor), ("cluster", catalogue.clusterer), ("experts", catalogue.expert))
    for section, find in kinds:
        block = values.get(section)
        if isinstance(block, dict) and isinstance(block.get("name"), str):
            try:
                _collect(find(block["name"]).config, block.get("config", {}), (section, "config"), problems)
            except UniRestorerError as error:
                problems.append(((section, "name"), str(error)))
    problems += _size_problems(values, catalogue) + _training_problems(values, catalogue)
    synthesize = values.get("synthesize")
    degradations = synthesize.get("degradations") if isinstance(synthesize, dict) else None
    places: dict[Place, tuple[Any, Any]] = {}
    for name, choice in _items(degradations):
        places["synthesize", "degradations", str(name)] = (name, choice)
    costs = values.get("costs")
    extra = costs.get("extra") if isinstance(costs, dict) else None
    for number, choice in enumerate(extra if isinstance(extra, list) else ()):
        if isinstance(choice, dict) and "degradation" in choice:
            places["costs", "extra", number] = (choice["degradation"], choice)
    for place, (name, choice) in places.items():
        try:
            model = catalogue.synthesizer(str(name)).config
        except UniRestorerError as error:
            problems.append((place, str(error)))
            continue
        if isinstance(choice, dict):
            _collect(model, choice.get("set", {}), (*place, "set"), problems)
    return problems


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _size_problems(values: Mapping[str, Any], catalogue: Catalogue) -> list[Problem]:
    """Patches that the expert architecture cannot take."""
    experts, costs = values.get("experts"), values.get("costs")
    if not isinstance(experts, dict) or experts.get("name") not in catalogue.experts:
        return []
    name, multiple = experts["name"], catalogue.experts[experts["name"]].size.multiple
    blocks = {"experts": experts, "costs": costs if isinstance(costs, dict) else {}}
    patches = {section: block.get("patch", 128) for section, block in blocks.items()}
    wrong = {section: patch for section, patch in patches.items() if isinstance(patch, int) and patch % multiple}
    return [
        ((section, "patch"), f"{name} needs a multiple of {multiple} (got {got})") for section, got in wrong.items()
    ]


def _training_problems(values: Mapping[str, Any], catalogue: Catalogue) -> list[Problem]:
    """An extractor with an objective and no training."""
    block = values.get("extractor")
    spec = catalogue.extractors.get(str(block.get("name"))) if isinstance(block, dict) else None
    if not isinstance(block, dict) or spec is None or spec.objective is None or block.get("training") is not None:
        return []
    return [(("extractor", "training"), f"missing, and the extractor '{spec.name}' is trained by its recipe")]


def _collect(model: type[Config], values: Any, place: Place, problems: list[Problem]) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            if item["type"] != "missing" or place[-1] != "set":
                problems.append(((*place, *item["loc"]), f"{item['msg']} (got {item['input']!r})"))


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
