"""What the host takes from a plugin: known hooks, well-formed specs, and a wanted version of the host."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pluggy

from unirestorer.core.contracts import (
    ClustererSpec,
    Config,
    ExpertSpec,
    ExtractorSpec,
    SizeRequirement,
    Spec,
    SynthesizerSpec,
)
from unirestorer.core.words import plain

from .guarding import DISABLE, FUNCTIONS, MAKERS, RefusedError, Source
from .requirements import unmet_of

HOOKS: Mapping[str, tuple[str, type[Any]]] = {
    "register_synthesizers": ("degradation", SynthesizerSpec),
    "register_extractors": ("extractor", ExtractorSpec),
    "register_experts": ("expert", ExpertSpec),
    "register_clusterers": ("clusterer", ClustererSpec),
}
"""The registering hooks: the kind each one provides and the type of its specs."""
OBSERVER = "stage_finished"

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


def refuse_other_versions(source: Source) -> None:
    """Raise ``RefusedError`` if the plugin's distribution asks for another version of unirestorer."""
    for wanted in unmet_of("unirestorer", source.requires):
        try:
            installed = version("unirestorer")
        except PackageNotFoundError:  # a bare checkout on the path has no version to compare
            return
        raise RefusedError(
            f"needs {wanted}, installed is {installed}",
            f"pip install '{wanted}' or another version of {source.distribution}, or set {DISABLE}={source.name}",
        )


def refuse_unknown_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise ``RefusedError`` if ``plugin`` implements a hook that does not exist, or none."""
    callers = manager.get_hookcallers(plugin) or []
    if not callers:
        raise RefusedError("implements no hook; its functions need the mark @unirestorer.core.hookimpl")
    known = [*HOOKS, OBSERVER]
    for caller in callers:
        if not caller.has_spec() and not all(hook.optionalhook for hook in caller.get_hookimpls()):
            near = difflib.get_close_matches(caller.name, known, n=1)
            hint = f"did you mean '{near[0]}'? Known" if near else "known"
            raise RefusedError(f"unknown hook '{caller.name}'; {hint}: {', '.join(known)}")


def specs_of(hook: str, answers: list[Any]) -> list[Spec]:
    """What a plugin's ``hook`` returned, as a list of well-formed specs; raises ``RefusedError``."""
    expected = HOOKS[hook][1]
    answer = answers[0] if answers else None
    if not isinstance(answer, list | tuple):
        raise RefusedError(f"returned {type(answer).__name__}, wanted a list of {expected.__name__}")
    for item in answer:
        if not isinstance(item, expected):
            raise RefusedError(f"returned a list with {type(item).__name__}, wanted only {expected.__name__}")
        for problem in _problems(item):
            raise RefusedError(problem)
    return list(answer)


def _problems(spec: Spec) -> Iterator[str]:
    if not (isinstance(spec.name, str) and _NAME.fullmatch(spec.name)):
        yield f"bad name {spec.name!r}: wanted a lower-case letter, then any of a-z 0-9 _ . -"
    if not isinstance(spec.summary, str):
        yield f"summary of '{spec.name}' is {spec.summary!r}, wanted a string"
    if not (isinstance(spec.config, type) and issubclass(spec.config, Config)):
        yield f"config of '{spec.name}' is {spec.config!r}, wanted a subclass of unirestorer.core.Config"
    makers = MAKERS if isinstance(spec, ExpertSpec) else ("build",)
    given = [field for field in makers if getattr(spec, field) is not None]
    if len(given) != 1:
        yield f"'{spec.name}' has {' and '.join(given) or 'no function'}, wanted one of {', '.join(makers)}"
    others = () if isinstance(spec, ClustererSpec) else FUNCTIONS  # its `labelled` is no function
    for field in (*given, *others):
        value = getattr(spec, field, None)
        if value is not None and not callable(value):
            yield f"{field} of '{spec.name}' is {value!r}, wanted a function"
    if isinstance(spec, SynthesizerSpec):
        yield from _synthesizer_problems(spec)
    if isinstance(spec, ExpertSpec) and not isinstance(spec.size, SizeRequirement):
        yield f"size of '{spec.name}' is {spec.size!r}, wanted a SizeRequirement"


def _synthesizer_problems(spec: SynthesizerSpec[Any]) -> Iterator[str]:
    wanted = spec.config.__name__
    if not isinstance(spec.presets, Mapping) or set(spec.presets) != {"in", "out"}:
        yield f"presets of '{spec.name}' are {spec.presets!r}, wanted 'in' and 'out'"
    for preset, config in spec.presets.items():
        if not isinstance(config, spec.config):
            yield f"preset '{preset}' of '{spec.name}' is of {type(config).__name__}, wanted {wanted}"
    if not isinstance(spec.identity, spec.config | None):
        yield f"identity of '{spec.name}' is of {type(spec.identity).__name__}, wanted {wanted}"
    if not isinstance(spec.recipe, Path | None):
        yield f"recipe of '{spec.name}' is {spec.recipe!r}, wanted a pathlib.Path"
    if not (isinstance(spec.words, tuple) and all(isinstance(word, str) and plain(word) for word in spec.words)):
        yield f"words of '{spec.name}' are {spec.words!r}, wanted a tuple of words"
