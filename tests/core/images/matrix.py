"""What every format keeps of a picture, measured; ``python -m tests.core.images.matrix`` writes it into the page.

Each cell is a file: written by other programs' libraries, loaded, saved, and read again by us and by Pillow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

from unirestorer.core.errors import ImageError
from unirestorer.core.images import FORMATS, Picture, Saving, load, load_frames, provenance_of, save, save_frames
from unirestorer.core.images.formats import Format
from unirestorer.core.images.frames import Frames

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"
GPS = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements'
    b'/1.1/" dc:source="a camera"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
STORY = '{"expert": "noise <1> & more"}'


def photo(deep: bool = False) -> np.ndarray[Any, Any]:
    """(12, 18, 3) smooth uint8 or uint16, no two corners alike."""
    ramp = np.linspace(0, 200, 18)[None, :, None] + np.linspace(0, 50, 12)[:, None, None] + np.zeros(3)
    return (ramp * 257).astype(np.uint16) if deep else ramp.astype(np.uint8)


def exif(orientation: int = 1) -> Image.Exif:
    """A block with the maker, when it was taken, the place, and how it lies."""
    made = Image.Exif()
    made[ExifTags.Base.Make], made[ExifTags.Base.Orientation] = "Maker", orientation
    made.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:01:02 03:04:05"
    made.get_ifd(ExifTags.IFD.GPSInfo).update(GPS)
    return made


def through(kind: Format, picture: Picture, folder: Path, provenance: str | None = None) -> Path:
    """The picture saved, loaded and saved again."""
    for name in ("a", "b"):
        path = folder / f"{name}{kind.suffixes[0]}"
        save(path, picture.pixels, picture, provenance=provenance if name == "a" else None)
        picture = load(path)
    return path


def bits(kind: Format, folder: Path) -> bool:
    """Whether 16 bits come back."""
    given = photo(deep=True)
    return np.array_equal(load(through(kind, Picture(given), folder)).pixels, given)


def alpha(kind: Format, folder: Path) -> bool:
    """Whether transparency comes back bit for bit."""
    given = photo()
    try:
        found = load(through(kind, Picture(given, given[..., 0].copy()), folder)).alpha
    except ImageError:
        return False
    return found is not None and np.array_equal(found, given[..., 0])


def grey(kind: Format, folder: Path) -> bool:
    """Whether one channel of grey stays one."""
    return load(through(kind, Picture(photo(), grey=True), folder)).grey


def orientation(kind: Format, folder: Path) -> bool:
    """Whether each of the eight orientations is applied once."""
    for turn in range(1, 9):
        path = folder / f"t{kind.suffixes[0]}"
        options: dict[str, Any] = {"quality": 100} if kind.lossless != "always" else {}
        Image.fromarray(photo()).save(path, exif=exif(turn), **options)
        with Image.open(path) as image:
            if kind.exif and ExifTags.Base.Orientation not in image.getexif() and turn > 1:
                raise AssertionError(f"{kind.name}: the file does not say how it lies")
            wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int) if kind.exif else photo()
        result = through(kind, load(path), folder)
        with Image.open(result) as image:
            told = image.getexif().get(ExifTags.Base.Orientation, 1)
            shown = np.asarray(image.convert("RGB")).astype(int)
        if told != 1 or shown.shape != wanted.shape or np.abs(shown - wanted).mean() > 3:
            return False
    return kind.exif


def by_pillow(kind: Format, folder: Path) -> Image.Image:
    """A file with all that a photo comes with, as Pillow reads it."""
    source = folder / "source.jpg"
    Image.fromarray(photo()).save(source, exif=exif(), icc_profile=ICC, xmp=XMP, dpi=(300, 300), quality=100)
    picture = load(source)
    with Image.open(through(kind, picture, folder)) as image:
        image.load()
        for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            image.getexif().get_ifd(directory)  # read while the file is open
        return image


def camera(kind: Format, folder: Path) -> bool:
    """Whether maker and date come back."""
    found = by_pillow(kind, folder).getexif()
    dated = found.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal) == "2024:01:02 03:04:05"
    return dated and found.get(ExifTags.Base.Make) == "Maker"


def gps(kind: Format, folder: Path) -> bool:
    """Whether the place comes back."""
    return dict(by_pillow(kind, folder).getexif().get_ifd(ExifTags.IFD.GPSInfo)) == GPS


def icc(kind: Format, folder: Path) -> bool:
    """Whether the profile comes back."""
    return by_pillow(kind, folder).info.get("icc_profile") == ICC


def packet(kind: Format, folder: Path) -> bool:
    """Whether the packet comes back."""
    return by_pillow(kind, folder).info.get("xmp") == XMP


def resolution(kind: Format, folder: Path) -> bool:
    """Whether 300 pixels per inch come back, there or in the Exif block."""
    found = by_pillow(kind, folder)
    dpi = found.info.get("dpi") or (found.getexif().get(ExifTags.Base.XResolution, 0),) * 2
    return max(abs(float(value) - 300) for value in dpi) < 0.1


def story(kind: Format, folder: Path) -> bool:
    """Whether how it was made comes back, beside what else is in the packet."""
    path = through(kind, Picture(photo(), xmp=XMP), folder, STORY)
    return provenance_of(path) == STORY and b"a camera" in load(path).xmp


def several(kind: Format, folder: Path) -> bool:
    """Whether three frames come back."""
    given = Frames([Picture(np.roll(photo(), step, 1)) for step in (0, 3, 6)], 3, folder, "GIF", (40, 80, 120))
    path = folder / f"frames{kind.suffixes[0]}"
    try:
        save_frames(path, given)
    except ImageError:
        return False
    return load_frames(path).count == 3


def exact(kind: Format, folder: Path) -> bool:
    """Whether every bit can come back."""
    given = np.random.default_rng(3).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    path = folder / f"exact{kind.suffixes[0]}"
    save(path, given, Picture(given), Saving(lossless=True))
    return np.array_equal(load(path).pixels, given)


COLUMNS: dict[str, tuple[Callable[[Format, Path], bool], Callable[[Format], bool]]] = {
    "orientation": (orientation, lambda kind: kind.exif),
    "Exif": (camera, lambda kind: kind.exif),
    "GPS": (gps, lambda kind: kind.exif),
    "ICC": (icc, lambda kind: kind.icc),
    "XMP": (packet, lambda kind: kind.xmp),
    "DPI": (resolution, lambda kind: kind.dpi),
    "provenance": (story, lambda kind: kind.xmp),
    "alpha": (alpha, lambda kind: kind.alpha),
    "16 bits": (bits, lambda kind: kind.bits == 16),
    "grey": (grey, lambda kind: kind.name != "WEBP"),
    "frames": (several, lambda kind: kind.frames),
    "lossless": (exact, lambda kind: kind.lossless != "never"),
}
"""Column -> how it is measured, and what the format could hold."""


def measured(name: str, folder: Path) -> dict[str, bool]:
    """Column -> whether files of a format keep it."""
    return {column: measure(FORMATS[name], folder) for column, (measure, _) in COLUMNS.items()}


def table(rows: dict[str, dict[str, bool]]) -> str:
    """The table of the page."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join("kept" if row[column] else "–" for column in COLUMNS) + " |")  # noqa: RUF001
    return "\n".join(lines) + "\n"


def writable() -> list[str]:
    """The formats that are written."""
    return [name for name, kind in FORMATS.items() if kind.bits]


def main() -> None:
    """Measure, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        made = table({name: measured(name, Path(folder)) for name in writable()})
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + made + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
