"""Loads the built-in plugins and those of installed distributions, and collects what they register.

A built-in that fails is a bug and raises. A third party that fails is skipped, and its distribution, name, reason and
remedy go to the logger ``unirestorer.plugins`` and into ``plugin_table``. Every plugin has a pluggy manager of its own,
so that no plugin can disturb the registration or the hook calls of another. Nothing here imports torch.

Environment: ``UNIRESTORER_DISABLE_PLUGINS`` (comma-separated names of plugins or distributions, or ``all``; built-ins
stay) and ``UNIRESTORER_TRACE_PLUGINS=1`` (every hook call on stderr).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from unirestorer.core import hookspecs
from unirestorer.core.catalogue import Catalogue
from unirestorer.core.contracts import Spec, StageReport
from unirestorer.core.errors import PluginConflictError

from .checking import HOOKS, OBSERVER, refuse_other_versions, refuse_unknown_hooks, specs_of
from .guarding import DISABLE, UNKNOWN, RefusedError, Source, describe, guarded, quarantine
from .requirements import canonical

logger = logging.getLogger("unirestorer.plugins")

BUILTINS = (
    "unirestorer.plugins.degradations",
    "unirestorer.plugins.extractors",
    "unirestorer.plugins.experts",
    "unirestorer.plugins.clusterers",
    "unirestorer.plugins.progress",
)


@dataclass(frozen=True)
class PluginRow:
    """One line of ``unirestorer plugins``.

    ``kind`` is degradation, extractor, expert, clusterer or observer, or ``plugin`` where a whole plugin (or one of its
    hooks) gave nothing. ``state`` is ``ok``, ``disabled`` or ``failed: reason; remedy``. ``plugin`` is the name of the
    entry point, or the module of a built-in.
    """

    kind: str
    name: str
    summary: str
    plugin: str
    distribution: str
    version: str
    state: str


@dataclass
class _Host:
    """What has been collected so far; ``owners`` says which plugin registered (kind, name)."""

    specs: dict[str, dict[str, Spec]] = field(default_factory=lambda: {kind: {} for kind, _ in HOOKS.values()})
    owners: dict[tuple[str, str], Source] = field(default_factory=dict)
    observers: list[tuple[Source, pluggy.PluginManager]] = field(default_factory=list)
    rows: list[PluginRow] = field(default_factory=list)

    def add(self, source: Source) -> None:
        """Load and register one plugin. A third party (or a hook of it) that fails is reported and left out."""
        try:
            with nullcontext() if source.builtin else quarantine():
                self._add(source)
        except BaseException as error:  # noqa: BLE001 - importing runs foreign code; the host goes on
            self._fail(source, "", error)

    def _add(self, source: Source) -> None:
        refuse_other_versions(source)
        manager = _registered(source)
        found: list[tuple[str, Spec]] = []
        for hook in _implemented(manager):
            if hook in HOOKS:
                try:
                    found += [(HOOKS[hook][0], spec) for spec in specs_of(hook, getattr(manager.hook, hook)())]
                except BaseException as error:  # noqa: BLE001 - so does a hook
                    self._fail(source, f"{hook}: ", error)
        self._refuse_duplicates(source, [(kind, spec.name) for kind, spec in found])
        for kind, spec in found:
            self.specs[kind][spec.name] = spec if source.builtin else guarded(kind, spec, source)
            self.owners[kind, spec.name] = source
            self._row(source, kind, spec.name, spec.summary)
        if OBSERVER in _implemented(manager):
            self.observers.append((source, manager))
            self._row(source, "observer", source.name, "told when a stage has finished")

    def skip(self, source: Source) -> None:
        """List a plugin that is disabled."""
        self._row(source, "plugin", source.name, "", "disabled")

    def _fail(self, source: Source, place: str, error: BaseException) -> None:
        """Report what went wrong with a third party; a built-in that fails is a bug, and Ctrl-C is the user's."""
        if source.builtin or isinstance(error, KeyboardInterrupt):
            raise error
        self._row(source, "plugin", source.name, "", f"failed: {_log(source, place, error)}")

    def _row(self, source: Source, kind: str, name: str, summary: str, state: str = "ok") -> None:
        self.rows.append(PluginRow(kind, name, summary, source.name, source.distribution, source.version, state))

    def notify(self, report: StageReport) -> None:
        """Tell every observer; one that raises is reported and does not stop the others or the pipeline."""
        for source, manager in self.observers:
            try:
                manager.hook.stage_finished(stage=report.stage, report=report)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - an observer may raise anything; training goes on
                _log(source, "stage_finished: ", error)

    def catalogue(self) -> Catalogue:
        """Everything registered, by kind and name."""
        tables: dict[str, Any] = {f"{kind}s": specs for kind, specs in self.specs.items()}
        origins = {key: source.label for key, source in self.owners.items() if not source.builtin}
        return Catalogue(synthesizers=tables.pop("degradations"), **tables, notify=self.notify, origins=origins)

    def _refuse_duplicates(self, source: Source, keys: Sequence[tuple[str, str]]) -> None:
        for index, (kind, name) in enumerate(keys):
            owner = source if (kind, name) in keys[:index] else self.owners.get((kind, name))
            if owner is not None:
                raise PluginConflictError(f"{kind} '{name}' is registered by {owner.owner} and again by {source.owner}")


