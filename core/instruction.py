"""Instruction mode: what a user says about a photo, which prunes the tree before the routers choose."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Instruction:
    """What may be chosen; an empty field says nothing. Names are checked by the mixture that gets it.

    tasks: damage types, or groups of them. degrees: for example "heavy". levels: names of levels. experts: node names.
    exclude: node names or tasks that must not be used.
    """

    tasks: tuple[str, ...] = ()
    degrees: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    experts: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return any(astuple(self))


AUTO = Instruction()
"""Auto mode: nothing is said."""
