"""Train both routers on (DR, cost row) pairs, in seconds, calibrate them, and tie everything into a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import calibration
from ..calibration import Judged, Reliability, judged, reliability
from ..contracts import Record
from ..hierarchy import Hierarchy
from ..models import belonging, load_hierarchy, routers_record
from ..photos import CALIBRATION
from ..recipe import RoutersConfig
from ..routing import PLAIN, RouterObjective, RouterOptions, Routers, Temperatures
from ..run import Run
from ..samples import SampleSet
from ..training.loop import Progress, fit, seeded
from .costs import draw_extra
from .remembering import memory_of

FLOOR = 1e-5  # squared error below which an image counts as equally good: 50 dB
_ROUTERS = ("leaf", "level")
FOLDS = 2
"""Parts of the calibration photos; each is judged by routers that were trained without it."""


def routers(run: Run, stamp: str) -> None:
    """Write the routers and the model record, and draw how reliable the routers' probabilities are."""
    tree, _, types, _ = load_hierarchy(run.store, run.name)
    section, seed = run.recipe.routers, run.recipe.seed
    table = run.store.read("costs", run.name).arrays
    rows = Rows.of(table, section)

    def train(some: Rows, part: str) -> Routers:
        checkpoint = run.work / f"routers-{stamp[:16]}{part}.safetensors"
        return trained(tree, some, section, seed, checkpoint, run.losses(f"routers{part}"))

    start = perf_counter()
    network = train(rows, "")
    figures = {"seconds": perf_counter() - start, "regret": rows.regret(network)}
    if section.calibrate:
        apart = judged_apart(train, rows, folds_of(*photos_of(run, table["sample"]), seed), tree)
        figures |= {"regret apart": apart.regret, **calibrate(network, apart, run.reports / "reliability.png")}
    given = {"config": section.model_dump(mode="json"), "losses": {"regret": figures["regret"]}}
    record = memory_of(run, tree, table).added_to(routers_record(network, given))
    names = [f"{run.name}/{node}" for node in range(len(tree))]
    ties = {
        **belonging(run.store, run.name, run.store.attributes("hierarchies", run.name)["stamp"], names),
        "extractor": run.name,
        "hierarchy": run.name,
        "experts": run.name,
        "routers": run.name,
        "tasks": sorted({types[leaf] for leaf in tree.leaves}),
        "version": 1,
        "provenance": {"recipe": run.recipe.model_dump(mode="json"), "photos": run.data_stamp},
    }
    model = Record({}, ties)
    records = {("routers", run.name): record, ("models", run.name): model, ("models", "default"): model}
    run.commit("routers", stamp, records, _summary(section, figures), figures)


def _summary(section: RoutersConfig, figures: Mapping[str, float]) -> str:
    text = f"trained for {section.training.steps} steps ({section.objective})"
    text += f"; mean regret {figures['regret']:.3f} ({section.cost})"
    if section.calibrate:
        gaps = (f"{name} {figures[f'ece {name} before']:.3f} to {figures[f'ece {name}']:.3f}" for name in _ROUTERS)
        text += f"; calibration error {', '.join(gaps)}"
    return text


@dataclass(frozen=True)
class Rows:
    """What routers are trained on: dr (n, D), ``cost`` of every expert (n, M), and the same in dB of PSNR (n, M)."""

    dr: NDArray[np.float32]
    cost: NDArray[np.float32]
    decibels: NDArray[np.float32]

    @classmethod
    def of(cls, table: Mapping[str, NDArray[np.float32]], section: RoutersConfig) -> Rows:
        """The rows of a table of costs."""
        cost = scaled_cost(table["l1"], table["mse"], section)
        lowest = FLOOR**0.5
        decibels = 20 * np.log10(np.maximum(cost, lowest) / lowest) if section.cost == "l1" else 10 * cost
        return cls(table["dr"], cost, decibels)

    def take(self, rows: NDArray[np.bool_]) -> Rows:
        """Those of a mask (n,)."""
        return Rows(self.dr[rows], self.cost[rows], self.decibels[rows])

    def regret(self, network: Routers) -> float:
        """Mean cost of the choice above that of the cheapest expert."""
        chosen = self.cost[np.arange(len(self.dr)), choose(network, self.dr)]
        return float((chosen - self.cost.min(1)).mean())


def scaled_cost(l1: NDArray[np.float32], mse: NDArray[np.float32], section: RoutersConfig) -> NDArray[np.float32]:
    """(n, M) cost: ``l1`` as it is, or ``db``, the PSNR lost against 50 dB in units of 10 dB."""
    return l1 if section.cost == "l1" else np.log10(np.maximum(mse, FLOOR) / FLOOR).astype(np.float32)


def trained(
    tree: Hierarchy, rows: Rows, section: RoutersConfig, seed: int, checkpoint: Path, progress: Progress | None = None
) -> Routers:
    """Routers over ``tree`` fitted to ``rows`` as ``section`` says, not yet calibrated."""
    network = seeded(lambda: new_routers(tree, rows.dr, RouterOptions.of(section)), seed)
    centre = tree.centroid[tree.assign_dr(rows.dr)[:, -1]]
    batches = CostBatches(network, rows.dr, rows.cost, centre, section, seed)
    fit(RouterObjective(network, section), batches, section.training, checkpoint=checkpoint, progress=progress)
    network.settle(torch.from_numpy(rows.dr))
    return network


