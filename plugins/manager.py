"""Loads the built-in plugins and those of installed distributions, and collects what they register.

A built-in that fails is a bug and raises. A third party that fails is reported by name, on the logger
``unirestorer.plugins`` and in ``plugin_table``, and skipped. Every plugin has a pluggy manager of its own, so that no
plugin can disturb the registration or the hook calls of another. Nothing here imports torch.

Environment: ``UNIRESTORER_DISABLE_PLUGINS`` (comma-separated names of plugins or distributions, or ``all``; built-ins
stay) and ``UNIRESTORER_TRACE_PLUGINS=1`` (every hook call on stderr).
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from unirestorer.core import hookspecs
from unirestorer.core.catalogue import Catalogue
from unirestorer.core.contracts import (
    ClustererSpec,
    Config,
    ExpertSpec,
    ExtractorSpec,
    Spec,
    StageReport,
    SynthesizerSpec,
)
from unirestorer.core.errors import PluginConflictError

logger = logging.getLogger("unirestorer.plugins")

BUILTINS = (
    "unirestorer.plugins.degradations",
    "unirestorer.plugins.extractors",
    "unirestorer.plugins.experts",
    "unirestorer.plugins.clusterers",
    "unirestorer.plugins.progress",
)
HOOKS: Mapping[str, tuple[str, type[Any]]] = {
    "register_synthesizers": ("degradation", SynthesizerSpec),
    "register_extractors": ("extractor", ExtractorSpec),
    "register_experts": ("expert", ExpertSpec),
    "register_clusterers": ("clusterer", ClustererSpec),
}
"""The registering hooks: the kind each one provides and the type of its specs."""

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


@dataclass(frozen=True)
class PluginRow:
    """One line of ``unirestorer plugins``.

    ``kind`` is degradation, extractor, expert, clusterer or observer, or ``plugin`` where a whole plugin (or one of its
    hooks) gave nothing. ``state`` is ``ok``, ``disabled`` or ``failed: reason``.
    """

    kind: str
    name: str
    summary: str
    distribution: str
    version: str
    state: str


@dataclass(frozen=True)
class _Source:
    """Where a plugin comes from; ``load`` imports it."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]

    def row(self, kind: str, name: str, summary: str, state: str = "ok") -> PluginRow:
        return PluginRow(kind, name, summary, self.distribution, self.version, state)


@dataclass
class _Host:
    """What has been collected so far; ``owners`` says which plugin registered (kind, name)."""

    specs: dict[str, dict[str, Spec]] = field(default_factory=lambda: {kind: {} for kind, _ in HOOKS.values()})
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    observers: dict[str, pluggy.PluginManager] = field(default_factory=dict)
    rows: list[PluginRow] = field(default_factory=list)

    def add(self, source: _Source, failed: Callable[[str, BaseException], None] | None = None) -> None:
        """Load and register one plugin. An error raises; one of a single hook goes to ``failed`` if that is given."""
        manager = _registered(source)
        found: list[tuple[str, Spec]] = []
        for hook in _implemented(manager):
            if hook in HOOKS:
                try:
                    found += [(HOOKS[hook][0], spec) for spec in _call(manager, hook)]
                except (Exception, SystemExit) as error:
                    if failed is None:
                        raise
                    failed(f"{hook}: ", error)
        self._refuse_duplicates(source.name, [(kind, spec.name) for kind, spec in found])
        for kind, spec in found:
            self.specs[kind][spec.name] = spec
            self.owners[kind, spec.name] = source.name
            self.rows.append(source.row(kind, spec.name, spec.summary))
        if "stage_finished" in _implemented(manager):
            self.observers[source.name] = manager
            self.rows.append(source.row("observer", source.name, "told when a stage has finished"))

    def add_isolated(self, source: _Source) -> None:
        """Like ``add``, but whatever goes wrong is reported and the plugin (or its failing hook) is left out."""

        def failed(place: str, error: BaseException) -> None:
            reason = " ".join(f"{place}{_describe(error)}".split())
            logger.warning("plugin '%s' of %s %s failed: %s", source.name, source.distribution, source.version, reason)
            self.rows.append(source.row("plugin", source.name, "", f"failed: {reason}"))

        try:
            self.add(source, failed)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs foreign code; the host goes on
            failed("", error)

    def notify(self, report: StageReport) -> None:
        """Tell every observer; one that raises is reported and does not stop the others or the pipeline."""
        for name, manager in self.observers.items():
            try:
                manager.hook.stage_finished(stage=report.stage, report=report)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - an observer may raise anything; training goes on
                logger.warning("plugin '%s' failed: stage_finished: %s", name, _describe(error))

    def catalogue(self) -> Catalogue:
        """Everything registered, by kind and name."""
        tables: dict[str, Any] = {f"{kind}s": specs for kind, specs in self.specs.items()}
        return Catalogue(synthesizers=tables.pop("degradations"), **tables, notify=self.notify)

    def _refuse_duplicates(self, plugin: str, keys: Sequence[tuple[str, str]]) -> None:
        for index, (kind, name) in enumerate(keys):
            owner = plugin if (kind, name) in keys[:index] else self.owners.get((kind, name))
            if owner is not None:
                raise PluginConflictError(
                    f"{kind} '{name}' is registered by {owner} and again by {plugin}; "
                    f"rename one, or disable one with UNIRESTORER_DISABLE_PLUGINS"
                )


