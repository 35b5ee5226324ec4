"""Configurations of the built-in extractors; free of torch, so that plugins can be listed quickly."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from unirestorer.core import Config


class CompactConfig(Config):
    """Side of the centre crop in pixels, widths of the stages (each at half the size of the one before), DR width."""

    crop: PositiveInt = 224
    widths: tuple[PositiveInt, ...] = (24, 32, 48, 64)
    dim: PositiveInt = 64
    temperature: PositiveFloat = 0.1
