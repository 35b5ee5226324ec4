"""Prompts as text: what the text tower of CLIP reads for a (type, degree) pair."""

from __future__ import annotations

from collections.abc import Mapping

from unirestorer.degradations.configs import MIXTURES


def type_phrase(kind: str, words: Mapping[str, str]) -> str:
    """The type in words: its word, those of a mixture's parts, or its name."""
    if kind in words:
        return words[kind]
    if kind in MIXTURES:
        return " and ".join(words.get(part, part) for part in MIXTURES[kind].split(","))
    return kind.replace("_", " ")


def pair_phrase(kind: str, degree: str, words: Mapping[str, str]) -> str:
    """Degree and type in words, for example "small noise"; the type alone where the degree is "none".

    A degree of ``mixed`` that lists its parts says it all: "noise small + rain large", "small noise and large rain".
    """
    if degree == "none":
        return type_phrase(kind, words)
    parts = [part.split(" ") for part in degree.split(" + ")]
    if kind == "mixed" and max(len(parts), *map(len, parts)) > 1:
        return " and ".join(" ".join([*part[1:], type_phrase(part[0], words)]) for part in parts)
    return f"{degree} {type_phrase(kind, words)}"
