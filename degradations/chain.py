"""A chain of gated degradations, itself a ``Synthesizer``, and the text form of chains.

X = f_k(... f_2(f_1(Y))), each f_i applied with its own independent gate probability. The paper's order (supplement A)
is low light, blur, noise, rain, snow, haze, then JPEG; its gate probability is not published (0.5 is likely).

Text form: links separated by commas, each ``name`` or ``name:field=value:field=value``; a value is a number or a range
``low..high`` for a field that is a range, else whatever the field takes. Unnamed fields keep the preset's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

import torch
from pydantic import ValidationError
from torch import Tensor

from unirestorer.core.catalogue import validation_lines
from unirestorer.core.contracts import Config, Params, Preset, Synthesizer, SynthesizerSpec
from unirestorer.core.errors import ConfigError, UnknownNameError

from .items import per_item, pick

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

    ``gate`` is the probability of each link, one for all or one each. Raises ``ConfigError`` for an empty chain or bad
    probabilities. Two links of one name are told apart as ``noise`` and ``noise#2``.
    """

    def __init__(self, links: Sequence[Link], gate: float | Sequence[float] = 1.0) -> None:
        self.links = tuple(links)
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
                images[rows] = link.synthesizer.apply(images[rows], pick(_own(params, label), rows))
        return images

    def degree(self, params: Params) -> list[str]:
        """The open links' names and degrees, for example "noise small + rain large"; "none" where all are closed."""
        degrees = [
            link.synthesizer.degree(_own(params, label)) for label, link in zip(self.labels, self.links, strict=True)
        ]
        return [
            " + ".join(
                f"{link.name} {degree[item]}"
                for link, degree, is_open in zip(self.links, degrees, gates, strict=True)
                if is_open
            )
            or "none"
            for item, gates in enumerate(params["gates"].tolist())
        ]


def _labels(names: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(labels)


def _own(params: Params, label: str) -> Params:
    prefix = f"{label}."
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def parse_chain(text: str, specs: Specs, preset: Preset = "in", gate: float | Sequence[float] = 1.0) -> Chain:
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
    return Chain(links, gate)


def _link(item: str, specs: Specs, preset: Preset, where: str) -> Link:
    name, *settings = (part.strip() for part in item.split(":"))
    if not name:
        raise ConfigError(f"{where}: no degradation named; known: {', '.join(sorted(specs))}")
    if name not in specs:
        raise ConfigError(f"{where}: {UnknownNameError('degradation', name, specs)}")
    spec = specs[name]
    values = spec.presets[preset].model_dump()
    problems: list[str] = []
    for setting in settings:
        field, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or not value:
            problems.append(f"{where}: want field=value, got '{setting}'")
        elif field not in spec.config.model_fields:
            known = ", ".join(spec.config.model_fields) or "none"
            problems.append(f"{where}: unknown field '{field}' of {name}; known: {known}")
        else:
            values[field] = _value(value, spec.config, field)
    return Link(name, *_build(spec, values, where, problems))


def _value(text: str, model: type[Config], field: str) -> Any:
    """``(v, v)`` or ``(low, high)`` for a range field; pydantic turns the text into numbers or refuses it."""
    if get_origin(model.model_fields[field].annotation) is not tuple:
        return text
    low, dots, high = text.partition("..")
    return (low, high) if dots else (text, text)


def _build(spec: SynthesizerSpec[Any], values: Mapping[str, Any], where: str, problems: list[str]) -> tuple[Any, Config]:
    """The synthesizer and its config; raises ``ConfigError`` with ``problems`` and all that the config finds wrong."""
    try:
        config = spec.config.model_validate(dict(values))
    except ValidationError as error:
        lines = validation_lines(error, where)
        raise ConfigError([*problems, *dict.fromkeys(lines)]) from None
    if problems:
        raise ConfigError(problems)
    try:
        return spec.build(config), config
    except ConfigError as error:
        raise ConfigError([f"{where}: {problem}" for problem in error.problems]) from None