def load_catalogue() -> Catalogue:
    """The specs of all working plugins; loaded once per process.

    Raises ``PluginConflictError`` if two built-ins register the same name; third parties never raise, and what their
    ``build`` raises later is a ``PluginError``.
    """
    return _load()[0]


def plugin_table() -> list[PluginRow]:
    """Everything registered, and every plugin that failed or is disabled: built-ins first, then by distribution."""
    return list(_load()[1])


@cache
def _load() -> tuple[Catalogue, tuple[PluginRow, ...]]:
    host = _Host()
    for path in BUILTINS:
        host.add(Source(path, "unirestorer", "built-in", partial(import_module, path), builtin=True))
    disabled = {canonical(name.strip()) for name in os.environ.get(DISABLE, "").split(",")}
    taken: dict[str, Source] = {}
    for source in sorted(map(_source, entry_points(group=hookspecs.ENTRY_POINT_GROUP)), key=_order):
        if disabled & {"all", canonical(source.name), canonical(source.distribution)}:
            host.skip(source)
        else:
            host.add(_distinct(source, taken.setdefault(source.name, source)))
    return host.catalogue(), tuple(host.rows)


def _distinct(source: Source, first: Source) -> Source:
    """``source``, its loading refused where ``first`` has its name already: names say what to disable."""
    if source is first:
        return source
    reason = f"the plugin name '{source.name}' is taken by {first.label}"
    remedy = f"uninstall {source.distribution} or {first.distribution}, or set {DISABLE}={source.distribution}"

    def refuse() -> object:
        raise RefusedError(reason, remedy)

    return replace(source, load=refuse)


def _source(entry: EntryPoint) -> Source:
    distribution = version = UNKNOWN
    requires: Sequence[str] = ()
    if entry.dist:
        try:
            distribution, version = entry.dist.metadata["Name"] or UNKNOWN, entry.dist.version or UNKNOWN
            requires = entry.dist.requires or ()
        except Exception as error:  # noqa: BLE001 - importlib.metadata documents no errors for damaged metadata
            logger.warning("plugin '%s': its distribution's metadata is damaged: %s", entry.name, describe(error))
    return Source(entry.name, distribution, version, entry.load, tuple(requires))


def _order(source: Source) -> tuple[str, str]:
    return source.distribution, source.name


def _registered(source: Source) -> pluggy.PluginManager:
    """A manager holding this plugin alone; raises if it implements unknown hooks, wrong arguments or nothing."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("UNIRESTORER_TRACE_PLUGINS", "0") not in ("", "0"):
        manager.trace.root.setwriter(partial(_trace, source.name))
        manager.enable_tracing()
    plugin = source.load()
    manager.register(plugin, name=source.name)
    refuse_unknown_hooks(manager, plugin)
    return manager


def _implemented(manager: pluggy.PluginManager) -> list[str]:
    """Names of the hooks that the plugin of ``manager`` implements, in the order of ``HOOKS``."""
    return [hook for hook in (*HOOKS, OBSERVER) if getattr(manager.hook, hook).get_hookimpls()]


def _log(source: Source, place: str, error: BaseException) -> str:
    """Warn of ``error``; returns its reason and remedy in one line."""
    reason = f"{place}{describe(error)}; {source.remedy(error)}"
    logger.warning("plugin '%s' of %s %s failed: %s", source.name, source.distribution, source.version, reason)
    return reason


def _trace(plugin: str, text: str) -> None:
    sys.stderr.write(f"plugin {plugin}: {text}")
