"""The table of ``docs/formats.md``: measured, complete, and as printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from unirestorer.core.images import FORMATS, Picture, lost

from . import matrix


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bool]]:
    return {name: matrix.measured(name, tmp_path_factory.mktemp(name)) for name in matrix.writable()}


@pytest.mark.parametrize("name", matrix.writable())
def test_everything_that_a_format_can_hold_is_kept(rows: dict[str, dict[str, bool]], name: str) -> None:
    wanted = {column: holds(FORMATS[name]) for column, (_, holds) in matrix.COLUMNS.items()}
    assert rows[name] == wanted


def test_the_page_shows_what_was_measured(rows: dict[str, dict[str, bool]]) -> None:
    page = matrix.PAGE.read_text(encoding="utf-8")
    assert matrix.table(rows) in page, "write it anew: python -m tests.core.images.matrix"


@pytest.mark.parametrize("name", matrix.writable())
def test_what_a_format_cannot_hold_is_said(rows: dict[str, dict[str, bool]], name: str) -> None:
    picture = Picture(matrix.photo(deep=True), exif=b"e", icc=b"i", xmp=b"x", dpi=(300, 300), path=Path("a.png"))
    said = " ".join(lost(picture, name))
    words = {"16 bits": "16 bits", "Exif": "GPS", "ICC": "ICC", "XMP": "XMP", "DPI": "DPI"}
    assert {column: word in said for column, word in words.items()} == {
        column: not rows[name][column] for column in words
    }
