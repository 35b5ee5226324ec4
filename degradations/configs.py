"""Configurations of the built-in degradations: ranges as (low, high), both ends included. Imports no torch.

Ranges marked "own choice" have no published number; all others are MiOIR's training ranges, which the paper's
supplement A follows parameter by parameter (in distribution; the out-of-distribution ones stand in ``PRESETS_OUT``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from unirestorer.core.contracts import Config, Preset

Pair = tuple[float, float]
IntPair = tuple[int, int]


def within(low: float, high: float) -> AfterValidator:
    """A validator of ranges: low <= high, and both inside [``low``, ``high``]; NaN fails."""

    def check(span: Pair) -> Pair:
        if not low <= span[0] <= span[1] <= high:
            raise ValueError(f"want (low, high) with {low:g} <= low <= high <= {high:g}")
        return span

    return AfterValidator(check)


def _odd(span: IntPair) -> IntPair:
    if span[0] % 2 == 0 or span[1] % 2 == 0:
        raise ValueError("kernel sizes must be odd")
    return span


ODD: Callable[[IntPair], IntPair] = _odd


class CleanConfig(Config):
    """No damage, no parameters."""


class LowLightConfig(Config):
    """Low light; see ``lowlight.py``. All but ``gamma``'s outer limits are our own choice."""

    gamma: Annotated[Pair, within(1, 8)] = Field(
        default=(1.5, 3.0), description="exponent of the illumination; 1 = no damage"
    )
    uniformity: Annotated[Pair, within(0, 1)] = Field(
        default=(0.0, 1.0), description="0 = local illumination, 1 = its mean"
    )
    exposure: Annotated[Pair, within(0.01, 1)] = Field(
        default=(0.5, 1.0), description="scale of the illumination; 1 = paper"
    )
    noise_sigma: Annotated[Pair, within(0, 255)] = Field(
        default=(0.0, 0.0), description="noise std in 1/255; 0 = paper"
    )


class BlurConfig(Config):
    """Gaussian blur; see ``blur.py``."""

    size: Annotated[IntPair, within(1, 99), AfterValidator(ODD)] = Field(
        default=(7, 21), description="odd kernel size, pixels"
    )
    sigma: Annotated[Pair, within(0, 50)] = Field(
        default=(1.0, 3.0), description="standard deviation, pixels; 0 = no damage"
    )
    anisotropic: float = Field(default=0.5, ge=0, le=1, description="probability of an anisotropic kernel")


class NoiseConfig(Config):
    """Additive Gaussian colour noise; see ``noise.py``."""

    sigma: Annotated[IntPair, within(0, 255)] = Field(
        default=(15, 50), description="standard deviation in 1/255; 0 = no damage"
    )


class RainConfig(Config):
    """Additive rain streaks; see ``rain.py``."""

    strength: Annotated[IntPair, within(0, 1000)] = Field(
        default=(50, 99), description="drops per 25600 pixels; 0 = no damage"
    )
    width: Annotated[IntPair, within(1, 31), AfterValidator(ODD)] = Field(
        default=(3, 11), description="odd streak blur, pixels"
    )
    length: Annotated[IntPair, within(2, 90)] = Field(default=(20, 40), description="streak length, pixels")
    angle: Annotated[IntPair, within(-90, 90)] = Field(default=(-45, 44), description="tilt from the vertical, degrees")
    gain: Annotated[Pair, within(0, 1)] = Field(
        default=(1.0, 1.0), description="brightness of the brightest streak; 1 = paper"
    )
    stretch: Annotated[Pair, within(0.1, 10)] = Field(default=(1.0, 1.0), description="length factor; 1 = paper")


class SnowConfig(Config):
    """Snowflakes; see ``snow.py``. With ``mask_folder``, ``size`` says which class the folder holds."""

    size: Annotated[IntPair, within(0, 2)] = Field(default=(0, 2), description="0 small, 1 small+medium, 2 all flakes")
    density: Annotated[Pair, within(0, 10)] = Field(
        default=(0.3, 1.3), description="relative flake count; 0 = no damage"
    )
    mask_folder: Path | None = Field(default=None, description="images to use as masks instead of procedural ones")


