"""``unirestorer runtimes``: what can run experts on this machine, and whether all of it gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unirestorer.cli.console import FAILED, complain, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unirestorer.core.mixture import Expert
    from unirestorer.core.runtimes import State
    from unirestorer.core.runtimes.comparing import Comparison


def runtimes(
    check: Annotated[
        bool, typer.Option("--check", help="Run every expert with each and compare with PyTorch.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--runtime", metavar="NAME", help="Only this runtime (repeatable).")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE_OR_DIR", help="Registry (.zip or folder) with the model. Default: the one inside."),
    ] = None,
) -> None:
    """List what can run experts here, and which of it is chosen. With --check, compare: exit 2 where numbers differ."""
    from unirestorer.core.errors import UnknownNameError
    from unirestorer.core.runtimes import RUNTIMES, states

    for name in only or ():
        if name not in RUNTIMES:
            raise UnknownNameError("runtime", name, RUNTIMES)
    shown = [state for state in states() if not only or state.name in only]
    if check:
        _check(shown, model)
    else:
        print_table(
            ("runtime", "version", "state"), [(state.name, state.version or "-", _said(state)) for state in shown]
        )


def _said(state: State) -> str:
    return state.problem or ("chosen" if state.chosen else "usable")


def _check(shown: Sequence[State], model: Path | None) -> None:
    from unirestorer.core.runtimes import runtime_of
    from unirestorer.core.runtimes.comparing import compare

    experts = _experts(model)
    usable = [state for state in shown if not state.problem]
    found = compare([runtime_of(state.name) for state in usable], experts)
    print_table(
        ("runtime", "version", "experts", "largest difference", "", "ms per megapixel", "times as fast"),
        [_row(state, one) for state, one in zip(usable, found, strict=True)],
    )
    for one in found:
        for line in one.unsupported:
            say(f"{one.runtime} leaves to PyTorch: {line}")
    for state in shown:
        if state.problem:
            say(f"{state.name}: {state.problem}")
    wrong = [one for one in found if not _fine(one)]
    for one in wrong:
        complain(f"runtime {one.runtime}: differs from PyTorch by {one.gap * 255:.2f} of 255, wanted at most 1")
    if wrong:
        raise typer.Exit(FAILED)


def _experts(model: Path | None) -> list[Expert]:
    from unirestorer.api import embedded_model
    from unirestorer.core.mixture import Mixture
    from unirestorer.core.runtimes.comparing import distinct
    from unirestorer.plugins.manager import load_catalogue
    from unirestorer.registry import open_registry

    return distinct(Mixture(open_registry(model or embedded_model()), load_catalogue()))


def _row(state: State, one: Comparison) -> tuple[str, ...]:
    verdict = "equal" if one.equal else "rounded" if _fine(one) else "differs"
    speed = f"{one.reference / one.seconds:.2f}" if one.seconds else "-"
    gap = f"{one.gap * 255:.5f} of 255"
    return (state.name, state.version, str(one.experts), gap, verdict, f"{one.seconds * 1000:.0f}", speed)


def _fine(one: Comparison) -> bool:
    """Equal, or a runtime that is asked for because it rounds."""
    return one.equal or one.runtime.endswith("bf16")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(runtimes)
