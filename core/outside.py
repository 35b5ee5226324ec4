"""Files outside the registry that make an extractor, weights and captions: their content counts, not their place."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from .catalogue import Catalogue, validate_config
from .errors import ConfigError, UniRestorerError
from .files import digest
from .recipe import ExtractorConfig


def files_of(section: ExtractorConfig, catalogue: Catalogue) -> tuple[Path, ...]:
    """The files that the section names; raises ``ConfigError`` in one line for the first that is not there."""
    spec = catalogue.extractor(section.name)
    named: list[tuple[str, Path]] = []
    if spec.files is not None:
        config = validate_config(spec.config, section.config, "extractor.config")
        named = [("config", path) for path in spec.files(config)]
    if section.captions is not None:
        named.append(("captions", section.captions))
    for place, path in named:
        if not path.is_file():
            raise ConfigError(f"extractor.{place}: {path}: no such file; paths are relative to the current folder")
    return tuple(path for _, path in named)


def extractor_stamp(section: ExtractorConfig, catalogue: Catalogue) -> list[Any]:
    """What the extractor depends on: its section, with the sha256 of the files that it names instead of their paths.

    Raises ``ConfigError`` in one line for a file that is missing or cannot be read.
    """
    files = files_of(section, catalogue)
    try:
        contents = [digest(path) for path in files]
    except UniRestorerError as error:
        raise ConfigError(f"extractor: {error}") from error
    return [without_paths(section.model_dump(mode="json"), files), *contents]


def without_paths(values: Any, files: Collection[Path]) -> Any:
    """JSON ``values`` with an empty string wherever one of them is the path of one of ``files``."""
    if isinstance(values, dict):
        return {key: without_paths(value, files) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_paths(value, files) for value in values]
    return "" if isinstance(values, str) and Path(values) in files else values
