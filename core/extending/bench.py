"""Where an extension is made: the model, photos and pairs, scratch space; and the samples of the older damages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..errors import DataError
from ..pairs import Given
from ..photos import HELDOUT, TRAIN, Photos
from ..recipe import code_stamp, fingerprint
from ..rendering import Truths, render, truths
from ..run import Watcher, data_stamp
from ..samples import SampleSet, build_synthesizer, draw
from ..stages.costs import Trials, draw_extra, joined, recorded_rows, trials_of
from ..stages.synthesize import resolve, split_of
from ..training.loop import Progress
from .options import ExtensionRecipe
from .trained import Trained

TRIED = 300
"""New samples of training photos that every expert is tried on; on the others only the new ones and the choice."""
Choice = tuple[str, dict[str, Any], float]
"""A degradation, its configuration and its share."""


@dataclass(frozen=True)
class Rehearsal:
    """Samples of the older damages. On those that are ``full`` (n,) every expert is tried, on the others only the one
    that the routers choose and the new ones.
    """

    trials: Trials
    full: NDArray[np.bool_]


@dataclass(frozen=True)
class Bench:
    """``work`` is a scratch folder; what lies in it lets an interrupted extension go on where it stopped.

    ``given``: the pairs that the model learnt from, if it did; raises ``DataError`` where these are missing.
    """

    trained: Trained
    photos: Photos
    work: Path
    options: ExtensionRecipe
    watch: Watcher
    given: Given = field(default_factory=Given)

    def __post_init__(self) -> None:
        there = {source.kind for source in self.given.sources}
        for kind in self.trained.given_kinds:
            if kind not in there:
                sets = ", ".join(choice.dataset for choice in self.trained.recipe.synthesize.pairs[kind])
                raise DataError(
                    f"models/{self.trained.model}: learnt '{kind}' from given pairs ({sets}), which extending needs "
                    "again; name the folder of data sets: --datasets DIR"
                )

    @cached_property
    def extractor(self) -> nn.Module:
        """The model's extractor."""
        network: nn.Module = self.trained.extractor()
        return network

    @cached_property
    def split(self) -> NDArray[np.int32]:
        """(photos,) which of them train, calibrate, or are held out."""
        return split_of(self.photos, self.trained.recipe)

    @cached_property
    def stamp(self) -> str:
        """Changes with the model, photos and pairs, and the options."""
        return fingerprint(self.trained.stamp, data_stamp(self.photos, self.given), self.options)

    def draw(self, choices: Sequence[Choice], count: int, seed: int, given: Given | None = None) -> SampleSet:
        """``count`` new samples of the photos, and of ``given`` pairs."""
        side = self.trained.recipe.synthesize.crop
        return draw(self.trained.catalogue, choices, self.photos, self.split, count, side, seed, given)

    def pixels(self, samples: SampleSet, label: str) -> NDArray[np.uint8]:
        """Rendered ``samples``, kept in the scratch folder."""
        self.watch(f"render {label}", 0, len(samples), "samples")
        catalogue = self.trained.catalogue
        code = [code_stamp(build_synthesizer(catalogue, name, config)) for name, config in samples.synthesizers]
        digest = fingerprint(_digest(samples), code)
        pixels = render(samples, self.photos, catalogue, self.work / f"pixels-{digest[:16]}.npy", self.given)
        self.watch(f"render {label}", len(samples), len(samples), "samples")
        return pixels

    def truths(self, samples: SampleSet) -> Truths:
        """What ``samples`` would be undamaged."""
        return truths(samples, self.photos, self.given, self.work / f"truths-{_digest(samples)[:16]}.npy")

    def trials(self, samples: SampleSet, rows: NDArray[np.integer], label: str, *, recorded: bool = False) -> Trials:
        """``rows`` of ``samples`` as trials; renders these alone."""
        part = samples.take(rows)
        trials = trials_of(
            part,
            self.pixels(part, label),
            np.arange(len(rows)),
            truths=self.truths(part),
            catalogue=self.trained.catalogue,
            extractor=self.extractor,
            patch=self.trained.recipe.costs.patch,
        )
        return replace(trials, sample=rows.astype(np.int32)) if recorded else trials

    def losses(self, task: str) -> Progress:
        """Progress of a training run that reports to the watcher."""
        return lambda step, steps, loss: self.watch(task, step, steps, f"loss {loss:.4f}")

    def rehearsal(self, confused: Mapping[str, float] | None = None) -> Rehearsal:
        """Samples of all that the model knows, held-out ones last; equal photos and options give equal samples.

        As many again are drawn of the damages that something new is ``confused`` with, by their shares.
        """
        parts = [*self._rehearsed(), *self._confusable(confused or {})]
        trials, full = joined(*(part.trials for part in parts)), np.concatenate([part.full for part in parts])
        plan = self.trained.recipe.synthesize
        gone = {*plan.degradations, *plan.pairs} - set(self.trained.taught())
        order = np.argsort(trials.split == HELDOUT, kind="stable")
        order = order[~np.isin(trials.kind[order], list(gone))]
        return Rehearsal(trials.take(order), full[order])

    def _rehearsed(self) -> Iterator[Rehearsal]:
        recipe, known, options = self.trained.recipe, self.trained.degradations(), self.options
        recorded, share = self._recorded(), 1.0
        if recorded is not None:
            rows = recorded_rows(recorded, recipe.costs.samples, recipe.seed)
            held = np.random.default_rng(recipe.seed).permutation(recorded.rows(HELDOUT))[: options.tried]
            yield self._part(self.trials(recorded, rows, "recorded samples", recorded=True), 1.0)
            yield self._part(self.trials(recorded, np.sort(held), "held-out samples"), 1.0)
        else:
            extra = sum(choice.samples for choice in recipe.costs.extra)
            plain = recipe.costs.samples + recipe.synthesize.calibration * recipe.synthesize.samples
            share = min(1.0, options.rehearsal / (plain + extra))
            base = [(name, dict(item.config), item.weight) for name, item in known.items() if item.samples is None]
            given = self.given.of(self.trained.given_kinds)
            count = max(16 * (len(base) + len(given.sources)), round(share * plain))
            samples = self.draw(base, count, recipe.seed + 50, given)
            yield self._part(
                self.trials(samples, np.arange(len(samples)), "known damages"), options.tried / options.rehearsal
            )
        for number, choice in enumerate(recipe.costs.extra):
            count = max(8, round(share * choice.samples))
            samples, rest = draw_extra(self.trained.catalogue, self.photos, recipe, number, count)
            part = 1.0 if recorded is not None else options.tried / options.rehearsal
            yield self._part(self.trials(samples, rest, f"extra {number}"), part)
        for name, item in known.items():
            if item.samples is not None:
                samples = self.draw([(name, dict(item.config), 1.0)], item.samples, item.seed)
                yield self.newly(samples, f"{name} again")

    def _confusable(self, confused: Mapping[str, float]) -> Iterator[Rehearsal]:
        recipe, known, catalogue = self.trained.recipe, self.trained.degradations(), self.trained.catalogue
        choices = [(name, dict(known[name].config), share) for name, share in confused.items() if name in known]
        for choice in recipe.costs.extra:  # undamaged photos of other looks are as easily confused as clean ones
            share = confused.get(recipe.experts.identity, 0.0)
            if share and catalogue.synthesizer(choice.degradation).undamaged:
                choices.append((choice.degradation, dict(resolve(catalogue, choice.degradation, choice)), share))
        given = self.given.shared({kind: share for kind, share in confused.items() if kind in self.trained.given_kinds})
        if choices or given.sources:
            samples = self.draw(choices, self.options.rehearsal, self.trained.recipe.seed + 55, given)
            trials = self.trials(samples, np.flatnonzero(samples.split != HELDOUT), "confusable damages")
            yield self._part(trials, self.options.tried / self.options.rehearsal / 2)

    def _part(self, trials: Trials, share: float) -> Rehearsal:
        """Every expert is tried on ``share`` of ``trials``, and on all held-out ones."""
        full = np.random.default_rng(self.trained.recipe.seed).permutation(len(trials)) < round(share * len(trials))
        return Rehearsal(trials, full | (trials.split == HELDOUT))

    def newly(self, samples: SampleSet, label: str) -> Rehearsal:
        """New ``samples`` as trials; of the training photos' every expert is tried on the first ``TRIED``."""
        trials = self.trials(samples, np.arange(len(samples)), label)
        full = trials.split != TRAIN
        full[np.flatnonzero(~full)[:TRIED]] = True
        return Rehearsal(trials, full)

    def _recorded(self) -> SampleSet | None:
        """The samples that the model was trained on, if the registry has them, and photos and pairs are still there."""
        store, name = self.trained.store, self.trained.base
        if not store.exists("dr_sets", name):
            return None
        samples = SampleSet.from_record(store.read("dr_sets", name))
        known = samples.photos
        used = {*samples.images[known:], *(file for file, _ in samples.pairs)}
        same = samples.hashes[:known] == self.photos.hashes and used <= self.given.names()
        return samples if same and samples.dr is not None else None


def _digest(samples: SampleSet) -> str:
    """Hash of all that decides the pixels of ``samples``, but for the photos, which have a hash each."""
    record = samples.to_record()
    arrays = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in record.arrays.items()}
    return fingerprint(dict(record.attributes), arrays)
