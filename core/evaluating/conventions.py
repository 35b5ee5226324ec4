"""Conventions: how PSNR and SSIM are computed and averaged. The convention is part of every number."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from ..contracts import Config


class Convention(Config):
    """One way to compute PSNR and SSIM between an image and its truth, sRGB values of 0..255.

    channels: "rgb", or "y", the luma of BT.601 in studio range 16..235, not rounded (MATLAB's rgb2ycbcr of doubles).
    luma_tasks: tasks with one of these words in their name are scored on Y even where channels is "rgb".
    border: pixels left out along each edge. rounded: values that are not 8 bit are rounded to 8 bit first.
    ssim: "gaussian": window 11 x 11, sigma 1.5, population covariance, at the pixels whose window lies inside, mean
    over channels (Wang et al., IEEE Trans. Image Processing 13(4), 2004); "volume": one window 11 x 11 x 11 over
    height, width and the three channels, values repeated beyond the edges, at all pixels; on Y 11 x 11, edges
    repeated too (the code of UniRestorer's authors).
    mean: "images": over the images of a part, then over parts, each alike; "weighted": parts count by their images.
    """

    name: str
    channels: Literal["rgb", "y"] = "rgb"
    luma_tasks: tuple[str, ...] = ()
    border: int = Field(default=0, ge=0)
    rounded: bool = True
    ssim: Literal["gaussian", "volume"] = "gaussian"
    mean: Literal["images", "weighted"] = "images"

    def on_luma(self, task: str | None) -> bool:
        """Whether images of ``task`` are scored on Y."""
        return self.channels == "y" or any(word in (task or "").casefold() for word in self.luma_tasks)

    def says(self) -> str:
        """The convention in one sentence, as it stands under every table."""
        mean = (
            "images, so that parts count by their size" if self.mean == "weighted" else "images of a part, then parts"
        )
        parts = (
            f"on {self._channels()}",
            "rounded to 8 bit" if self.rounded else "not rounded",
            f"without a border of {self.border} px" if self.border else "whole image",
            f"SSIM with {self._window()}",
            f"mean over {mean}",
        )
        return f"{self.name}: PSNR and SSIM {'; '.join(parts)}."

    def _channels(self) -> str:
        luma = "Y (BT.601, 16..235)"
        if self.channels == "y":
            return luma
        return f"RGB, {luma} for tasks with {' or '.join(self.luma_tasks)}" if self.luma_tasks else "RGB"

    def _window(self) -> str:
        flat = "an 11 x 11 Gaussian (sigma 1.5)"
        if self.ssim == "gaussian":
            return f"{flat} inside the image" + (", mean over channels" if self.channels == "rgb" else "")
        if self.channels == "y":
            return f"{flat}, edges repeated"
        also = ", 11 x 11 on Y" if self.luma_tasks else ""
        return f"one 11 x 11 x 11 Gaussian (sigma 1.5) over height, width and colour{also}, edges repeated"


STANDARD = Convention(name="standard")
"""What most libraries compute: RGB, whole 8-bit image, SSIM of Wang et al."""

PAPER = Convention(name="paper", luma_tasks=("rain",), ssim="volume", mean="weighted")
"""What the code of UniRestorer's authors computes."""

Y = Convention(name="y", channels="y")
"""As tables of deraining and super-resolution that score luma alone."""

MIOIR = Convention(name="mioir", border=4)
"""As tables of MiOIR: RGB without a border of 4 pixels."""

CONVENTIONS: Mapping[str, Convention] = MappingProxyType({c.name: c for c in (STANDARD, PAPER, Y, MIOIR)})
"""All that have a name."""
