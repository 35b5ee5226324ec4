"""How pictures are restored, beside what an ``Instruction`` says of their damage."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ConfigError


@dataclass(frozen=True)
class Treatment:
    """Raises ``ConfigError`` for what cannot be.

    strength: how much of the change is kept, 0 (the input, exactly) to 1. steps: how often the result is restored again
    at most. tile: side in pixels of the pieces of a large picture; None: as ``max_memory`` allows, 0: in one piece.
    overlap: pixels that neighbouring tiles share, None: as many as are good for them. max_memory: bytes that the
    process may take, None: see ``budget``. route_per_tile: whether parts of the picture get estimates of their own.
    guards: whether results are checked for harm.
    """

    strength: float = 1.0
    steps: int = 1
    tile: int | None = None
    overlap: int | None = None
    max_memory: int | None = None
    route_per_tile: bool = False
    guards: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"strength is {self.strength:g}, wanted 0 (as it was) to 1 (fully restored)")
        if self.steps < 1:
            raise ConfigError(f"steps is {self.steps}, wanted 1 or more")
        if self.tile is not None and self.tile < 0:
            raise ConfigError(f"tile is {self.tile}, wanted pixels, or 0 for one piece")
        if self.overlap is not None and not 0 <= 3 * self.overlap <= (self.tile or 3 * self.overlap):
            raise ConfigError(f"tile {self.tile} with overlap {self.overlap}: wanted 0 <= overlap <= tile / 3")
        if self.max_memory is not None and self.max_memory < 1:
            raise ConfigError(f"max_memory is {self.max_memory} bytes, wanted 1 or more")
