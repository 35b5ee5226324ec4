"""The words people use. For damages each degradation brings its own (``SynthesizerSpec.words``); for degrees, these.

Case, spaces, hyphens and underscores do not count. A name always comes before a word that means it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

SEVERITIES: tuple[tuple[str, ...], ...] = (
    ("light", "small", "weak", "slight", "mild", "thin", "low", "little", "normal"),
    ("medium", "moderate", "middle"),
    ("heavy", "large", "strong", "severe", "thick", "dense", "high", "big"),
)
"""Words for degrees, the lightest first; those of one line mean the same."""


def plain(word: str) -> str:
    """``word`` without what does not count: ``Low-Light`` and ``low light`` are ``lowlight``."""
    return re.sub(r"[\s_-]+", "", word.casefold())


def types_meant(word: str, types: Sequence[str], words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Which of a model's ``types`` somebody means by ``word``; none where these are not of the model.

    ``words``: those of every registered degradation. A type that is called so comes first, whether or not the model has
    it: where a plugin registers ``fog``, that is no word for haze. A word of several types means all of them.
    """
    if word in types:
        return (word,)
    meant = plain(word)
    called = [name for name in dict.fromkeys([*types, *words]) if plain(name) == meant]
    found = called or [name for name in types if meant in map(plain, words.get(name, ()))]
    return tuple(name for name in found if name in types)


def degrees_meant(word: str, degrees: Iterable[str]) -> tuple[str, ...]:
    """Which of ``degrees`` somebody means by ``word``: those called so, else those of the same severity."""
    known = tuple(dict.fromkeys(degrees))
    called = tuple(name for name in known if plain(name) == plain(word))
    same = severity(word)
    return called or tuple(name for name in known if same is not None and severity(name) == same)


def severity(word: str) -> int | None:
    """The line of ``SEVERITIES`` that ``word`` stands in; ``None`` for a degree that says no severity."""
    return next((line for line, words in enumerate(SEVERITIES) if plain(word) in words), None)
