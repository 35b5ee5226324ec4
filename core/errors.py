"""Every error a user can meet: one base class, each also a standard-library error.

A message is one line: what is wrong, where, what was found, what was wanted, and what to do about it.
The command line prints ``str(error)`` and exits with status 2; any other exception is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UniRestorerError(Exception):
    """Base of every error that is meant for the user."""

    def __str__(self) -> str:
        return " ".join(str(argument) for argument in self.args)


class ShapeError(UniRestorerError, ValueError):
    """A tensor or array does not have the documented shape, dtype or value range."""


class ConfigError(UniRestorerError, ValueError):
    """A recipe, chain or option is wrong. ``problems`` holds every problem found, one line each."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class UnknownNameError(UniRestorerError, KeyError):
    """A name is not known; the message lists the closest and all known names. ``words``: what these are also called."""

    def __init__(self, kind: str, name: str, known: Iterable[str], words: Iterable[str] = ()) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, [*names, *sorted(words)], n=1)
        hint = f"; did you mean '{near[0]}'? Known" if near else "; known"
        super().__init__(f"unknown {kind} '{name}'{hint}: {', '.join(names) if names else 'none'}")


class ImageError(UniRestorerError, OSError):
    """A file cannot be read as an image, or a result cannot be written; one line, whatever is in the file's name."""

    def __str__(self) -> str:
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in super().__str__())


class DataError(UniRestorerError, OSError):
    """Files of a data set are missing, do not pair, or are not what they were."""


class RegistryError(UniRestorerError, OSError):
    """A registry is missing, damaged, locked, read-only, or of an unknown version."""


class WeightsError(UniRestorerError, OSError):
    """A file of weights cannot be read, or is not safe to read."""


class MemoryLimitError(UniRestorerError, MemoryError):
    """A tile does not fit into memory."""


class MissingExtraError(UniRestorerError, ImportError):
    """An optional dependency is not installed; the message says how to install it."""


class PluginConflictError(UniRestorerError, ValueError):
    """Two plugins register the same name of the same kind."""


class PluginError(UniRestorerError, RuntimeError):
    """What an installed plugin gave does not work; the message names thing, distribution, cause and remedy."""
