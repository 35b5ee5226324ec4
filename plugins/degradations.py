"""The built-in degradations as a plugin. Listing them imports no torch: each is imported when it is first built."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from unirestorer.core.contracts import Config, Synthesizer, SynthesizerSpec
from unirestorer.core.hookspecs import hookimpl
from unirestorer.degradations import configs

_BUILTIN: tuple[tuple[str, str, type[Config], str], ...] = (
    ("clean", "Clean", configs.CleanConfig, "no damage; the class of photos that need nothing"),
    ("lowlight", "LowLight", configs.LowLightConfig, "darkening by an illumination map raised to gamma"),
    ("blur", "Blur", configs.BlurConfig, "isotropic or anisotropic Gaussian blur"),
    ("noise", "Noise", configs.NoiseConfig, "additive Gaussian colour noise"),
    ("rain", "Rain", configs.RainConfig, "additive rain streaks"),
    ("snow", "Snow", configs.SnowConfig, "white flakes over the image"),
    ("haze", "Haze", configs.HazeConfig, "airlight mixed in by depth"),
    ("jpeg", "Jpeg", configs.JpegConfig, "JPEG compression by libjpeg"),
)


def _builder(module: str, name: str) -> Callable[[Any], Synthesizer]:
    def build(config: Any) -> Synthesizer:
        return cast(Synthesizer, getattr(import_module(f"unirestorer.degradations.{module}"), name)(config))

    return build


@hookimpl
def register_synthesizers() -> list[SynthesizerSpec[Any]]:
    """The seven degradations of the paper and ``clean``, each with its in- and out-of-distribution preset."""
    return [
        SynthesizerSpec(name, summary, model, _builder(name, kind), {"in": model(), "out": configs.PRESETS_OUT[name]})
        for name, kind, model, summary in _BUILTIN
    ]