def load_catalogue() -> Catalogue:
    """The specs of all working plugins; loaded once per process.

    Raises ``PluginConflictError`` if two built-ins register the same name; third parties never raise.
    """
    return _load()[0]


def plugin_table() -> list[PluginRow]:
    """Everything registered, and every plugin that failed or is disabled: built-ins first, then by distribution."""
    return list(_load()[1])


@cache
def _load() -> tuple[Catalogue, tuple[PluginRow, ...]]:
    host = _Host()
    for path in BUILTINS:
        host.add(_Source(path, "unirestorer", "built-in", partial(import_module, path)))
    disabled = {name.strip() for name in os.environ.get("UNIRESTORER_DISABLE_PLUGINS", "").split(",")}
    for source in sorted(map(_source, entry_points(group=hookspecs.ENTRY_POINT_GROUP)), key=_order):
        if disabled & {"all", source.name, source.distribution}:
            host.rows.append(source.row("plugin", source.name, "", "disabled"))
        else:
            host.add_isolated(source)
    return host.catalogue(), tuple(host.rows)


def _source(entry: EntryPoint) -> _Source:
    distribution = version = "unknown"
    if entry.dist:
        try:
            distribution, version = entry.dist.metadata["Name"] or "unknown", entry.dist.version or "unknown"
        except Exception as error:  # noqa: BLE001 - importlib.metadata documents no errors for damaged metadata
            logger.warning("plugin '%s': its distribution's metadata is damaged: %s", entry.name, _describe(error))
    return _Source(entry.name, distribution, version, entry.load)


def _order(source: _Source) -> tuple[str, str]:
    return source.distribution, source.name


def _registered(source: _Source) -> pluggy.PluginManager:
    """A manager holding this plugin alone; raises if it implements unknown hooks, wrong arguments or nothing."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("UNIRESTORER_TRACE_PLUGINS", "0") not in ("", "0"):
        manager.trace.root.setwriter(partial(_trace, source.name))
        manager.enable_tracing()
    manager.register(source.load(), name=source.name)
    manager.check_pending()
    if not _implemented(manager):
        raise TypeError("implements no hook; mark functions with @unirestorer.core.hookimpl")
    return manager


def _implemented(manager: pluggy.PluginManager) -> list[str]:
    """Names of the hooks that the plugin of ``manager`` implements, in the order of ``HOOKS``."""
    return [hook for hook in (*HOOKS, "stage_finished") if getattr(manager.hook, hook).get_hookimpls()]


def _call(manager: pluggy.PluginManager, hook: str) -> list[Spec]:
    """What the plugin's ``hook`` returns, checked; raises ``TypeError`` or ``ValueError``."""
    expected = HOOKS[hook][1]
    answers = getattr(manager.hook, hook)()
    answer = answers[0] if answers else None
    if not isinstance(answer, list | tuple):
        raise TypeError(f"returned {type(answer).__name__}, wanted a list of {expected.__name__}")
    for item in answer:
        if not isinstance(item, expected):
            raise TypeError(f"returned a list with {type(item).__name__}, wanted only {expected.__name__}")
        _check(item)
    return list(answer)


def _check(spec: Spec) -> None:
    if not (isinstance(spec.name, str) and _NAME.fullmatch(spec.name)):
        raise ValueError(f"bad name {spec.name!r}: wanted a lower-case letter, then any of a-z 0-9 _ . -")
    if not (isinstance(spec.config, type) and issubclass(spec.config, Config)):
        raise TypeError(f"config of '{spec.name}' is {spec.config!r}, wanted a subclass of unirestorer.core.Config")


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _trace(plugin: str, text: str) -> None:
    sys.stderr.write(f"plugin {plugin}: {text}")
