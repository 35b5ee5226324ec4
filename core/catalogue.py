"""The catalogue: every registered spec by kind and name, as the plugin manager collected them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from .contracts import (
    ClustererSpec,
    Config,
    ExpertSpec,
    ExtractorSpec,
    StageReport,
    SynthesizerSpec,
)
from .errors import ConfigError, UnknownNameError

S = TypeVar("S")
LONGEST = 200
"""Characters of a wrong value that are shown."""


def _ignore(report: StageReport) -> None:
    """The default observer."""


@dataclass(frozen=True)
class Catalogue:
    """Specs by name, one mapping per kind; ``notify`` tells observers that a stage has finished.

    ``origins``: by (kind, name), the distribution and version of what third parties registered.
    """

    synthesizers: Mapping[str, SynthesizerSpec[Any]] = field(default_factory=dict)
    extractors: Mapping[str, ExtractorSpec[Any]] = field(default_factory=dict)
    experts: Mapping[str, ExpertSpec[Any]] = field(default_factory=dict)
    clusterers: Mapping[str, ClustererSpec[Any]] = field(default_factory=dict)
    notify: Callable[[StageReport], None] = _ignore
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def origin(self, kind: str, name: str) -> str:
        """Distribution and version that registered ``name``, for example ``acme-dist 1.2``; empty for a built-in.

        ``kind`` is ``degradation``, ``extractor``, ``expert`` or ``clusterer``.
        """
        return self.origins.get((kind, name), "")

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """What each degradation is also called."""
        return {name: spec.words for name, spec in self.synthesizers.items()}

    def synthesizer(self, name: str) -> SynthesizerSpec[Any]:
        """The degradation called ``name``; raises ``UnknownNameError``."""
        return _find("degradation", name, self.synthesizers)

    def extractor(self, name: str) -> ExtractorSpec[Any]:
        """The extractor called ``name``; raises ``UnknownNameError``."""
        return _find("extractor", name, self.extractors)

    def expert(self, name: str) -> ExpertSpec[Any]:
        """The expert architecture called ``name``; raises ``UnknownNameError``."""
        return _find("expert", name, self.experts)

    def clusterer(self, name: str) -> ClustererSpec[Any]:
        """The clusterer called ``name``; raises ``UnknownNameError``."""
        return _find("clusterer", name, self.clusterers)


def _find(kind: str, name: str, specs: Mapping[str, S]) -> S:
    if name not in specs:
        raise UnknownNameError(kind, name, specs)
    return specs[name]


def validate_config(model: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """``values`` as ``model``; raises ``ConfigError`` with every problem, each line beginning with ``where``."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(validation_lines(error, where)) from None


def validation_lines(error: ValidationError, where: str) -> list[str]:
    """One line per problem: place, what is wrong, what was given."""
    lines = []
    for problem in error.errors():
        place = ".".join([where, *(str(part) for part in problem["loc"])]).strip(".")
        lines.append(f"{place}: {said(problem)}")
    return lines


def said(problem: Mapping[str, Any]) -> str:
    """What a problem that pydantic found is, and what was given, in one line."""
    if problem["type"] == "missing":  # what was given is then all that stands around it
        return str(problem["msg"])
    given = repr(problem["input"])
    return f"{problem['msg']} (got {given if len(given) <= LONGEST else f'{given[:LONGEST]} ...'})"
