"""A chain of gated degradations, itself a ``Synthesizer``, and the text form of chains.

X = f_k(... f_2(f_1(Y))), each f_i applied with its own independent gate probability. The paper's order (supplement A)
is low light, blur, noise, rain, snow, haze, then JPEG; its gate probability is not published (0.5 is likely).

Text form: links separated by commas, each ``name`` or ``name:field=value:field=value``; a value is a number or a range
``low..high`` for a field that is a range, else whatever the field takes. Unnamed fields keep the preset's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import ValidationError
from torch import Tensor

from unirestorer.core.catalogue import validation_lines
from unirestorer.core.contracts import Config, Params, Preset, Synthesizer, SynthesizerSpec
from unirestorer.core.errors import ConfigError, UnknownNameError

from .items import per_item, pick

Wording = Literal["full", "names", "severity"]
HEAVIEST = ("large", "heavy", "thick")
"""Names of the heaviest degree of the built-in degradations."""
PAPER_ORDER = ("lowlight", "blur", "noise", "rain", "snow", "haze", "jpeg")

Specs = Mapping[str, SynthesizerSpec[Any]]


@dataclass(frozen=True)
class Link:
    """One step of a chain. ``config`` is kept so that the chain can be written down; ``None`` if it has none."""

    name: str
    synthesizer: Synthesizer
    config: Config | None = None


class Chain:
    """Applies ``links`` in order; item i passes through link j only where its gate is open.

    ``gate`` is the probability of each link, one for all or one each. ``wording``: what ``degree`` says. Raises
    ``ConfigError`` for an empty chain or bad probabilities. Two links of one name are told apart as ``noise`` and
    ``noise#2``.
    """

    def __init__(self, links: Sequence[Link], gate: float | Sequence[float] = 1.0, wording: Wording = "full") -> None:
        self.links = tuple(links)
        self.wording = wording
        self.gate = (float(gate),) * len(links) if isinstance(gate, (int, float)) else tuple(gate)
        if not links:
            raise ConfigError("a chain needs at least one degradation, got none")
        if len(self.gate) != len(links) or not all(0 <= value <= 1 for value in self.gate):
            raise ConfigError(f"gate: want {len(links)} probabilities in [0, 1], got {list(self.gate)}")
        self.labels = _labels([link.name for link in links])

    def sample(self, n: int, generator: torch.Generator) -> Params:
        """``gates`` bool (n, links), and each link's parameters as ``label.parameter``."""
        params = {"gates": torch.rand(n, len(self.links), generator=generator) < torch.tensor(self.gate)}
        for label, link in zip(self.labels, self.links, strict=True):
            drawn = link.synthesizer.sample(n, generator)
            params.update({f"{label}.{name}": value for name, value in drawn.items()})
        return params

    def apply(self, clean: Tensor, params: Params) -> Tensor:
        """Damaged images (n, 3, H, W) in [0, 1]; those whose gates are all closed come back clipped to [0, 1]."""
        images = per_item(clean, params, (), torch.clone)
        for step, (label, link) in enumerate(zip(self.labels, self.links, strict=True)):
            rows = params["gates"][:, step].nonzero()[:, 0]
            if len(rows):
                images[rows] = link.synthesizer.apply(images[rows], pick(own_params(params, label), rows))
        return images

    def degree(self, params: Params) -> list[str]:
        """What is open, in the chain's wording, "none" where all gates are closed.

        ``full``: "noise small + rain large". ``names``: "noise + rain". ``severity``: "heavy" where at least half of
        the open links are of their heaviest degree, else "light"; for mixtures with too many degrees to tell apart.
        """
        degrees = [
            link.synthesizer.degree(own_params(params, label))
            for label, link in zip(self.labels, self.links, strict=True)
        ]
        found = []
        for item, gates in enumerate(params["gates"].tolist()):
            opened = [
                (link.name, degree[item])
                for link, degree, is_open in zip(self.links, degrees, gates, strict=True)
                if is_open
            ]
            found.append(_worded(opened, self.wording) if opened else "none")
        return found


def _worded(opened: Sequence[tuple[str, str]], wording: Wording) -> str:
    if wording == "severity":
        return "heavy" if 2 * sum(degree in HEAVIEST for _, degree in opened) >= len(opened) else "light"
    return " + ".join(name if wording == "names" else f"{name} {degree}" for name, degree in opened)


def _labels(names: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(labels)


def own_params(params: Params, label: str) -> Params:
    """The parameters of one link of a chain, without the label."""
    prefix = f"{label}."
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def parse_chain(
    text: str,
    specs: Specs,
    preset: Preset = "in",
    gate: float | Sequence[float] = 1.0,
    wording: Wording = "full",
) -> Chain:
    """The chain that ``text`` describes (see the module's text), built from ``preset`` with the given values replaced.

    Raises ``ConfigError`` with every problem of every link at once, each line naming the item.
    """
    problems: list[str] = []
    links: list[Link] = []
    for number, item in enumerate(text.split(","), start=1):
        where = f"chain item {number} '{item.strip()}'"
        try:
            links.append(_link(item.strip(), specs, preset, where))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return Chain(links, gate, wording)


def _link(item: str, specs: Specs, preset: Preset, where: str) -> Link:
    name, *settings = (part.strip() for part in item.split(":"))
    if not name:
        raise ConfigError(f"{where}: no degradation named; known: {', '.join(sorted(specs))}")
    if name not in specs:
        raise ConfigError(f"{where}: {UnknownNameError('degradation', name, specs)}")
    values = specs[name].presets[preset].model_dump()
    given: set[str] = set()
    problems: list[str] = []
    for setting in settings:
        try:
            field, value = _setting(setting, name, specs[name].config)
            if field in given:
                raise ValueError(f"field '{field}' is given twice")
            given.add(field)
            values[field] = value
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return build_link(specs[name], values, where, problems)


def _setting(setting: str, name: str, model: type[Config]) -> tuple[str, Any]:
    """The field and the value of ``field=value``; raises ``ValueError`` saying what is wrong with it."""
    field, equals, text = (part.strip() for part in setting.partition("="))
    if not equals or not text:
        raise ValueError(f"want field=value, got '{setting}'")
    if field not in model.model_fields:
        known = ", ".join(model.model_fields) or "none"
        raise ValueError(f"unknown field '{field}' of {name}; known: {known}")
    annotation = model.model_fields[field].annotation
    if get_origin(annotation) is not tuple:
        return field, text
    low, dots, high = text.partition("..")
    number = int if get_args(annotation)[0] is int else float
    try:
        return field, (number(low), number(high if dots else low))
    except ValueError:
        wanted = "a whole number" if number is int else "a number"
        raise ValueError(f"{field}: want {wanted} or a range low..high, got '{text}'") from None


def build_link(spec: SynthesizerSpec[Any], values: Mapping[str, Any], where: str, problems: Sequence[str] = ()) -> Link:
    """The link of ``spec`` with the config ``values``.

    Raises ``ConfigError`` with ``problems`` and all that the config finds wrong, each line beginning with ``where``.
    """
    try:
        config = spec.config.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError([*problems, *validation_lines(error, where)]) from None
    if problems:
        raise ConfigError(problems)
    try:
        return Link(spec.name, spec.build(config), config)
    except ConfigError as error:
        raise ConfigError([f"{where}: {problem}" for problem in error.problems]) from None