class HazeConfig(Config):
    """Haze; see ``haze.py``. ``depth_folder`` holds maps where brighter is farther."""

    beta: Annotated[Pair, within(0, 20)] = Field(
        default=(0.5, 2.5), description="attenuation per unit depth; 0 = no damage"
    )
    airlight: Annotated[Pair, within(0, 1)] = Field(default=(0.8, 1.0), description="gray airlight A, sRGB value")
    depth_folder: Path | None = Field(
        default=None, description="8- or 16-bit depth maps to use instead of procedural ones"
    )


class JpegConfig(Config):
    """JPEG compression; see ``jpeg.py``."""

    quality: Annotated[IntPair, within(1, 100)] = Field(default=(30, 70), description="libjpeg quality")


class ToneConfig(Config):
    """Undamaged photos developed otherwise; see ``tone.py``. All ranges are our own choice."""

    gain: Annotated[Pair, within(0, 10)] = Field(default=(0.75, 1.15), description="exposure factor; 1 = as it is")
    gamma: Annotated[Pair, within(0.1, 10)] = Field(default=(0.85, 1.3), description="gradation; 1 = as it is")
    contrast: Annotated[Pair, within(0, 10)] = Field(default=(0.85, 1.35), description="around mid-grey; 1 = as it is")
    saturation: Annotated[Pair, within(0, 10)] = Field(default=(0.7, 1.6), description="of colours; 1 = as it is")


class ShakeConfig(Config):
    """Camera shake; see ``shake.py``. All ranges are our own choice."""

    length: Annotated[Pair, within(0, 90)] = Field(default=(6.0, 20.0), description="path, pixels; below 1 = no damage")
    turn: Annotated[Pair, within(0, 20)] = Field(default=(0.5, 3.0), description="change of direction, radians")


class MixedConfig(Config):
    """Several degradations in order; see ``chain.py`` for the text, for example ``"haze,jpeg:quality=75..95"``."""

    links: str = Field(default="lowlight,noise", min_length=1, description="as in `unirestorer degrade --chain`")
    gate: float = Field(default=1.0, ge=0, le=1, description="probability of each link, independently")
    wording: Literal["full", "names", "severity"] = Field(default="full", description="what the degree name says")


class MixtureConfig(Config):
    """One of the paper's named mixtures; its links take the ranges of ``preset``."""

    preset: Preset = "in"


MIXTURES: dict[str, str] = {
    "h-r": "rain,haze",
    "h-n": "noise,haze",
    "h-n-r": "noise,rain,haze",
    "ll-h-n-r": "lowlight,noise,rain,haze",
    "ll-h-n-s": "lowlight,noise,snow,haze",
    "ll-h-n-b-r": "lowlight,blur,noise,rain,haze",
    "ll-h-n-b-s": "lowlight,blur,noise,snow,haze",
}
"""The seven mixtures of the paper's Table 2 (H haze, R rain, N noise, LL low light, S snow, B blur) as chains, in the
order of supplement A. Every link is on: that named settings are deterministic is an inference."""


PRESETS_OUT: dict[str, Config] = {
    "clean": CleanConfig(),
    "lowlight": LowLightConfig(gamma=(3.0, 4.0)),
    "blur": BlurConfig(sigma=(3.0, 5.0)),
    "noise": NoiseConfig(sigma=(50, 70)),
    "rain": RainConfig(strength=(100, 149)),
    "snow": SnowConfig(),
    "haze": HazeConfig(beta=(2.5, 3.0)),
    "jpeg": JpegConfig(quality=(10, 30)),
    "tone": ToneConfig(),
    "shake": ShakeConfig(length=(20.0, 30.0)),
    "mixed": MixedConfig(),
    **{name: MixtureConfig(preset="out") for name in MIXTURES},
}
"""Out-of-distribution configurations by name; the classes' defaults are the in-distribution ones."""
