from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.commands import run


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    assert run("captions", tmp_path, "-o", tmp_path / "captions.tsv") == 2
    assert capsys.readouterr().err == "error: captions need transformers; pip install 'unirestorer[captions]'\n"
    assert not (tmp_path / "captions.tsv").exists()


def test_photos_that_have_captions_need_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    (tmp_path / "captions.tsv").write_text("1.png\ta house\n", encoding="utf-8")
    assert run("captions", tmp_path, "-o", tmp_path / "captions.tsv") == 0
    assert "0 of 1 photos captioned" in capsys.readouterr().out
