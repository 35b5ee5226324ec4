"""Extension recipes: how ``unirestorer extend`` trains what it adds. Every key is optional."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, PositiveInt, ValidationError

from ..catalogue import said
from ..contracts import Config
from ..errors import ConfigError
from ..recipe import ClusterConfig, DegradationChoice, RoutersConfig, TrainingConfig, locate, read_mapping


class ExpertsChoice(Config):
    """The architecture of the new experts and one training run per new level, coarsest first.

    ``levels`` empty: those of the model's recipe. ``patch``: side in pixels of the training patches, by default that
    of the model's recipe.
    """

    name: str
    config: Mapping[str, Any] = {}
    patch: PositiveInt | None = None
    levels: tuple[TrainingConfig, ...] = ()


class ExtensionRecipe(Config):
    """What an extension draws and trains; a key that is left out follows the recipe of the model.

    ``samples``: new samples drawn, for experts, routers and the report; where it is not said, ``extend routers`` draws
    4000, and trains by ``routers`` only if it is to fit them again. ``steps``: of every new expert, instead of what
    ``experts.levels`` or the model's recipe say. ``cluster``: how they become nodes (default:
    the model's clusterer, as many finest nodes as there are degree names). ``rehearsal``: samples of the older
    damages on which new experts are tried beside the former choice; ``tried``: how many of these every expert is tried
    on. Where the registry has costs of the same photos, those samples are taken. ``keep``: weights of the term that
    holds the routers to their former decisions, of which the first is taken that costs the older damages at most
    ``tolerance`` dB on samples that the routers were not fitted to.
    """

    samples: int = Field(default=1600, ge=16)
    steps: PositiveInt | None = None
    degradation: DegradationChoice = DegradationChoice()
    cluster: ClusterConfig | None = None
    experts: ExpertsChoice | None = None
    routers: RoutersConfig | None = None
    rehearsal: int = Field(default=2000, ge=16)
    tried: int = Field(default=400, ge=16)
    keep: tuple[NonNegativeFloat, ...] = Field(default=(3.0, 10.0, 20.0, 40.0, 100.0), min_length=1)
    tolerance: NonNegativeFloat = 0.05

    def routing(self, recipe: RoutersConfig) -> RoutersConfig:
        """How the routers are fitted: as said here, else as in the model's recipe but gently.

        They begin as trained ones, so a third of the learning rate and of the steps are enough;
        more weight decay keeps few new samples from being learnt by heart.
        """
        if self.routers is not None:
            return self.routers
        training = recipe.training
        changes: dict[str, Any] = {"lr": training.lr / 3, "steps": max(1, training.steps // 3), "weight_decay": 0.1}
        return recipe.model_copy(update={"training": training.model_copy(update=changes)})

    def overridden(
        self, *, arch: str | None = None, steps: int | None = None, samples: int | None = None
    ) -> ExtensionRecipe:
        """This recipe with another architecture (and its default configuration), training steps, or samples."""
        experts = self.experts
        if arch is not None and (experts is None or experts.name != arch):
            experts = (
                ExpertsChoice(name=arch) if experts is None else experts.model_copy(update={"name": arch, "config": {}})
            )
        changes = {"experts": experts, "steps": steps, "samples": samples}
        return self.model_copy(update={key: value for key, value in changes.items() if value is not None})


def load_extension(path: Path) -> ExtensionRecipe:
    """Read an extension recipe; raises ``ConfigError`` with one line per problem: file, line, field, what is wrong."""
    tree, values = read_mapping(path, "an extension recipe is a mapping with samples, experts, ...")
    try:
        return ExtensionRecipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            [
                f"{path}:{locate(tree, item['loc'])[1]}: {'.'.join(map(str, item['loc']))}: {said(item)}"
                for item in error.errors()
            ]
        ) from None
