"""Foreign code and how to survive it: where a plugin comes from, running its code apart, saying what to do about it.

Everything that a third party wrote runs inside ``quarantine``; what it raises becomes one line. Only ending the process
outright (``os._exit``, a crash) and Ctrl-C get through. Nothing here imports torch.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import RLock
from typing import Any

from unirestorer.core.contracts import Spec
from unirestorer.core.errors import PluginConflictError, PluginError, UniRestorerError

from .requirements import unmet

UNKNOWN = "unknown"
DISABLE = "UNIRESTORER_DISABLE_PLUGINS"
LONGEST = 400
"""Characters of a foreign error message that are shown."""
BUILT: dict[str, tuple[str, ...]] = {
    "degradation": ("sample", "apply", "degree"),
    "extractor": ("dim", "state_dict"),
    "expert": ("forward", "state_dict"),
    "adapter": ("forward", "state_dict", "merged"),
    "clusterer": ("fit",),
}
"""What the result of ``build`` must have, by kind; of ``over``, what an adapter must have."""

MAKERS = ("build", "revive", "over")
"""Functions of a spec that make what ``BUILT`` describes."""
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "objective": ("forward",),
    "training_side": (),
    "pretrained": (),
    "files": (),
    "calibrate": (),
    "labelled": (),
    "recognise": (),
}
"""Other functions of a spec, and what their result must have."""

_apart = RLock()


class RefusedError(PluginError):
    """The host does not take what a plugin gives; ``remedy`` replaces the usual advice."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: its entry point ``name`` and distribution; ``load`` imports it.

    ``requires``: the distribution's requirements as its metadata says them.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], object]
    requires: tuple[str, ...] = ()
    builtin: bool = False

    @property
    def label(self) -> str:
        """Distribution and version, for example ``acme-dist 1.2``."""
        return f"plugin {self.name}" if self.distribution == UNKNOWN else f"{self.distribution} {self.version}"

    @property
    def owner(self) -> str:
        """Plugin, distribution and version, for example ``acme of acme-dist 1.2``."""
        return self.name if self.builtin or self.distribution == UNKNOWN else f"{self.name} of {self.label}"

    def remedy(self, error: BaseException) -> str:
        """What the user can do about ``error``."""
        if isinstance(error, RefusedError) and error.remedy:
            return error.remedy
        known = self.distribution != UNKNOWN
        mend = f"upgrade or uninstall {self.distribution}" if known else "uninstall it"
        if isinstance(error, PluginConflictError):
            mend = "rename one"
        elif isinstance(error, ModuleNotFoundError):
            missing = " ".join(map(repr, unmet(self.requires)))
            mend = f"pip install {missing}, {mend}" if missing else f"install the module '{error.name}', {mend}"
        return f"{mend}, or set {DISABLE}={self.name}"


@contextmanager
def quarantine() -> Iterator[None]:
    """Foreign code runs in here, one thread at a time.

    What it prints goes to stderr, since stdout is for results; its warnings are shown, never raised; the command line
    arguments, the working folder and the warning filters are as before when it ends.
    """
    with _apart, warnings.catch_warnings(), redirect_stdout(sys.stderr):
        if any(rule[0] == "error" for rule in warnings.filters):
            warnings.simplefilter("default")
        arguments, folder = list(sys.argv), _folder()
        try:
            yield
        finally:
            sys.argv = arguments
            if folder != _folder():
                with suppress(OSError):
                    os.chdir(folder)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""


def describe(error: BaseException) -> str:
    """``error`` in one line, with its type unless it is the host's own verdict."""
    try:
        text = " ".join(str(error).split())
    except BaseException as worse:
        if isinstance(worse, KeyboardInterrupt):
            raise
        text = "a message that cannot be printed"
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return (
        text
        if isinstance(error, RefusedError | PluginConflictError)
        else f"{type(error).__name__}: {text}".rstrip(": ")
    )


USED: dict[str, tuple[str, ...]] = {
    "degradation": ("sample", "apply", "degree"),
    "extractor": ("forward",),
    "expert": ("forward",),
    "adapter": ("forward", "merged"),
    "clusterer": ("fit",),
}
"""What the host calls on the result of ``build``, by kind."""


class _Watched:
    """Stands for ``made``; what the methods ``names`` raise is said by ``say``."""

    def __init__(self, made: Any, names: Sequence[str], say: Callable[[str, BaseException], PluginError]) -> None:
        self._made = made
        for name in names:
            setattr(self, name, partial(self._call, partial(_use, getattr(made, name), name, say)))

    def _call(self, method: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """What ``method`` returns, but itself where that is the thing it stands for, as with ``fit``."""
        result = method(*given, **options)
        return self if result is self._made else result

    def __getattr__(self, name: str) -> Any:
        if name == "_made":  # asked for while it is copied, before it is set
            raise AttributeError(name)
        return getattr(self._made, name)


def _watched(kind: str, made: Any, say: Callable[[str, BaseException], PluginError]) -> Any:
    """``made`` with its methods in ``USED`` watched; a network stays the same object, since it is trained and saved."""
    if not hasattr(made, "state_dict"):
        return _Watched(made, USED[kind], say)
    for name in USED[kind]:
        setattr(made, name, partial(_use, getattr(made, name), name, say))
    return made


def _use(
    method: Callable[..., Any],
    name: str,
    say: Callable[[str, BaseException], PluginError],
    *given: Any,
    **options: Any,
) -> Any:
    """``method(*given, **options)``; no more apart than needed, for this is where the time goes."""
    try:
        return method(*given, **options)
    except (UniRestorerError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and "alloc" in str(error):  # torch is out of memory; the host has an answer
            raise
        raise say(name, error) from error


def guarded(kind: str, spec: Spec, source: Source) -> Spec:
    """``spec`` of a third party whose functions, and what they build, raise nothing but ``UniRestorerError``."""
    thing = f"{kind} '{spec.name}'"
    say = partial(_failure, source, thing)
    changes: dict[str, Any] = {}
    for field in MAKERS:
        if getattr(spec, field, None) is not None:
            what = "adapter" if field == "over" else kind
            make = partial(_run, source, thing, field, getattr(spec, field), BUILT[what])
            changes[field] = partial(_made, make, what, say)
    for field, wanted in FUNCTIONS.items():
        if callable(getattr(spec, field, None)):
            changes[field] = partial(_run, source, thing, field, getattr(spec, field), wanted)
    return replace(spec, **changes)


def _made(make: Callable[..., Any], kind: str, say: Callable[[str, BaseException], PluginError], *given: Any) -> Any:
    return _watched(kind, make(*given), say)


def _run(
    source: Source, thing: str, field: str, function: Callable[..., Any], wanted: tuple[str, ...], *arguments: Any
) -> Any:
    """``function(*arguments)``, apart; raises ``PluginError`` naming the thing, its distribution and the remedy."""
    try:
        with quarantine():
            made = function(*arguments)
            lacking = [name for name in wanted if not hasattr(made, name)]
        if lacking:
            raise RefusedError(f"returned {type(made).__name__}, which has no {', '.join(lacking)}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or (
            isinstance(error, UniRestorerError) and not isinstance(error, RefusedError)
        ):
            raise
        raise _failure(source, thing, field, error) from error
    return made


def _failure(source: Source, thing: str, place: str, error: BaseException) -> PluginError:
    return PluginError(f"{thing} of {source.label}: {place}: {describe(error)}; {source.remedy(error)}")
