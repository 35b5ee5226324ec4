"""Configurations of the built-in experts; free of torch, so that plugins can be listed quickly."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from unirestorer.core import Config


class IdentityConfig(Config):
    """The identity has nothing to set."""


class ResUNetConfig(Config):
    """Widths and residual blocks per scale: 1/2, 1/4, 1/8, 1/16 of the input size; up to four scales."""

    widths: tuple[PositiveInt, ...] = Field(default=(24, 48, 64, 64), min_length=1, max_length=4)
    encoder: tuple[PositiveInt, ...] = (2, 2, 1, 1)
    decoder: tuple[PositiveInt, ...] = (2, 1, 1)

    @model_validator(mode="after")
    def _fits(self) -> ResUNetConfig:
        if len(self.encoder) != len(self.widths) or len(self.decoder) != len(self.widths) - 1:
            raise ValueError("encoder needs one number per width, decoder one fewer")
        return self
