"""The program as tests call it."""

from __future__ import annotations

from pathlib import Path

import pytest

from unirestorer.cli.app import main


def run(*arguments: str | Path) -> int:
    """Run ``unirestorer`` in this process; returns its exit status."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)
