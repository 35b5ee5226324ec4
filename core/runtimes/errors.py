"""Why a runtime does not take a network."""

from __future__ import annotations


class UnsupportedError(Exception):
    """A runtime cannot run this network, or not with the same numbers; the reference runs it instead."""

    def __init__(self, reason: str | BaseException) -> None:
        """``reason``: made one line, and not a long one."""
        lines = [line.strip() for line in str(reason).splitlines() if line.strip()]
        super().__init__((lines[-1] if lines else type(reason).__name__)[:200])
