"""The page as a visitor meets it, in a real browser."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.web.conftest import PHOTOS, Served
from unirestorer.cli.app import main
from unirestorer.core.images import Picture, load, save
from unirestorer.web.studio import EXAMPLES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

DESKTOP, PHONE = (1280, 900), (390, 844)
Open = Callable[..., "Page"]


@pytest.fixture
def visit(served: Served, browser: Browser) -> Iterator[Open]:
    """``visit(size)`` opens the page; afterwards it has asked no other server for anything, and nothing was blocked."""
    foreign: list[str] = []
    complaints: list[str] = []
    contexts = []

    def open_page(size: tuple[int, int] = DESKTOP, dark: bool = False) -> Page:
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        own = (served.address, "data:", f"blob:{served.address}")
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(own) else None)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(served.address)
        page.wait_for_selector(".ur-drop")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert foreign == []
    assert [line for line in complaints if "status of 4" not in line] == []


def drop(page: Page, photo: Path) -> None:
    page.set_input_files(".ur-drop input", photo)


def restored(page: Page, photo: Path) -> Page:
    drop(page, photo)
    page.wait_for_selector(".ur-download", timeout=20_000)
    return page


def drop_for_real(page: Page, photo: Path) -> None:
    """As a browser does when a file of another program is let go over the page."""
    content = base64.b64encode(photo.read_bytes()).decode()
    page.evaluate(
        """([content, name]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], name));
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const told = { dataTransfer: carried, bubbles: true, cancelable: true };
                document.body.dispatchEvent(new DragEvent(kind, told));
            }
        }""",
        [content, photo.name],
    )


def downloaded(page: Page, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(".ur-download")
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


def seen(element: Locator) -> NDArray[np.int16]:
    """What is to be seen of ``element``, as (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(np.int16)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rainy JPEG of a camera: Exif data with a place, a profile."""
    from PIL import ImageCms

    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera maker", 1
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (50.0, 4.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path_factory.mktemp("tagged") / "Régen & 'mehr'.jpg"
    with Image.open(PHOTOS / "osprey-rain.png") as image:
        image.convert("RGB").save(path, quality=96, exif=exif.tobytes(), icc_profile=profile)
    return path


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark PNG of 16 bits."""
    picture = load(PHOTOS / "colosseum-lowlight.png")
    path = tmp_path_factory.mktemp("deep") / "deep.png"
    pixels = picture.pixels.astype(np.uint16) * 257
    save(path, pixels, Picture(pixels))
    return path


@pytest.fixture(scope="module")
def by_command(tagged: Path, deep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``unirestorer restore`` makes of both."""
    folder = tmp_path_factory.mktemp("by_command")
    with pytest.raises(SystemExit) as ended:
        main(["restore", str(tagged), str(deep), "-o", str(folder)])
    assert ended.value.code == 0
    return folder


def test_a_photo_is_estimated_restored_and_comes_back_with_its_metadata(
    visit: Open, tagged: Path, by_command: Path, tmp_path: Path
) -> None:
    page = restored(visit(), tagged)
    assert page.inner_text("#ur-found h2").startswith("Rain")
    rows = page.locator(".ur-tree .ur-row").all_inner_texts()
    assert [rows[0].split()[:2], rows[1].split()[0]] == [["Any", "damage"], "Rain"]
    assert page.locator(".ur-tree li.ur-chosen").count() == 1
    assert "Restored by the expert for rain" in page.inner_text("#ur-done")
    assert page.inner_text(".ur-facts b") == "Régen & 'mehr'.jpg"
    target = downloaded(page, tmp_path)
    expected = load(by_command / tagged.name)
    got = load(target)
    assert np.array_equal(got.pixels, expected.pixels)
    assert not np.array_equal(got.pixels, load(tagged).pixels)
    assert (got.exif, got.icc) == (expected.exif, expected.icc)
    with Image.open(target) as image:
        assert image.getexif()[0x010F] == "Camera maker"
        assert image.getexif().get_ifd(0x8825)[2] == (50.0, 4.0, 12.0)
        assert image.info["icc_profile"]
    with pytest.raises(SystemExit) as ended:
        main(["replay", str(target), "--source", str(tagged)])  # it says how it was made
    assert ended.value.code == 0


def test_sixteen_bits_are_shown_in_eight_and_delivered_whole(
    visit: Open, deep: Path, by_command: Path, tmp_path: Path
) -> None:
    page = restored(visit(), deep)
    assert "16 bit, shown in 8" in page.inner_text(".ur-facts")
    got = load(downloaded(page, tmp_path))
    assert got.pixels.dtype == np.uint16
    assert np.array_equal(got.pixels, load(by_command / deep.name).pixels)


def test_a_good_photo_comes_back_byte_for_byte(visit: Open, tmp_path: Path) -> None:
    photo = PHOTOS / "wren-clean.jpg"
    page = restored(visit(), photo)
    assert "byte for byte" in page.inner_text("#ur-done")
    assert page.locator(".ur-picture input").count() == 0
    assert downloaded(page, tmp_path).read_bytes() == photo.read_bytes()


def test_the_divider_follows_the_mouse_and_the_keyboard_and_shows_more_of_the_photo_before(visit: Open) -> None:
    page = restored(visit(), PHOTOS / "osprey-rain.png")
    picture = page.locator(".ur-picture")
    for kind in (".ur-before", ".ur-after"):  # in full size, however small it is shown
        size = page.eval_on_selector(
            kind, "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
        )
        assert size == [512, 288]
    box = picture.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] * 0.9

    def divider() -> float:
        at = page.locator(".ur-divider").bounding_box()
        assert at is not None
        return (at["x"] + at["width"] / 2 - box["x"]) / box["width"]

    assert divider() == pytest.approx(0.5, abs=0.01)
    before = seen(picture)
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
    page.mouse.up()
    assert divider() == pytest.approx(0.8, abs=0.01)
    after = seen(picture)
    width = before.shape[1]
    step = np.abs(before - after).mean(axis=(0, 2))
    assert step[int(0.55 * width) : int(0.75 * width)].mean() > 10  # what was restored there is rain again
    assert step[int(0.85 * width) :].mean() < 1
    page.focus(".ur-picture input")
    page.keyboard.press("Home")
    assert divider() == pytest.approx(0, abs=0.01)
    page.click(".ur-zoom")
    assert picture.bounding_box() == pytest.approx({"x": box["x"], "y": box["y"], "width": 512, "height": 288}, abs=400)
    assert page.locator(".ur-picture").evaluate("e => [e.clientWidth, e.clientHeight]") == [512, 288]


def test_an_example_is_a_click_away_and_a_named_damage_and_a_strength_are_obeyed(visit: Open, tmp_path: Path) -> None:
    page = visit()
    assert page.locator(".ur-example").count() == 4
    page.click("[data-example=haze]")
    page.wait_for_selector(".ur-download", timeout=20_000)
    assert page.inner_text("#ur-found h2").startswith("Haze")
    labels = page.locator("#ur-task label").all_inner_texts()
    assert labels[0] == "Find out"
    assert {"Rain", "Low light", "JPEG blocks"} <= set(labels)
    page.click("#ur-task label:has-text('Noise')")
    page.fill("#ur-strength input[type=number]", "0")
    page.fill("#ur-steps input[type=number]", "2")
    page.keyboard.press("Tab")
    page.click("#ur-again")
    page.wait_for_selector("text=You said: noise")
    page.wait_for_selector(".ur-badge:has-text('Unchanged')")
    assert downloaded(page, tmp_path).read_bytes() == EXAMPLES["haze"].read_bytes()
    page.click("#ur-other")
    page.wait_for_selector(".ur-drop", state="visible")
    assert page.is_hidden("#ur-controls")


def test_a_bad_file_is_a_line_on_the_page_and_the_next_photo_works(visit: Open, tmp_path: Path) -> None:
    page = visit()
    bad = tmp_path / "no<i>.png"
    bad.write_bytes((PHOTOS / "lake-haze.png").read_bytes()[:5000])
    large, script = tmp_path / "large.jpg", tmp_path / "page.html"
    large.write_bytes(bytes(1_500_001))
    script.write_text("<script>document.title = 'taken'</script>")
    many = tmp_path / "many.png"
    Image.new("L", (2000, 1001)).save(many)
    for photo, said in (
        (bad, "no_i_.png"),
        (large, "more than 1.5 MB"),
        (script, "page.html"),
        (many, "2.0 megapixels"),
    ):
        drop(page, photo)
        page.wait_for_selector(f".ur-error:has-text('{said}')")
        assert "\n" not in page.inner_text(".ur-error")
        assert "/" not in page.inner_text(".ur-error").replace("unirestorer restore", "")
        assert page.is_visible(".ur-drop")
    assert page.title() == "UniRestorer"
    drop_for_real(page, PHOTOS / "spices-jpeg.jpg")
    page.wait_for_selector(".ur-download", timeout=20_000)
    assert page.locator(".ur-error").count() == 0
    assert page.inner_text(".ur-facts b") == "spices-jpeg.jpg"


@pytest.mark.parametrize("name", ["desktop", "phone"])
def test_it_fits_and_can_be_looked_at(name: str, visit: Open, tmp_path: Path) -> None:
    """``WEB_SCREENSHOTS=docs`` keeps the pictures that the guide shows."""
    keep = os.environ.get("WEB_SCREENSHOTS")
    page = visit(DESKTOP if name == "desktop" else PHONE)

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    assert fits()
    assert name == "phone" or seen(page.locator("body")).mean() > 200
    restored(page, PHOTOS / "osprey-rain.png")
    assert fits()
    picture = page.locator(".ur-picture").bounding_box()
    assert picture is not None
    assert picture["width"] >= (340 if name == "phone" else 700)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    target = tmp_path / f"web-{name}.jpg"
    page.screenshot(path=target, full_page=True, type="jpeg", quality=82)
    assert target.stat().st_size > 20_000
    if keep:
        shutil.copy(target, Path(keep) / target.name)


def test_it_is_dark_where_the_visitor_likes_it_dark(visit: Open) -> None:
    assert seen(visit(dark=True).locator("body")).mean() < 60
