"""The picture before and after, at full resolution, with a divider to drag, and what a browser is shown of it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from unirestorer.core.canvas import as_pixels, in_eight_bits

if TYPE_CHECKING:
    from unirestorer.core.images import Picture
    from unirestorer.core.images.streaming import Streamed

LOSSLESS = 4 * 10**6
"""Pixels up to which a browser is shown a PNG; beyond, a JPEG of quality 95 without chroma subsampling."""
_STRIP = 512
_JPEG_SIDE = 65500


def write_shown(picture: Picture | Streamed, stem: Path) -> Path:
    """``picture`` in full size and 8 bits for a browser, as ``stem`` with a suffix; transparent if it is in memory."""
    canvas = picture.canvas
    height, width = canvas.height, canvas.width
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))
        pixels[rows] = as_pixels(canvas.read(rows, slice(0, width)))
    image = Image.fromarray(pixels)
    if isinstance(picture.alpha, np.ndarray):
        image.putalpha(Image.fromarray(in_eight_bits(picture.alpha)))
    profile = picture.icc or None
    stem.parent.mkdir(exist_ok=True)
    if image.mode == "RGBA" or height * width <= LOSSLESS or max(height, width) > _JPEG_SIDE:
        image.save(path := stem.with_suffix(".png"), compress_level=1, icc_profile=profile)
    else:
        image.save(path := stem.with_suffix(".jpg"), quality=95, subsampling=0, icc_profile=profile)
    return path


def plain_html(before: str, size: tuple[int, int], busy: str = "") -> str:
    """The picture as it came, of ``size`` (height, width), and what is being done, if anything."""
    over = f'<p class="ur-busy" role="status">{escape(busy)}</p>' if busy else ""
    return _stage(_image(before, "The photo as it came", "ur-after"), size, over)


def single_html(before: str, size: tuple[int, int], facts: str, download: str, name: str) -> str:
    """The picture that was left as it is."""
    badge = '<span class="ur-badge ur-right">Unchanged</span>'
    return _stage(_image(before, "The photo, unchanged", "ur-after") + badge, size, _bar(facts, download, name))


def slider_html(before: str, after: str, size: tuple[int, int], facts: str, download: str, name: str) -> str:
    """The restored picture, the one that came over its left part, and the divider between them."""
    picture = (
        _image(after, "The restored photo", "ur-after")
        + _image(before, "The photo as it came", "ur-before")
        + '<span class="ur-badge ur-left">Before</span><span class="ur-badge ur-right">After</span>'
        '<span class="ur-divider"><i></i></span>'
        '<input type="range" min="0" max="100" step="0.1" value="50" aria-label="Divider between before and after">'
    )
    return _stage(picture, size, _bar(facts, download, name))


def _image(source: str, alternative: str, kind: str) -> str:
    return f'<img class="{kind}" src="{escape(source)}" alt="{escape(alternative)}" draggable="false">'


def _bar(facts: str, download: str, name: str) -> str:
    return (
        f'<div class="ur-actions"><p class="ur-facts"><b>{escape(name)}</b><span>{escape(facts)}</span></p>'
        '<button type="button" class="ur-zoom" aria-pressed="false">Actual size</button>'
        f'<a class="ur-download" href="{escape(download)}" download="{escape(name)}">Download</a></div>'
    )


def _stage(picture: str, size: tuple[int, int], below: str) -> str:
    return (
        f'<div class="ur-stage" style="--height:{size[0]};--width:{size[1]}"><div class="ur-frame">'
        f'<div class="ur-picture">{picture}</div></div>{below}</div>'
    )
