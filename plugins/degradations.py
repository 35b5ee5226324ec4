"""The built-in degradations as a plugin. Listing them imports no torch: each is imported when it is first built."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, cast

from unirestorer.core.contracts import Config, Preset, Synthesizer, SynthesizerSpec
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
    ("shake", "Shake", configs.ShakeConfig, "blur along the path of a hand-held camera"),
    ("tone", "Tone", configs.ToneConfig, "another development of the photo, which counts as undamaged"),
)

_IDENTITY: dict[str, Config] = {
    "clean": configs.CleanConfig(),
    "lowlight": configs.LowLightConfig(gamma=(1, 1)),
    "blur": configs.BlurConfig(sigma=(0, 0)),
    "noise": configs.NoiseConfig(sigma=(0, 0)),
    "rain": configs.RainConfig(strength=(0, 0)),
    "snow": configs.SnowConfig(density=(0, 0)),
    "haze": configs.HazeConfig(beta=(0, 0)),
    "shake": configs.ShakeConfig(length=(0, 0)),
    "tone": configs.ToneConfig(gain=(1, 1), gamma=(1, 1), contrast=(1, 1), saturation=(1, 1)),
    "mixed": configs.MixedConfig(links="noise:sigma=0,rain:strength=0"),
}
"""Zero strength; JPEG has none."""

_WORDS: dict[str, tuple[str, ...]] = {
    "clean": ("undamaged", "nothing"),
    "lowlight": (
        "dark",
        "darkness",
        "dim",
        "night",
        "underexposed",
        "underexposure",
        "brighten",
        "relight",
        "low light enhancement",
    ),
    "blur": (
        "blurry",
        "blurred",
        "deblur",
        "deblurring",
        "motion",
        "motion blur",
        "gaussian blur",
        "defocus",
        "motion deblur",
        "motion deblurring",
        "out of focus",
    ),
    "noise": ("noisy", "denoise", "denoising", "grain", "grainy", "gaussian noise"),
    "rain": ("rainy", "derain", "deraining", "streaks", "rain streaks"),
    "snow": ("snowy", "desnow", "desnowing", "snowflakes"),
    "haze": ("hazy", "dehaze", "dehazing", "fog", "foggy", "defog", "defogging", "mist", "misty", "smog", "smoke"),
    "jpeg": (
        "jpg",
        "compression",
        "compressed",
        "artifacts",
        "artefacts",
        "blocking",
        "blocks",
        "deblocking",
        "dejpeg",
        "jpeg artifacts",
        "jpeg compression",
        "compression artifacts",
        "blocky",
    ),
    "shake": ("shaky", "camera shake", "hand shake"),
}
"""What people call the damage, or the cure; ``core.words`` says how they are compared."""


def _builder(module: str, name: str) -> Callable[[Any], Synthesizer]:
    def build(config: Any) -> Synthesizer:
        return cast(Synthesizer, getattr(import_module(f"unirestorer.degradations.{module}"), name)(config))

    return build


@hookimpl
def register_synthesizers() -> list[SynthesizerSpec[Any]]:
    """The seven degradations of the paper and its seven named mixtures, ``clean``, and our own; presets in and out."""
    mixed = "several degradations in order, as in `unirestorer degrade --chain`"
    return [*_single(), _spec("mixed", mixed, configs.MixedConfig, _mixed), *_mixtures()]


def _single() -> list[SynthesizerSpec[Any]]:
    return [_spec(name, summary, model, _builder(name, kind)) for name, kind, model, summary in _BUILTIN]


def _mixtures() -> list[SynthesizerSpec[Any]]:
    return [
        _spec(name, f"the paper's mixture {name.upper()}: {links}", configs.MixtureConfig, partial(_mixture, links))
        for name, links in configs.MIXTURES.items()
    ]


def _spec(name: str, summary: str, model: type[Config], build: Callable[[Any], Synthesizer]) -> SynthesizerSpec[Any]:
    presets: dict[Preset, Config] = {"in": model(), "out": configs.PRESETS_OUT[name]}
    undamaged, identity = name in ("clean", "tone"), _IDENTITY.get(name)
    words = _WORDS.get(name, ())
    return SynthesizerSpec(name, summary, model, build, presets, undamaged=undamaged, identity=identity, words=words)


def _mixed(config: configs.MixedConfig) -> Synthesizer:
    from unirestorer.degradations.chain import parse_chain

    return parse_chain(config.links, _singles(), gate=config.gate, wording=config.wording)


def _mixture(links: str, config: configs.MixtureConfig) -> Synthesizer:
    from unirestorer.degradations.chain import parse_chain

    return parse_chain(links, _singles(), config.preset, wording="severity")


def _singles() -> dict[str, SynthesizerSpec[Any]]:
    return {spec.name: spec for spec in _single()}
