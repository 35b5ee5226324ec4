"""A map of the DRs in two dimensions, coloured by true type and by leaf."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..contracts import Labels
from ..files import atomic
from ..hierarchy import LabelledTree, normalised
from .quality import sampled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAP = "hierarchy.png"
DOTS = 3000
ROOM = 0.03
"""Share of the width and height of the map that a number takes."""
Colour = tuple[float, float, float]


def draw_map(
    labelled: LabelledTree, dr: NDArray[np.float32], labels: Labels, figures: dict[str, float], path: Path
) -> None:
    """Draw at most ``DOTS`` of ``dr`` (N, D), whose rows the tree assigns, along their two principal components.

    A leaf has a shade of its majority type's colour, and its number at the middle of its samples where there is room.
    """
    from matplotlib.figure import Figure

    pick = sampled(len(dr), DOTS)
    flat = flattened(normalised(dr[pick]) if labelled.tree.normalize else dr[pick])
    kinds = labels.prompts.types
    colours = dict(zip(kinds, hues(len(kinds)), strict=True))
    figure = Figure(figsize=(16, 7), layout="constrained")
    left, right = figure.subplots(1, 2)
    types = np.array(labels.prompts.type_of)[labels.prompt[pick]]
    _scatter(left, flat, types, {number: (kind, colours[kind]) for number, kind in enumerate(kinds)})
    left.set_title(f"true type (nodes of types: NMI {figures['nmi_type']:.3f}, purity {figures['purity_type']:.3f})")
    leaves = labelled.tree.assign[pick, -1]
    shades = leaf_colours(labelled, colours)
    _scatter(right, flat, leaves, {leaf: (f"{leaf} {labelled.names[leaf]}", shades[leaf]) for leaf in shades})
    right.set_title(f"leaf (with degrees: NMI {figures['nmi_prompt']:.3f}, purity {figures['purity_degree']:.3f})")
    _numbers(right, {leaf: np.median(flat[leaves == leaf], axis=0) for leaf in np.unique(leaves)}, np.ptp(flat, axis=0))
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=110)


def flattened(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """The two principal components (n, 2) of ``points`` (n, D); zeros where there are fewer."""
    flat = np.zeros((len(points), 2))
    left, spread, _ = np.linalg.svd(points.astype(np.float64) - points.mean(axis=0), full_matrices=False)
    flat[:, : len(spread)] = (left * spread)[:, :2]
    return flat


def hues(count: int) -> list[Colour]:
    """``count`` colours that can be told apart."""
    import matplotlib

    if count <= 20:
        tables = matplotlib.colormaps["tab10" if count <= 10 else "tab20"]
        return [tuple(map(float, tables(number)[:3])) for number in range(count)]  # type: ignore[misc]
    return [tuple(map(float, matplotlib.colormaps["hsv"](number / count)[:3])) for number in range(count)]  # type: ignore[misc]


def leaf_colours(labelled: LabelledTree, colours: dict[str, Colour]) -> dict[int, Colour]:
    """A shade of its type's colour for each leaf, from darker to lighter; grey for a type that has none."""
    leaves = [int(leaf) for leaf in labelled.tree.leaves]
    shades: dict[int, Colour] = {}
    for kind in dict.fromkeys([*colours, *(labelled.types[leaf] for leaf in leaves)]):
        own = [leaf for leaf in leaves if labelled.types[leaf] == kind]
        lights = np.linspace(-0.45, 0.55, len(own)) if len(own) > 1 else np.zeros(len(own))
        for leaf, light in zip(own, lights, strict=True):
            shades[leaf] = shade(colours.get(kind, (0.5, 0.5, 0.5)), float(light))
    return shades


def shade(colour: Colour, light: float) -> Colour:
    """``colour`` mixed with white by ``light`` in (0, 1], or with black by -``light``."""
    red, green, blue = (part + (1 - part) * light if light > 0 else part * (1 + light) for part in colour)
    return red, green, blue


def _scatter(
    axes: Axes, flat: NDArray[np.float64], labels: NDArray[np.integer], legend: dict[int, tuple[str, Colour]]
) -> None:
    for number, (label, colour) in legend.items():
        here = labels == number
        if here.any():
            axes.scatter(flat[here, 0], flat[here, 1], s=7, color=[colour], label=label, linewidths=0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=3.5, fontsize=9, ncols=1 + len(legend) // 31)


def _numbers(axes: Axes, places: dict[int, NDArray[np.float64]], span: NDArray[np.float64]) -> None:
    from matplotlib.patheffects import withStroke

    halo, taken = [withStroke(linewidth=2.5, foreground="white")], list[NDArray[np.float64]]()
    for number, place in places.items():
        if all((np.abs(place - other) > ROOM * span).any() for other in taken):
            x, y = map(float, place)
            axes.text(x, y, str(number), ha="center", va="center", fontsize=10, weight="bold", path_effects=halo)
            taken.append(place)
