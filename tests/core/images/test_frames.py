"""Files of several pictures: one at a time, complete, with their timing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unirestorer.core.errors import ImageError
from unirestorer.core.images import Picture, Saving, load, load_frames, provenance_of, save_frames
from unirestorer.core.images.frames import Frames

from ... import corpus
from .matrix import exif


@pytest.mark.parametrize("source", ["moving.gif", "moving.png", "moving.webp", "moving.avif"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_an_animation_keeps_frames_and_timing(tmp_path: Path, source: str, suffix: str) -> None:
    (tmp_path / source).write_bytes(corpus.good()[source])
    frames = load_frames(tmp_path / source)
    assert (frames.count, frames.durations, frames.loop) == (3, (40, 80, 120), 0)
    assert save_frames(tmp_path / f"a{suffix}", frames, Saving(lossless=suffix == ".webp"), "{}") == ()
    again = load_frames(tmp_path / f"a{suffix}")
    assert (again.count, again.durations, again.loop) == (3, (40, 80, 120), 0)
    assert provenance_of(tmp_path / f"a{suffix}") == "{}"
    for first, second in zip(frames, again, strict=True):
        assert np.abs(first.pixels.astype(int) - second.pixels).max() <= (20 if suffix == ".avif" else 0)


def test_an_animation_tells_no_time(tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(corpus.good()["moving.avif"])
    save_frames(tmp_path / "b.avif", load_frames(tmp_path / "a.avif"))
    made = (tmp_path / "b.avif").read_bytes()
    assert {made.count(name) for name in (b"mvhd", b"tkhd", b"mdhd")} == {1}
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        at = made.index(name) + 4
        assert made[at] == 1, "64 bits a time"
        assert made[at + 4 : at + 20] == bytes(16)


@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_each_frame_of_a_gif_is_complete(tmp_path: Path, disposal: int) -> None:
    frames = []
    for step in range(3):
        frame = Image.new("RGBA", (12, 8))
        frame.paste((255, 0, 0, 255), (step * 4, 0, step * 4 + 4, 8))
        frames.append(frame)
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], disposal=disposal, duration=50)
    shown = list(load_frames(tmp_path / "a.gif"))
    assert len(shown) == 3
    for step, picture in enumerate(shown):
        assert picture.alpha is not None
        assert (picture.pixels[:, step * 4 : step * 4 + 4] == (255, 0, 0)).all()
        assert (picture.alpha[:, step * 4 : step * 4 + 4] == 255).all()
    if disposal == 2:
        assert (np.asarray(shown[2].alpha)[:, :8] == 0).all()


def test_pages_may_differ_in_size_and_depth(
    tmp_path: Path, pixels: NDArray[np.uint8], deep_pixels: NDArray[np.uint16]
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels, photometric="rgb")
        writer.write(deep_pixels[:7], photometric="rgb")
        writer.write(deep_pixels[..., 0], photometric="minisblack")
    frames = load_frames(tmp_path / "a.tif")
    assert (frames.count, frames.durations) == (3, ())
    assert save_frames(tmp_path / "b.tif", frames.on(iter(list(frames))), provenance="{}") == ()
    first, second, third = load_frames(tmp_path / "b.tif")
    assert np.array_equal(first.pixels, pixels)
    assert np.array_equal(second.pixels, deep_pixels[:7])
    assert np.array_equal(third.pixels[..., 1], deep_pixels[..., 0])
    assert third.grey
    assert provenance_of(tmp_path / "b.tif") == "{}"
    with tifffile.TiffFile(tmp_path / "b.tif") as found:
        assert [page.shape for page in found.pages] == [(20, 30, 3), (7, 30, 3), (20, 30)]


def test_every_page_keeps_what_comes_with_it(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    pages = [Image.fromarray(pixels) for _ in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], exif=exif(6), dpi=(300, 300))
    frames = load_frames(tmp_path / "a.tif")
    assert next(iter(frames)).pixels.shape == (30, 20, 3)
    save_frames(tmp_path / "b.tif", frames)
    for picture in load_frames(tmp_path / "b.tif"):
        assert picture.dpi == pytest.approx((300, 300))


def test_previews_and_masks_are_no_pages(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels, photometric="rgb")
        writer.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
    assert np.array_equal(load(tmp_path / "a.tif").pixels, pixels)
    assert load_frames(tmp_path / "a.tif").count == 1


def test_one_picture_is_one_frame(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    frames = load_frames(tmp_path / "a.png")
    assert frames.count == 1
    save_frames(tmp_path / "b.bmp", frames)
    assert np.array_equal(load(tmp_path / "b.bmp").pixels, pixels)


def test_what_cannot_hold_them_is_refused(tmp_path: Path) -> None:
    for name in ("moving.gif", "pages.tif"):
        (tmp_path / name).write_bytes(corpus.good()[name])
    with pytest.raises(ImageError, match="holds one picture"):
        save_frames(tmp_path / "a.jpg", load_frames(tmp_path / "moving.gif"))
    with pytest.raises(ImageError, match="pages, which PNG cannot hold"):
        save_frames(tmp_path / "a.png", load_frames(tmp_path / "pages.tif"))
    assert save_frames(tmp_path / "a.tif", load_frames(tmp_path / "moving.gif")) == ("the timing of the frames",)
    assert load_frames(tmp_path / "a.tif").count == 3


def test_an_animation_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gif").write_bytes(corpus.good()["moving.gif"])
    monkeypatch.setattr("unirestorer.core.images.frames._TOGETHER", 1200)
    with pytest.raises(ImageError, match="megapixels together"):
        load_frames(tmp_path / "a.gif")


def test_deep_frames_become_8_bits_in_an_animation_and_that_is_said(
    tmp_path: Path, deep_pixels: NDArray[np.uint16]
) -> None:
    given = Frames([Picture(deep_pixels), Picture(deep_pixels[::-1])], 2, tmp_path, "AVIF", (40, 40))
    assert save_frames(tmp_path / "a.png", given) == ("16 bits a channel in an animation",)
    assert load_frames(tmp_path / "a.png").count == 2
