"""The architectures that a recipe names for its experts, and whether each of them can be what it is named for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .catalogue import Catalogue
from .contracts import ExpertSpec
from .errors import UnknownNameError

Problems = Iterator[tuple[tuple[str | int, ...], str]]


def expert_choices(values: Mapping[str, Any]) -> dict[tuple[str | int, ...], Mapping[str, Any]]:
    """Every block of the recipe ``values`` that names an expert architecture, by its place."""
    experts = values.get("experts")
    if not isinstance(experts, dict):
        return {}
    types = experts.get("types")
    places: dict[tuple[str | int, ...], Any] = {("experts",): experts, ("experts", "adapter"): experts.get("adapter")}
    for kind, choice in types.items() if isinstance(types, dict) else ():
        places["experts", "types", str(kind)] = choice
    return {place: choice for place, choice in places.items() if isinstance(choice, dict)}


def expert_problems(values: Mapping[str, Any], catalogue: Catalogue) -> Problems:
    """Architectures in the wrong place, types of no damage, patches that an architecture cannot take."""
    yield from _unknown_types(values)
    found = {place: catalogue.experts.get(str(choice.get("name"))) for place, choice in expert_choices(values).items()}
    specs = {place: spec for place, spec in found.items() if spec is not None}
    for place, spec in specs.items():
        if problem := _misplaced(spec, place, catalogue):
            yield (*place, "name"), problem
    root = specs.get(("experts",))
    if root is not None and root.name == "identity" and ("experts", "adapter") in found:
        yield ("experts", "name"), "'identity' has no weights that experts.adapter can rest on; name a network"
    for spec in {spec.name: spec for spec in specs.values()}.values():
        yield from _patches(values, spec)


def _misplaced(spec: ExpertSpec[Any], place: tuple[str | int, ...], catalogue: Catalogue) -> str:
    if place == ("experts", "adapter"):
        known = ", ".join(name for name, other in catalogue.experts.items() if other.over is not None)
        return "" if spec.over is not None else f"'{spec.name}' is no adapter; adapters: {known or 'none'}"
    if spec.revive is not None:
        return f"'{spec.name}' is made of a file of weights, not trained; 'unirestorer extend expert' takes such files"
    if spec.over is not None and place == ("experts",):
        return f"'{spec.name}' is an adapter over the root's expert; name it as experts.adapter, and a network here"
    return ""


def _unknown_types(values: Mapping[str, Any]) -> Problems:
    experts, synthesize = values.get("experts"), values.get("synthesize")
    if isinstance(experts, dict) and isinstance(synthesize, dict):
        blocks = (synthesize.get("degradations"), synthesize.get("pairs"))
        known = {str(name) for block in blocks if isinstance(block, dict) for name in block}
        types = experts.get("types")
        for kind in types if isinstance(types, dict) else ():
            if str(kind) not in known:
                yield ("experts", "types", str(kind)), str(UnknownNameError("damage of this recipe", str(kind), known))


def _patches(values: Mapping[str, Any], spec: ExpertSpec[Any]) -> Problems:
    for section in ("experts", "costs"):
        block = values.get(section)
        patch = block.get("patch", 128) if isinstance(block, dict) else 128
        if isinstance(patch, int) and patch % spec.size.multiple:
            yield (section, "patch"), f"{spec.name} needs a multiple of {spec.size.multiple} (got {patch})"
