"""The conformance kit in pytest, in every session where unirestorer is installed, so it imports nothing heavy.

``pytest --unirestorer-check NAME`` (repeatable) adds the rules of an installed degradation, extractor, expert or
clusterer, or of all of a distribution, as test items. Fixtures: ``clean_images`` and ``representations``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

ENTRY_POINT = "unirestorer"
OPTION = "--unirestorer-check"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the option; when loaded by ``-p``, keep the entry point from registering this module once more."""
    if not pluginmanager.has_plugin(ENTRY_POINT):
        pluginmanager.set_blocked(ENTRY_POINT)
    group = parser.getgroup("unirestorer")
    help_text = "run the conformance kit on an installed plugin or on all of a distribution (repeatable)"
    group.addoption(OPTION, action="append", default=[], metavar="NAME", help=help_text)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """With the option: the version, and the plugins that failed to load."""
    if not config.getoption(OPTION):
        return []
    failed = [f"unirestorer: {row.name} of {row.distribution} {row.state}" for row in _rows() if _failed(row)]
    return [f"unirestorer: {version('unirestorer')}", *failed]


@pytest.hookimpl(tryfirst=True)  # so that -k and the like see the items
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add one item per rule of each plugin asked for."""
    for name in dict.fromkeys(config.getoption(OPTION)):
        items += _items(session, name)


class RuleItem(pytest.Item):
    """One rule of one plugin."""

    def __init__(self, *, contract: Callable[[], Any], rule: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.contract, self.rule = contract, rule

    def runtest(self) -> None:
        """Run the rule; it raises where it is broken."""
        getattr(self.contract(), self.rule)()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message of a broken rule alone; the traceback of anything else that a plugin raised."""
        return str(excinfo.value) if excinfo.errisinstance(AssertionError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """Place and name for reports."""
        return self.nodeid.split("::")[0], None, self.nodeid


@pytest.fixture(scope="session")
def clean_images() -> Callable[..., Tensor]:
    """``clean_images(n=2, height=40, width=48, seed=1)``: smooth textured images, float32 (n, 3, H, W) in [0, 1]."""
    function: Callable[..., Tensor] = import_module("unirestorer.core.testing.data").clean_images
    return function


@pytest.fixture(scope="session")
def representations() -> Callable[..., NDArray[np.float32]]:
    """``representations(n=240, width=8, seed=0)``: DRs in Gaussian blobs, float32 (n, width)."""
    function: Callable[..., NDArray[np.float32]] = import_module("unirestorer.core.testing.data").representations
    return function


def _items(session: pytest.Session, name: str) -> Iterator[pytest.Item]:
    contract_of = import_module("unirestorer.core.testing.checking").contract_of
    for row, spec in _specs(name):
        contract = contract_of(spec)
        for rule in contract.rules():
            nodeid = f"{row.kind} {row.name}::{rule.removeprefix('test_')}"
            yield RuleItem.from_parent(session, name=rule, nodeid=nodeid, contract=contract, rule=rule)


def _specs(name: str) -> list[tuple[Any, Any]]:
    """Row and spec of everything called ``name`` or of the distribution ``name``; a ``UsageError`` for none."""
    rows = [row for row in _rows() if name in (row.name, row.distribution)]
    failed = [row.state for row in rows if row.state != "ok"]
    found = [(row, _find(row)) for row in rows if row.state == "ok" and row.kind not in ("observer", "plugin")]
    if failed or not found:
        why = "; ".join(failed) or f"not registered; known: {', '.join(sorted({row.name for row in _rows()}))}"
        raise pytest.UsageError(f"{OPTION} {name}: {why}")
    return found


def _find(row: Any) -> Any:
    catalogue = _manager().load_catalogue()
    return getattr(catalogue, "synthesizer" if row.kind == "degradation" else row.kind)(row.name)


def _rows() -> list[Any]:
    rows: list[Any] = _manager().plugin_table()
    return rows


def _manager() -> Any:
    # The kit belongs to core, which knows no plugins; only this option asks for those that are installed.
    return import_module("unirestorer.plugins.manager")


def _failed(row: Any) -> bool:
    return row.state not in ("ok", "disabled")