def photos_of(run: Run, sample: NDArray[np.int32]) -> tuple[NDArray[np.str_], NDArray[np.int32]]:
    """Name and split (n,) of the photo of every row of the costs, whose ``sample`` numbers (n,) are -1 for extra ones.

    Extra ones are drawn once more, but not made.
    """
    samples, plan = run.samples(), run.recipe.costs.extra
    recorded = sample[sample >= 0]
    parts: list[tuple[SampleSet, NDArray[np.integer]]] = [(samples, recorded)]
    parts += [draw_extra(run.catalogue, run.photos, run.recipe, k, extra.samples) for k, extra in enumerate(plan)]
    names = [np.array(drawn.images)[drawn.image[rows]] for drawn, rows in parts]
    return np.concatenate(names), np.concatenate([drawn.split[rows] for drawn, rows in parts])


def folds_of(photo: NDArray[np.str_], split: NDArray[np.int32], seed: int) -> list[NDArray[np.bool_]]:
    """The rows of calibration photos as ``FOLDS`` masks (n,) without a photo in common; fewer for a single photo."""
    names = np.random.default_rng(seed).permutation(np.unique(photo[split == CALIBRATION]))
    return [np.isin(photo, names[number::FOLDS]) for number in range(min(FOLDS, len(names)))]


@dataclass(frozen=True)
class Apart:
    """How routers do on rows that they were not trained on: of both what they said, and the mean regret."""

    leaf: Judged
    level: Judged
    regret: float


def judged_apart(
    train: Callable[[Rows, str], Routers], rows: Rows, folds: Sequence[NDArray[np.bool_]], tree: Hierarchy
) -> Apart:
    """Every fold judged by routers that ``train`` makes of all rows but the fold's; one temperature fits them all.

    ``train`` also gets the fold's name. The routers that are kept are trained on all rows: those of calibration photos
    are the only ones on which experts were tried that had not seen the photo.
    """
    parts = []
    for number, fold in enumerate(folds):
        held, network = rows.take(fold), train(rows.take(~fold), f" apart {number + 1}")
        with torch.inference_mode():
            leaf, level, _, _ = network.logits(torch.from_numpy(held.dr))
        parts.append((leaf.numpy(), level.numpy(), held.decibels, np.full(len(held.dr), held.regret(network))))
    leaves, levels, decibels, regret = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Apart(*judged(leaves, levels, tree.ancestors, decibels), float(regret.mean()))


def calibrate(network: Routers, apart: Apart, picture: Path) -> dict[str, float]:
    """Give ``network`` its temperatures and draw how reliable it was and is; returns temperatures and errors."""
    figures: dict[str, float] = {}
    panels: dict[str, dict[str, Reliability]] = {}
    for name in _ROUTERS:
        said: Judged = getattr(apart, name)
        before = getattr(network.options.temperatures, name)
        after = calibration.fit_temperature(said, before)
        found = [reliability(said.confidence(heat), said.credit(heat)) for heat in (before, after)]
        labels = (f"before, temperature {before:.2f}", f"after, temperature {after:.2f}")
        panels[name] = dict(zip(labels, found, strict=True))
        figures |= {f"temperature {name}": after, f"ece {name} before": found[0].error, f"ece {name}": found[1].error}
    heat = Temperatures(*(figures[f"temperature {name}"] for name in _ROUTERS))
    network.options = replace(network.options, temperatures=heat)
    calibration.draw(panels, picture)
    return figures


def new_routers(tree: Hierarchy, dr: NDArray[np.float32], options: RouterOptions = PLAIN) -> Routers:
    """Untrained routers that standardise with the statistics of ``dr`` (N, D)."""
    network = Routers(dr.shape[1], torch.from_numpy(tree.ancestors.astype(np.int64)), options)
    network.centre.copy_(torch.from_numpy(dr.mean(0)))
    network.spread.copy_(torch.from_numpy(dr.std(0) + 1e-6))
    return network


class CostBatches:
    """Batch number -> (dr, cost, centre, leaf noise, level noise, *more), the arguments of ``RouterObjective``.

    ``more`` are further tensors (N, ...) of which a batch gets its rows.
    """

    def __init__(
        self,
        network: Routers,
        dr: NDArray[np.float32],
        cost: NDArray[np.float32],
        centre: NDArray[np.float32],
        section: RoutersConfig,
        seed: int,
        *more: Tensor,
    ) -> None:
        self.more = more
        self.dr, self.cost, self.centre = torch.from_numpy(dr), torch.from_numpy(cost), torch.from_numpy(centre)
        self.jitter = section.jitter * network.spread.clone()
        self.shape = tuple(network.ancestors.shape)
        self.batch, self.seed = section.training.batch, seed

    def __call__(self, number: int) -> tuple[Tensor, ...]:
        """The batch ``number``."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        rows = self.rows(generator)
        dr = self.dr[rows]
        dr = dr + self.jitter * torch.randn(dr.shape, generator=generator)
        leaves, levels = self.shape
        noise = torch.randn(self.batch, leaves + levels, generator=generator)
        return (
            dr,
            self.cost[rows],
            self.centre[rows],
            noise[:, :leaves],
            noise[:, leaves:],
            *(m[rows] for m in self.more),
        )

    def rows(self, generator: torch.Generator) -> Tensor:
        """Row numbers (batch,) of a batch."""
        return torch.randint(len(self.dr), (self.batch,), generator=generator)


@torch.inference_mode()
def choose(network: Routers, dr: NDArray[np.float32]) -> NDArray[np.int64]:
    """Node (n,) chosen for each DR (n, D): ancestor of the top-1 leaf at the top-1 level."""
    out = network(torch.from_numpy(dr))
    nodes: NDArray[np.int64] = network.ancestors[out.leaf.argmax(1), out.level.argmax(1)].numpy()
    return nodes
