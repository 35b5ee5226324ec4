"""Which files of a folder are images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unirestorer.core.errors import ImageError
from unirestorer.core.images import find_images


def test_folders_are_mirrored_and_other_files_left_out(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "sub/c.gif", "notes.txt", ".hidden.png", "out/done.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_images([tmp_path], skip=tmp_path / "out")
    assert [target.as_posix() for _, target in found] == ["a.jpg", "b.PNG", "sub/c.gif.png"]
    assert all((tmp_path / source).exists() for source, _ in found)


def test_a_folder_without_images_and_a_missing_path_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no images"):
        find_images([tmp_path])
    with pytest.raises(ImageError, match="no such file or folder"):
        find_images([tmp_path / "none"])


def test_links_are_followed_to_files_but_not_to_folders(tmp_path: Path) -> None:
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    (tmp_path / "photos" / "inner" / "a.AVIF").write_bytes(b"x")
    (tmp_path / "photos" / "b.tif").symlink_to(tmp_path / "photos" / "inner" / "a.AVIF")
    (tmp_path / "photos" / "inner" / "round").symlink_to(tmp_path / "photos")
    found = find_images([tmp_path / "photos"])
    assert [target.as_posix() for _, target in found] == ["b.tif", "inner/a.AVIF"]


def test_folders_and_pipes_with_the_names_of_images_are_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "a.png").write_bytes(b"x")
    assert [source.name for source, _ in find_images([tmp_path])] == ["a.png", "pipe.png"]
