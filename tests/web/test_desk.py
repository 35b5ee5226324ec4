"""Photos on the desk, what is said of them, and the command, without a browser."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.web.conftest import PHOTOS
from unirestorer import api
from unirestorer.cli.app import main
from unirestorer.core.errors import ImageError
from unirestorer.core.explaining import Branch
from unirestorer.core.mixture import Estimate
from unirestorer.web.desk import MOST, Desk, Limits, Photo, safe_name
from unirestorer.web.studio import Studio
from unirestorer.web.tree import found_html, tree_html
from unirestorer.web.words import percent, spoken

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
TREE = (
    Branch(0, "all", "ALL", 0, 1.0),
    Branch(1, "rain", "TYPE", 1, 0.7),
    Branch(2, "rain/heavy", "DEGREE", 2, 0.69),
    Branch(3, "rain/light", "DEGREE", 2, 0.01),
    Branch(4, "<b>", "TYPE", 1, 0.29),
    Branch(5, "snow", "TYPE", 1, 0.01),
)


def received(desk: Desk, name: str, content: bytes) -> Photo:
    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    return asyncio.run(desk.receive(name, body()))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Ä ß 写真.png", "Ä ß 写真.png"),
        ("../../etc/passwd", "passwd"),
        ("a\\b\\c.tif", "c.tif"),
        ("..", "photo"),
        (".hidden", "hidden"),
        ("a\nb\x00.jpg", "a_b_.jpg"),
        ("x" * 500 + ".jpeg", "x" * 80 + ".jpeg"),
        ("", "photo"),
    ],
)
def test_names_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_photo_lies_alone_and_only_what_is_offered_is_given(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits())
    content = (PHOTOS / "spices-jpeg.jpg").read_bytes()
    photo, other = received(desk, "a.jpg", content), received(desk, "a.jpg", content)
    assert photo.key != other.key
    assert photo.source.read_bytes() == content
    assert photo.size == (341, 512)
    address = photo.offer(photo.source)
    assert address == f"photos/{photo.key}/0-a.jpg"
    assert desk.file(photo.key, "0-a.jpg") == photo.source
    assert desk.file(other.key, "0-a.jpg") is None
    assert desk.file("nobody", "0-a.jpg") is None


def test_a_refused_photo_leaves_nothing_behind(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits(pixels=1000))
    with pytest.raises(ImageError, match=r"^a\.jpg: 0\.2 megapixels, wanted at most 0\.001; make it smaller"):
        received(desk, "a.jpg", (PHOTOS / "spices-jpeg.jpg").read_bytes())
    with pytest.raises(ImageError, match=r"^b\.jpg: "):
        received(desk, "b.jpg", b"no photo")
    assert list(tmp_path.iterdir()) == []


def test_old_photos_and_too_many_go(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits())
    photos = [desk.copy(PHOTOS / "spices-jpeg.jpg") for _ in range(MOST + 1)]
    assert len(list(tmp_path.iterdir())) == MOST
    with pytest.raises(ImageError, match="no longer here"):
        desk.photo(photos[0].key)
    photos[1].born -= 4000
    desk.copy(PHOTOS / "spices-jpeg.jpg")
    assert not photos[1].folder.exists()
    assert desk.photo(photos[2].key) is photos[2]


def test_of_an_untouched_photo_nothing_is_said_to_be_lost(tmp_path: Path) -> None:
    studio = Studio(api.load().restorer, Desk(tmp_path / "desk", Limits()))
    with Image.open(PHOTOS / "wren-clean.jpg") as image:
        image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[image.copy()])
    key = studio.desk.copy(tmp_path / "a.jpg").key
    untouched = list(studio.restore(key, strength=0))[-1].done
    assert "byte for byte" in untouched
    assert "ot carried over" not in untouched
    assert "Not carried over: further pictures" in list(studio.restore(key, "rain"))[-1].done


def test_a_tree_is_drawn_with_its_path_and_escaped() -> None:
    html = tree_html(TREE, ("all", "rain", "rain/heavy"))
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.replace("<b></b>", "")
    assert html.count('<li class="ur-path">') == 2
    assert "others" not in html  # one alone is named
    assert html.count('<li class="ur-chosen">') == 1
    assert html.index(">Rain<") < html.index(">Heavy") < html.index(">Light<") < html.index("&lt;b&gt;")


def test_something_unknown_is_warned_of() -> None:
    estimate = Estimate(
        node=2, path=("all", "rain", "rain/heavy"), task="rain", leaves={}, levels={"ALL": 0.1, "DEGREE": 0.9},
        types={"rain": 0.7}, alternatives=(), level="DEGREE", tree=TREE, reason="because", novelty=1.7, unknown=True,
    )  # fmt: skip
    html = found_html(estimate)
    assert "Unlike anything" in html
    assert "novelty 1.70" in html
    assert "Because." in html
    assert "for this degree of it" in html
    assert "You said: low light" in found_html(estimate, "lowlight")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("all", "rain"), "the expert for rain should help most"),
        (("all", "clean", "clean/none"), "nothing is expected to help"),
        (("all", "haze"), ""),
        (("all",), ""),
    ],
)
def test_an_expert_for_something_else_than_the_photo_looks_like_is_explained(path: tuple[str, ...], said: str) -> None:
    estimate = Estimate(1, path, "haze", {}, {}, {"haze": 0.6}, (), tree=TREE)
    assert ("by its likeness" in found_html(estimate)) == bool(said)
    assert said in found_html(estimate)


def test_numbers_and_names_are_said_as_people_say_them() -> None:
    assert [percent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0, 0.001, 0.5, 0.998, 1)] == [
        "0 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "100 %",
    ]
    assert [spoken(name) for name in ("all", "lowlight/heavy#2", "h-n")] == ["any damage", "low light (heavy 2)", "h n"]


def test_without_the_extra_one_line_says_how_to_install_it(run_python: RunPython) -> None:
    code = (
        "import sys; sys.modules['gradio'] = None\nfrom unirestorer.cli.app import main\nmain(['serve', '--port', '0'])"
    )
    done = run_python(code)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'unirestorer[web]'" in done.stderr


def test_help_does_not_import_gradio(run_python: RunPython) -> None:
    code = (
        "import sys\nfrom unirestorer.cli.app import main\n"
        "try: main(['serve', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('gradio', 'torch') if name in sys.modules])"
    )
    done = run_python(code)
    assert "--max-upload" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_taken_port_is_one_line_and_an_open_address_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["serve", "--host", "0.0.0.0", "--port", str(port)])
    assert ended.value.code == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: anybody who can reach 0.0.0.0")
    assert f"cannot serve at 0.0.0.0 port {port}" in error
