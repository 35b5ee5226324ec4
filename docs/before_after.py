"""Makes docs/before-after.jpg of examples/photos with the model inside the package: ``python docs/before_after.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import unirestorer

DOCS = Path(__file__).parent
PHOTOS = {
    "osprey-rain.png": 0.5,
    "lake-haze.png": 0.5,
    "colosseum-lowlight.png": 0.3,
    "otter-noise.png": 0.5,
    "osprey-snow.png": 0.5,
    "spices-jpeg.jpg": 0.5,
}
"""Photos, and where the line between before and after stands, from 0 (left) to 1."""
COLUMNS, WIDTH, HEIGHT, GAP, LABEL = 3, 512, 288, 8, 34
LEAN = 60
"""Pixels by which the line between before and after leans."""


def tile(model: unirestorer.Model, path: Path, at: float) -> Image.Image:
    """A photo, before to the left and after to the right of a line, and what was found under it."""
    result = model.restore(path)
    with Image.open(path) as photo:
        before = photo.convert("RGB")
    left, top = (before.width - WIDTH) // 2, (before.height - HEIGHT) // 2
    box = (left, top, left + WIDTH, top + HEIGHT)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    side = x - WIDTH * at - LEAN * (0.5 - y / HEIGHT)
    pixels = np.where((side < 0)[..., None], before.crop(box), result.image.crop(box))
    pixels[np.abs(side) < 2] = 255
    made = Image.new("RGB", (WIDTH, HEIGHT + LABEL), "white")
    made.paste(Image.fromarray(pixels.astype(np.uint8)), (0, 0))
    found = result.estimate
    text = f"{found.task} ({found.types[found.task]:.2f}), expert {found.path[-1]}"
    font = ImageFont.load_default(20)
    ImageDraw.Draw(made).text((WIDTH // 2, HEIGHT + LABEL // 2), text, "black", font, anchor="mm")
    return made


def main() -> None:
    """Writes the picture."""
    model = unirestorer.load()
    tiles = [tile(model, DOCS.parent / "examples" / "photos" / name, at) for name, at in PHOTOS.items()]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (WIDTH + GAP) - GAP, rows * (HEIGHT + LABEL)), "white")
    for at, one in enumerate(tiles):
        sheet.paste(one, (at % COLUMNS * (WIDTH + GAP), at // COLUMNS * (HEIGHT + LABEL)))
    sheet.save(DOCS / "before-after.jpg", quality=84, optimize=True)


if __name__ == "__main__":
    main()
