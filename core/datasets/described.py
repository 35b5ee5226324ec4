"""How a data set is described: its splits, where their files lie, and which of them belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..errors import UnknownNameError


def squashed(name: str) -> str:
    """Lower-case letters and digits of ``name``."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


class Rule(NamedTuple):
    """A damaged file and a truth belong together when what the groups of these patterns find is equal.

    The patterns are matched to whole file names without suffix.
    """

    lq: str = "(.+)"
    gt: str = "(.+)"


class Place(NamedTuple):
    """Folders below the root that hold a split: of damaged images (``lq``) and of their truths (``gt``).

    ``lq`` None: a set of clean photos. ``gt`` None: every file shows the damaged image on its left half and the truth
    on its right one. ``.`` is the root itself, ``a + b`` both folders. In a path, ``*`` stands for any letters,
    ``{scene}`` for a folder that must be called alike on both sides, ``{degree}`` for one that says how bad the damage
    is. ``bare``: does not say which split it is, so only the number of files tells.
    """

    lq: str | None
    gt: str | None
    bare: bool = False

    @property
    def label(self) -> str:
        """For messages, like ``input & target``."""
        if self.gt is None:
            return f"{self.lq} (damaged and true side by side)"
        return self.gt if self.lq is None else f"{self.lq} & {self.gt}"


@dataclass(frozen=True)
class Split:
    """A part of a data set; ``places`` are tried in order. ``count``: pairs (or photos) published, None where unknown.

    ``degree``: of all its pairs.
    """

    name: str
    count: int | None
    places: tuple[Place, ...]
    degree: str | None = None


@dataclass(frozen=True)
class PublishedSet:
    """A data set as published.

    ``aliases``: other names of it. ``archives``: names of folders that its archives make. ``task``: damage type of its
    pairs, or what clean photos are used for. ``rules``: tried in order. ``degrees``: folder name to degree, for
    ``{degree}``; other folders are left out. ``centred``: the truth may have a border around what the damaged image
    shows. ``certain``: whether counts and layout were confirmed; ``note`` says what was not, and what to look out for.
    """

    name: str
    task: str
    splits: tuple[Split, ...]
    home: str
    kind: Literal["pairs", "clean"] = "pairs"
    aliases: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    licence: str = "not stated"
    rules: tuple[Rule, ...] = (Rule(),)
    degrees: Mapping[str, str] = field(default_factory=dict)
    centred: bool = False
    certain: bool = True
    note: str = ""

    def called(self, name: str) -> bool:
        """Whether ``name`` is the name or an alias, whatever its case and punctuation."""
        return squashed(name) in map(squashed, (self.name, *self.aliases))

    def makes(self, folder: str) -> bool:
        """Whether the set or one of its archives may lie in a folder of this name."""
        return self.called(folder) or squashed(folder) in map(squashed, self.archives)

    def split(self, name: str) -> Split:
        """The split called ``name``; raises ``UnknownNameError``."""
        for split in self.splits:
            if split.name == name:
                return split
        raise UnknownNameError(f"split of {self.name}", name, [split.name for split in self.splits])
