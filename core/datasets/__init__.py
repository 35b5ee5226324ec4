"""Readers of published data sets: where their files lie, which belong together, and what is missing. No pixels kept."""

from __future__ import annotations

from .described import Place, PublishedSet, Rule, Split
from .published import OWN, PUBLISHED
from .reader import Dataset, Pair, Side, find, open_below, open_dataset

__all__ = [
    "OWN",
    "PUBLISHED",
    "Dataset",
    "Pair",
    "Place",
    "PublishedSet",
    "Rule",
    "Side",
    "Split",
    "find",
    "open_below",
    "open_dataset",
]
