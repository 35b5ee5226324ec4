"""What a distribution needs, as its metadata says it (PEP 508), against what is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 normalises it: lower case, single hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def unmet(texts: Iterable[str]) -> list[str]:
    """The requirements, for example ``foo>=2``, that nothing installed fulfils; those of extras do not count."""
    return [_short(requirement) for requirement in _applicable(texts) if not _fulfilled(requirement)]


def unmet_of(name: str, texts: Iterable[str]) -> list[str]:
    """``unmet`` of the requirements on the distribution ``name`` alone."""
    return unmet(str(item) for item in _applicable(texts) if canonical(item.name) == canonical(name))


def _applicable(texts: Iterable[str]) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # damaged metadata says nothing about what is needed
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _fulfilled(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _short(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"
