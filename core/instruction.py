"""Instruction mode: what a user says about a photo, which prunes the tree before the routers choose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from shlex import quote

Names = str | int | Sequence[str | int] | None
"""One name or number, several, or none."""


@dataclass(frozen=True)
class Instruction:
    """What may be chosen; an empty field says nothing. Names are checked by the mixture that gets it.

    tasks: damage types, or groups of them, in the words people use. degrees: for example "heavy". levels: names of
    levels, or their numbers, 0 for the root's. experts: node names or numbers. exclude: node names or tasks that must
    not be used. Several names of one field: any of them. What is said must hold together: see ``masking``.
    licence: ``commercial``, only experts that may be used so: see ``licences``.
    """

    tasks: tuple[str, ...] = ()
    degrees: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    experts: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    licence: str = field(default="", kw_only=True)

    @classmethod
    def of(
        cls,
        task: Names = None,
        degree: Names = None,
        level: Names = None,
        expert: Names = None,
        exclude: Names = None,
        licence: Names = None,
    ) -> Instruction:
        """From one name or several of each."""
        return cls(*map(_names, (task, degree, level, expert, exclude)), licence=" ".join(_names(licence)))

    @property
    def said(self) -> dict[str, tuple[str, ...]]:
        """What is said, without empty fields, by the names that the options of the command line have."""
        fields = (self.tasks, self.degrees, self.levels, self.experts, self.exclude, _names(self.licence or None))
        options = ("task", "degree", "level", "expert", "exclude", "license")
        return {option: names for option, names in zip(options, fields, strict=True) if names}

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return bool(self.said)

    def __str__(self) -> str:
        """As on the command line, for example ``--task rain --degree heavy``."""
        return " ".join(f"--{option} {quote(name)}" for option, names in self.said.items() for name in names)


AUTO = Instruction()
"""Auto mode: nothing is said."""


def _names(given: Names) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Iterable):  # numpy has integers of its own
        return (str(given),)
    return tuple(str(name) for name in given)
