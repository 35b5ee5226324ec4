"""New samples of all that a model knows: in the shares of its recipe and of what it was extended by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..memory import Seen
from ..photos import CALIBRATION, HELDOUT, TRAIN
from ..samples import SampleSet
from ..stages.costs import Trials, joined, recorded_rows
from ..stages.remembering import joined as joined_seen
from ..stages.remembering import seen_of
from ..stages.synthesize import resolve
from .bench import Bench, Choice

SEED = 110
"""Added to the recipe's seed and the version: other samples than those that the routers learnt from."""


@dataclass(frozen=True)
class Redrawn:
    """n samples, as trials and as what a memory is made of; learnt (n,): those that routers are fitted to."""

    trials: Trials
    seen: Seen
    learnt: NDArray[np.bool_]

    def rows(self, split: int) -> NDArray[np.intp]:
        """Row numbers of the samples of a split."""
        return np.flatnonzero(self.trials.split == split)


class Portion(NamedTuple):
    """Samples to draw; ``plain``: of the recipe's mix, else extra ones for the routers, or a damage added later."""

    label: str
    choices: list[Choice]
    samples: int
    plain: bool = False


def portions_of(bench: Bench, count: int) -> list[Portion]:
    """What about ``count`` samples in all are drawn of."""
    trained, recipe = bench.trained, bench.trained.recipe
    known = trained.degradations()
    plain = [(name, dict(item.config), item.weight) for name, item in known.items() if item.samples is None]
    parts = [Portion("known damages", plain, recipe.synthesize.samples, plain=True)]
    for choice in recipe.costs.extra:
        config = dict(resolve(trained.catalogue, choice.degradation, choice))
        parts.append(Portion(f"extra {choice.degradation}", [(choice.degradation, config, 1.0)], choice.samples))
    for name, item in known.items():
        if item.samples is not None:
            parts.append(Portion(name, [(name, dict(item.config), 1.0)], item.samples))
    share = count / sum(part.samples for part in parts)
    return [part._replace(samples=max(1, round(share * part.samples))) for part in parts]


def redraw(bench: Bench, count: int) -> Redrawn:
    """About ``count`` samples; raises ``ConfigError`` where a split of the photos has none."""
    found = list(_made(bench, count))
    drawn = Redrawn(
        joined(*(part.trials for part in found)),
        joined_seen(*(part.seen for part in found)),
        np.concatenate([part.learnt for part in found]),
    )
    if any(not len(drawn.rows(split)) for split in (TRAIN, CALIBRATION, HELDOUT)):
        raise ConfigError(f"--samples: {len(drawn.trials)} samples leave a split of the photos empty; draw more")
    return drawn


def _made(bench: Bench, count: int) -> Iterator[Redrawn]:
    trained, recipe = bench.trained, bench.trained.recipe
    for number, part in enumerate(portions_of(bench, count)):
        given = bench.given.of(trained.given_kinds if part.plain else ())
        if not part.choices and not given.sources:
            continue
        samples = bench.draw(part.choices, part.samples, recipe.seed + SEED + 10 * trained.version + number, given)
        trials = bench.trials(samples, np.arange(len(samples)), part.label)
        yield Redrawn(trials, seen_of(samples, trials.dr), _learnt(bench, part, samples))


def _learnt(bench: Bench, part: Portion, samples: SampleSet) -> NDArray[np.bool_]:
    """Of the recipe's mix all of calibration photos and the recipe's share of the others; else what is not held out."""
    recipe = bench.trained.recipe
    if not part.plain:
        return np.asarray(samples.split != HELDOUT)
    some = round(recipe.costs.samples * part.samples / recipe.synthesize.samples)
    mask = np.zeros(len(samples), dtype=np.bool_)
    mask[recorded_rows(samples, some, recipe.seed)] = True
    return mask
