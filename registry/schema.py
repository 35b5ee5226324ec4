"""What each kind of record must hold, as data; registry/FORMAT.md says the same and a test compares the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Presence = Literal["MUST", "MAY", "MUST unless `arch` is `identity`"]
"""Whether an array has to be there."""

AttributeType = Literal["string", "string or null", "integer", "object", "list", "any"]
"""JSON type of a required attribute; ``any`` may be null."""


@dataclass(frozen=True)
class ArraySpec:
    """One array, or a family of arrays where the name has a ``<...>`` segment.

    ``dtype`` is ``i4``, ``f4``, ``u1`` or ``any`` (bool, integers, floats). ``dims`` are symbols, digits, or a final
    ``...``. Equal symbols have equal extents within a record; ``n_s`` counts the items of the synthesizer named in
    the array's path.
    """

    name: str
    dtype: str
    dims: tuple[str, ...]
    presence: Presence = "MUST"


@dataclass(frozen=True)
class Kind:
    """A folder of records: ``encoding`` is their ``encoding-type``, ``segments`` the number of parts of a name.

    ``pair``: attributes of which a record has all or none. ``optional``: each of them may be there.
    """

    encoding: str
    attributes: Mapping[str, AttributeType]
    arrays: tuple[ArraySpec, ...] = ()
    segments: int = 1
    example: str = "tiny"
    pair: Mapping[str, AttributeType] = field(default_factory=dict)
    optional: Mapping[str, AttributeType] = field(default_factory=dict)


_OPTIONAL_WEIGHTS = ArraySpec("weights", "u1", ("W",), "MUST unless `arch` is `identity`")
_WEIGHTS = ArraySpec("weights", "u1", ("W",))

KINDS: Mapping[str, Kind] = {
    "dr_sets": Kind(
        "dr_set",
        {"images": "list", "synthesizers": "list", "prompts": "list", "extractor": "string or null", "seed": "integer"},
        (
            ArraySpec("dr", "f4", ("N", "D"), "MAY"),
            ArraySpec("image", "i4", ("N",)),
            ArraySpec("synthesizer", "i4", ("N",)),
            ArraySpec("prompt", "i4", ("N",)),
            ArraySpec("crop", "i4", ("N", "2")),
            ArraySpec("split", "i4", ("N",), "MAY"),
            ArraySpec("pair", "i4", ("N",), "MAY"),
            ArraySpec("params/<synth>/<field>", "any", ("n_s", "..."), "MAY"),
        ),
    ),
    "extractors": Kind(
        "extractor",
        {"arch": "string", "config": "object", "sha256": "string or null", "fingerprint": "string", "dim": "integer"},
        (_WEIGHTS,),
    ),
    "hierarchies": Kind(
        "hierarchy",
        {
            "clusterer": "any",
            "config": "object",
            "dr_set": "string or null",
            "normalize": "any",
            "node_names": "list",
            "level_names": "list",
            "figures": "object",
        },
        (
            ArraySpec("parent", "i4", ("M",)),
            ArraySpec("level", "i4", ("M",)),
            ArraySpec("centroid", "f4", ("M", "D")),
            ArraySpec("assign", "i4", ("N", "L"), "MAY"),
            ArraySpec("census", "i4", ("M", "P")),
        ),
    ),
    "experts": Kind(
        "expert",
        {
            "arch": "string",
            "config": "object",
            "sha256": "string or null",
            "steps": "integer",
            "parent": "string or null",
            "metrics": "object",
        },
        (_OPTIONAL_WEIGHTS,),
        segments=2,
        example="tiny/3",
        pair={"base": "string", "base_sha256": "string"},
        optional={"licence": "string"},
    ),
    "costs": Kind(
        "costs",
        {"dr_set": "string", "hierarchy": "string", "experts": "string"},
        (
            ArraySpec("l1", "f4", ("n", "M")),
            ArraySpec("mse", "f4", ("n", "M")),
            ArraySpec("sample", "i4", ("n",)),
            ArraySpec("dr", "f4", ("n", "D"), "MAY"),
            ArraySpec("kind", "i4", ("n",), "MAY"),
        ),
    ),
    "routers": Kind(
        "routers",
        {
            "config": "object",
            "sha256": "string or null",
            "dim": "integer",
            "leaves": "any",
            "levels": "any",
            "losses": "any",
        },
        (
            _WEIGHTS,
            ArraySpec("memory_dr", "f4", ("R", "D"), "MAY"),
            ArraySpec("memory_label", "i4", ("R",), "MAY"),
            ArraySpec("memory_photo", "i4", ("R",), "MAY"),
        ),
        pair={"memory_labels": "list", "memory_photos": "list", "novelty": "object"},
        optional={"temperatures": "object"},
    ),
    "models": Kind(
        "model",
        {
            "extractor": "string",
            "hierarchy": "string",
            "experts": "string",
            "routers": "string",
            "tasks": "any",
            "version": "any",
            "provenance": "any",
        },
    ),
    "stages": Kind("stage", {"fingerprint": "string", "report": "any"}),
}
"""Every kind of record by its folder."""
