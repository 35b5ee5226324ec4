"""A mixture of experts for tests whose estimates and experts are functions: what is damaged is told by the pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.explaining import Branch
from unirestorer.core.images import Picture, load
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Estimate, Expert

NODES = ("all", "rain", "rain/heavy", "haze", "haze/thick", "clean")
PATHS = ((0,), (0, 1), (0, 1, 2), (0, 3), (0, 3, 4), (0, 5))
PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "wren-clean.jpg"


class Function(nn.Module):
    """A network that is a function of (1, 3, h, w)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        return self.function(image)


def mild(image: Tensor) -> Tensor:
    """What a good expert may do: a little less contrast, more light in the shadows."""
    return image * 0.85 + 0.1


def found(node: int, sure: float = 1.0, undamaged: float = 0.0, novelty: float = 0.5) -> Estimate:
    """An estimate that leads to ``node``, whose branch has the probability ``sure``."""
    path = tuple(NODES[step] for step in PATHS[node])
    branch = path[min(1, len(path) - 1)]
    levels = ("ALL", "TYPE", "DEGREE")
    tree = tuple(
        Branch(
            number,
            name,
            levels[len(PATHS[number]) - 1],
            len(PATHS[number]) - 1,
            1.0 if not number else sure if name.startswith(branch) else (1 - sure) / 2,
        )
        for number, name in enumerate(NODES)
    )
    types = {"clean": undamaged, branch: 1 - undamaged} if branch != "clean" else {"clean": undamaged}
    task = max(types, key=lambda name: types[name])
    return Estimate(
        node,
        path,
        task,
        {},
        {},
        types,
        (),
        ((node, 1.0),),
        levels[len(path) - 1],
        tree,
        novelty=novelty,
        unknown=novelty > 1,
        undamaged=undamaged,
    )


@dataclass
class Healing:
    """``look`` says what an image (1, 3, h, w) lacks; ``experts`` are what is run by node name, the others ``mild``."""

    look: Callable[[Tensor], Estimate]
    experts: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    ran: list[str] = field(default_factory=list)
    tasks: tuple[str, ...] = ("clean", "haze", "rain")

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        return self.mask

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        return self.look(image)

    def expert(self, node: int) -> Expert:
        name = NODES[node]

        def run(image: Tensor) -> Tensor:
            self.ran.append(name)
            return self.experts.get(name, mild)(image)

        module = Function(run)
        return Expert(module, SizeRequirement(), name == "clean", name)


def photo(side: int = 256) -> Picture:
    """The middle of a real photo."""
    picture = load(PHOTO)
    top, left = (picture.pixels.shape[0] - side) // 2, (picture.pixels.shape[1] - side - 40) // 2
    return replace(picture, pixels=picture.eight[top : top + side, left : left + side + 40].copy())
