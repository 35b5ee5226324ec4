"""Names for nodes, after the samples in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..contracts import Prompts
from ..hierarchy import Hierarchy, LabelledTree, level_names


def named(tree: Hierarchy, census: NDArray[np.int32], prompts: Prompts) -> LabelledTree:
    """A unique name for each node after its majority prompt ("noise", "noise/small"), and its majority type.

    ``census`` (M, P) counts the samples of each prompt in each node.
    """
    of = np.array(prompts.type_of)
    by_type = np.stack([census[:, of == t].sum(1) for t in range(len(prompts.types))], axis=1)  # (M, T)
    types = [prompts.types[t] for t in by_type.argmax(1)]
    names: list[str] = []
    for node in range(len(tree)):
        inside = np.where(of == by_type[node].argmax(), census[node], -1)
        degree = prompts.pairs[int(inside.argmax())][1]
        level = int(tree.level[node])
        name = "all" if level == 0 else types[node] if level == 1 else f"{types[node]}/{degree}" + "+" * (level - 2)
        same = sum(1 for n in names if n == name or n.startswith(f"{name}#"))
        names.append(f"{name}#{same + 1}" if same else name)
    return LabelledTree(tree, tuple(names), ("all", *types[1:]), level_names(tree.depth))
