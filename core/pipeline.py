"""The pipeline: synthesize -> extractor -> extract -> cluster -> experts -> costs -> routers -> evaluate.

Each stage reads named inputs from the registry and writes one commit (experts: one a node). A stage whose fingerprint
is already recorded is skipped, so running a recipe again after an interruption goes on where it stopped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from .catalogue import Catalogue
from .contracts import StageReport
from .errors import RegistryError
from .outside import extractor_stamp
from .recipe import ExtractorRecipe, fingerprint
from .run import ExtractorRun, Run
from .stages import EXTRACTOR_STAGES, STAGES
from .ties import is_version

R = TypeVar("R", bound=ExtractorRun)
Sections = tuple[str, ...]
"""Parts of a recipe that a stage depends on."""


def run_stage(run: R, name: str, stage: Callable[[R, str], None], stamp: str, later: Sequence[str] = ()) -> StageReport:
    """Run ``stage`` unless ``stamp`` says that it is done; notify observers.

    Before a stage writes anything, it and the stages ``later`` than it are marked as not done: their records are about
    to be replaced, or to be out of date.
    """
    start = time.perf_counter()
    skipped = run.stamp(name) == stamp
    if not skipped:
        run.forget((name, *later))
        stage(run, stamp)
    report = run.store.attributes("stages", f"{run.name}.{name}")["report"]
    result = StageReport(name, report["summary"], time.perf_counter() - start, skipped, report["figures"])
    run.catalogue.notify(result)
    return result


def stamps(
    recipe: ExtractorRecipe, data_stamp: str, catalogue: Catalogue, stages: Sequence[tuple[str, Sections, Any]] = STAGES
) -> dict[str, str]:
    """The fingerprint of every stage: of all that it and the stages before it depend on.

    Raises ``ConfigError`` in one line where a file that the extractor needs is missing.
    """
    parts: dict[str, list[Any]] = {"extractor": extractor_stamp(recipe.extractor, catalogue)}
    found, stamp = {}, data_stamp
    for name, sections, _ in stages:
        depends = [part for key in sections for part in parts.get(key, [getattr(recipe, key)])]
        stamp = found[name] = fingerprint(name, recipe.seed, stamp, *depends)
    return found


def _refuse_to_undo(run: ExtractorRun, wanted: Mapping[str, str]) -> None:
    """A model that was extended rests on the records of this recipe; they are not made again in another way."""
    versions = [name for name in run.store.names("models") if is_version(name, run.name)]
    changed = [name for name, stamp in wanted.items() if run.stamp(name) != stamp]
    if versions and changed:
        raise RegistryError(
            f"{run.name}: was extended ({', '.join(versions)}), and this recipe or these photos would replace what "
            f"that rests on (from the stage {changed[0]}); train into another registry"
        )


def run_pipeline(run: Run, *, keep_work: bool = False) -> list[StageReport]:
    """Run every stage of the recipe in order; returns their reports. ``keep_work`` leaves the scratch folder there."""
    return _run_all(run, STAGES, keep_work)


def run_extractor(run: ExtractorRun) -> list[StageReport]:
    """Run the stages up to the DRs in order; returns their reports. ``run_pipeline`` goes on from there."""
    return _run_all(run, EXTRACTOR_STAGES)


def _run_all(
    run: R, stages: Sequence[tuple[str, Sections, Callable[[R, str], None]]], keep_work: bool = False
) -> list[StageReport]:
    wanted = stamps(run.recipe, run.data_stamp, run.catalogue, stages)
    names = [name for name, _, _ in STAGES]
    _refuse_to_undo(run, wanted)
    reports = [
        run_stage(run, name, stage, wanted[name], names[number + 1 :]) for number, (name, _, stage) in enumerate(stages)
    ]
    if not keep_work:
        shutil.rmtree(run.work, ignore_errors=True)
    return reports
