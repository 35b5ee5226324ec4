"""What a result does to its picture, measured without a reference, on a part of the pixels.

Bands of 16 rows are read all over the picture, so that memory grows with its width alone, and the cost stays far below
that of a network. Correlations are damped where there is nothing to compare: two flat pictures agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..canvas import Canvas

BAND = 16
"""Rows of a band, and pixels of the sides of the cells that it is averaged over."""
_EVERY, _FEWEST = 128, 8
"""Rows from one band to the next at most, and the bands that a picture has at least if it is high enough."""
_WINDOW, _WINDOWS = 64, 6
"""Width of the windows in which a displacement is looked for, and their number in a band at most."""
_FAINT = (2 / 255) ** 2
"""A variance below which there is nothing to compare."""
_WHITE, _BLACK, _CLEAR = 254.5 / 255, 0.5 / 255, 2 / 255
_BRIGHTER = 1.05


def measure(before: Canvas, after: Canvas) -> Mapping[str, float]:
    """Figures of ``after``, which was made of ``before``, a canvas of the same size.

    structure: correlation of the brightness of cells of 16 pixels. detail: of what is finer than that. colour: of the
    colours of cells, without their mean. cast: how much farther from grey their mean is than before, in [0, 1], below 0
    where it is nearer. shift: displacement in pixels (of pictures of 64 x 16 and more). clipped: share
    of the values of all channels that are at an end of the range now and were not. burnt: share of those at the upper
    end, over the growth of the mean brightness (1: it doubled); 0 where this did not grow.
    """
    sums, height = _Sums(), min(BAND, before.height)
    with torch.inference_mode():
        for top in tops(before.height):
            part = slice(top, top + height), slice(0, before.width)
            sums.add(before.read(*part)[0].contiguous(), after.read(*part)[0].contiguous())
        return sums.figures()


def tops(height: int) -> Iterator[int]:
    """Where the bands of a picture of ``height`` rows begin."""
    count = max(1, min(height // BAND, max(_FEWEST, height // _EVERY)))
    middles = (height * (2 * place + 1) // (2 * count) for place in range(count))
    return (max(0, middle - BAND // 2) for middle in middles)


@dataclass(eq=False)
class _Sums:
    """What is gathered over the bands."""

    values: int = 0
    whitened: int = 0
    blackened: int = 0
    before: list[Tensor] = field(default_factory=list)
    after: list[Tensor] = field(default_factory=list)
    detail: Tensor = field(default_factory=lambda: torch.zeros(3))
    spectrum: Tensor | None = None

    def add(self, old: Tensor, new: Tensor) -> None:
        """Add a band, (3, h, W) each."""
        self.values += old.numel()
        self.whitened += int(((new >= _WHITE) & (old < _WHITE - _CLEAR)).sum())
        self.blackened += int(((new <= _BLACK) & (old > _BLACK + _CLEAR)).sum())
        pieces = [_cells(band) for band in (old, new)]
        means = [piece.mean((1, 3)) for piece in pieces]
        self.before.append(means[0])
        self.after.append(means[1])
        fine, other = (_grey(piece - mean[:, None, :, None]) for piece, mean in zip(pieces, means, strict=True))
        self.detail += torch.stack([(fine * other).sum(), fine.square().sum(), other.square().sum()])
        if old.shape[1] == BAND and old.shape[2] >= _WINDOW:
            spectrum = (_spectra(fine).conj() * _spectra(other)).sum(0)
            self.spectrum = spectrum if self.spectrum is None else self.spectrum + spectrum

    def figures(self) -> dict[str, float]:
        """As ``measure`` says."""
        before, after = torch.cat(self.before, 1), torch.cat(self.after, 1)
        grey, colours = (_grey(before), _grey(after)), (_opponents(before), _opponents(after))
        gain = float(grey[1].mean()) / max(float(grey[0].mean()), 1 / 255)
        figures = {
            "structure": _alike(*(values - values.mean() for values in grey)),
            "detail": _damped(*(self.detail / self.values).tolist()),
            "colour": _alike(*(values - values.mean(1, keepdim=True) for values in colours)),
            "cast": float(colours[1].mean(1).norm() - colours[0].mean(1).norm()),
            "clipped": (self.whitened + self.blackened) / self.values,
            "burnt": self.whitened / self.values / (gain - 1) if gain > _BRIGHTER else 0.0,
        }
        return figures if self.spectrum is None else {**figures, "shift": _peak(self.spectrum)}


def _cells(band: Tensor) -> Tensor:
    """A band (3, h, W) as cells (3, h, n, side); a last, narrower one is left out."""
    side = min(BAND, band.shape[2])
    count = band.shape[2] // side
    return band[..., : count * side].reshape(3, band.shape[1], count, side)


def _grey(colours: Tensor) -> Tensor:
    """(3, ...) to (...)."""
    grey: Tensor = 0.299 * colours[0] + 0.587 * colours[1] + 0.114 * colours[2]
    return grey


def _spectra(fine: Tensor) -> Tensor:
    """Of windows that fade towards their edges, (n, 16, 33), of the fine structure (16, cells, side) of a band."""
    line = fine.flatten(1)
    count = line.shape[1] // _WINDOW
    windows = line[:, : count * _WINDOW].reshape(BAND, count, _WINDOW)[:, :: -(-count // _WINDOWS)]
    fade = torch.hann_window(BAND, periodic=False)[:, None, None] * torch.hann_window(_WINDOW, periodic=False)
    spectra: Tensor = torch.fft.rfft2((windows * fade).transpose(0, 1))
    return spectra


def _peak(spectrum: Tensor) -> float:
    """Distance in pixels of the highest correlation from no displacement."""
    found = torch.fft.irfft2(spectrum, s=(BAND, _WINDOW))
    down, right = divmod(int(found.argmax()), _WINDOW)
    return float((min(down, BAND - down) ** 2 + min(right, _WINDOW - right) ** 2) ** 0.5)


def _opponents(cells: Tensor) -> Tensor:
    """Red against green, and blue against both, of (3, n): (2, n)."""
    red, green, blue = cells
    return torch.stack([red - green, blue - (red + green) / 2])


def _alike(first: Tensor, second: Tensor) -> float:
    """Cosine of two tensors of the same shape."""
    return _damped(*(float((one * other).mean()) for one, other in ((first, second), (first, first), (second, second))))


def _damped(product: float, first: float, second: float) -> float:
    return float((product + _FAINT) / ((first + _FAINT) * (second + _FAINT)) ** 0.5)
