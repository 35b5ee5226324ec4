from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unirestorer.core.captions import Read, add_captions, read_captions, read_rows, write_rows
from unirestorer.core.errors import ConfigError, ImageError
from unirestorer.core.images import load


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "captions.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def photos(folder: Path, count: int) -> dict[str, Path]:
    """Grey pictures, each a shade of its own."""
    found = {}
    for number in range(count):
        found[f"{number}.png"] = folder / f"{number}.png"
        Image.new("RGB", (4, 3), (number, number, number)).save(found[f"{number}.png"])
    return found


def readers(files: Mapping[str, Path]) -> dict[str, Read]:
    return {name: partial(pixels, path) for name, path in files.items()}


def pixels(path: Path) -> NDArray[np.uint8]:
    return load(path).eight


def shades(pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
    return [f"shade {picture[0, 0, 0]}" for picture in pictures]


def ignore(done: int) -> None:
    """Nobody watches."""


def test_captions_come_in_the_order_of_the_photos(tmp_path: Path) -> None:
    path = written(tmp_path, "b/2.png\ta house\n1 x.png\tthe  sea \n\nother.png\tnot asked for\n")
    assert read_captions(path, ["1 x.png", "b/2.png"]) == ("the sea", "a house")


def test_files_of_windows_are_read(tmp_path: Path) -> None:
    assert read_rows(written(tmp_path, b"\xef\xbb\xbf1.png\tthe sea\r\n2.png\ta house\r\n")) == {
        "1.png": "the sea",
        "2.png": "a house",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.png\ta\n", "no caption for 5 of 6 photos: 2.png, 3.png, 4.png, ...; `unirestorer captions` adds"),
        ("1.png\ta\n2.png\tb\n1.png\tc\n", "more than one caption for 1 photos: 1.png; keep one"),
        ("1.png\ta\n2.png b\n", "line 2: got '2.png b', wanted a name, a tab and a caption"),
        ("1.png\t \n", "line 1: got"),
        ("\tcaption\n", "line 1: got"),
        (b"1.png\t\xff\n", r"not UTF-8 text \(byte 6\)"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as failure:
        read_captions(path, [f"{number}.png" for number in range(1, 7)])
    assert str(path) in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["absent.tsv", "."])
def test_an_unreadable_file_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_captions(tmp_path / name, ["1.png"])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = {"ä/1.png": "the sea", "2.png": "un œuf"}
    write_rows(tmp_path / "new" / "captions.tsv", rows)
    assert read_rows(tmp_path / "new" / "captions.tsv") == rows


def test_new_captions_follow_those_that_are_there(tmp_path: Path) -> None:
    path, seen = written(tmp_path, "old.png\tby hand\n"), list[int]()
    add_captions(path, readers(photos(tmp_path, 20)), shades, seen.append)
    assert list(read_rows(path).items())[:3] == [("old.png", "by hand"), ("0.png", "shade 0"), ("1.png", "shade 1")]
    assert len(read_rows(path)) == 21
    assert seen == [8, 16, 20]


def test_captions_of_a_stopped_run_are_kept(tmp_path: Path) -> None:
    files = photos(tmp_path, 20)
    files["17.png"].write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"17\.png"):
        add_captions(tmp_path / "captions.tsv", readers(files), shades, ignore)
    assert list(read_rows(tmp_path / "captions.tsv")) == [f"{number}.png" for number in range(16)]


def test_a_run_that_fails_at_once_writes_nothing(tmp_path: Path) -> None:
    files = photos(tmp_path, 2)
    files["0.png"].unlink()
    with pytest.raises(ImageError):
        add_captions(tmp_path / "captions.tsv", readers(files), shades, ignore)
    assert not (tmp_path / "captions.tsv").exists()


def test_a_name_that_no_line_can_hold_is_refused_before_any_work(tmp_path: Path) -> None:
    files = photos(tmp_path, 1) | {"a\tb.png": tmp_path / "0.png"}
    with pytest.raises(ConfigError, match="tab or line break in the name of 1 photos"):
        add_captions(tmp_path / "captions.tsv", readers(files), shades, ignore)
    assert not (tmp_path / "captions.tsv").exists()
