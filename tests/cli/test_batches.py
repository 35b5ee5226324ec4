"""Folders on the command line: what is told, what is skipped, how a run ends and how it goes on."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unirestorer.cli.batching import counts_line
from unirestorer.cli.progress import counted
from unirestorer.core.batch import working
from unirestorer.core.images import load, load_frames
from unirestorer.core.restoring.files import deliver

Run = Callable[..., Any]
Photo = Callable[..., Path]


@pytest.fixture
def folder(photo: Photo, tmp_path: Path) -> Path:
    """Three dark photos, a clean one, and one that is none."""
    for name in ("a.png", "b.jpg", "sub/c.png"):
        photo(tmp_path / "in" / name)
    photo(tmp_path / "in" / "clean.jpg", level=200)
    (tmp_path / "in" / "bad.png").write_text("not a picture")
    return tmp_path / "in"


def names(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_the_last_lines_say_what_became_of_all(run: Run, folder: Path, tmp_path: Path) -> None:
    result = run("restore", folder, "-o", tmp_path / "out")
    assert result.code == 2
    assert len(result.errors) == 1
    assert result.out.splitlines()[-2:] == ["5 of 5 files: 3 restored, 1 unchanged, 1 failed", "failed: bad.png"]
    assert names(tmp_path / "out") == ["a.png", "b.jpg", "clean.jpg", "sub/c.png"]
    assert (tmp_path / "out" / "clean.jpg").read_bytes() == (folder / "clean.jpg").read_bytes()


def test_going_on_skips_what_is_there(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("restore", folder / "a.png", "-o", out)
    made = (out / "a.png").stat()
    again = run("restore", folder, "-o", out)
    assert (again.code, len(again.errors)) == (2, 2)
    assert "a.png: exists already" in again.errors[0]
    assert names(out) == ["a.png", "b.jpg", "clean.jpg", "sub/c.png"]
    result = run("restore", folder, "-o", out, "--skip-done")
    assert result.out.splitlines() == ["5 of 5 files: 4 skipped, 1 failed", "failed: bad.png"]
    assert (out / "a.png").stat() == made


def test_what_is_there_needs_no_model(run: Run, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = photo(tmp_path / "a.png")
    assert run("restore", source, "-o", tmp_path / "out").code == 0
    monkeypatch.setattr("unirestorer.api.load", None)
    assert run("restore", source, "-o", tmp_path / "out", "--skip-done").code == 0


def test_a_source_that_changed_is_told_and_redone_on_request(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("restore", folder, "-o", out)
    os.utime(folder / "a.png", (2**33, 2**33))
    kept = run("restore", folder, "-o", out, "--skip-done")
    assert f"a.png  changed since {out / 'a.png'} was made; with --overwrite it is restored again" in kept.out
    redone = run("restore", folder, "-o", out, "--skip-done", "--overwrite")
    assert "1 restored, 3 skipped, 1 failed" in redone.out


def test_existing_files_are_told_before_anything_is_computed(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "out" / "sub" / "c.png").write_bytes(b"mine")
    result = run("restore", folder, "-o", tmp_path / "out")
    assert "c.png: exists already" in result.errors[0]
    assert "bad.png" in result.errors[1]
    assert (tmp_path / "out" / "sub" / "c.png").read_bytes() == b"mine"


def test_the_report_is_in_the_order_of_the_files(run: Run, folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run("restore", folder, tmp_path / "none.png", "-o", tmp_path / "out", "--report", report, "--jobs", "3")
    entries = json.loads(report.read_text())
    assert [(Path(entry["source"]).name, entry["state"]) for entry in entries] == [
        ("a.png", "restored"),
        ("b.jpg", "restored"),
        ("bad.png", "failed"),
        ("clean.jpg", "unchanged"),
        ("c.png", "restored"),
        ("none.png", "failed"),
    ]
    assert entries[0]["runtime"] == "eager"
    assert entries[0]["treatment"]["steps"] == 1
    assert entries[0]["steps"][0]["experts"] == ["dark"]


def test_going_on_goes_on_with_the_report(run: Run, folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run("restore", folder / "a.png", "-o", tmp_path / "out", "--report", report)
    (first,) = json.loads(report.read_text())
    assert run("restore", folder, "-o", tmp_path / "out", "--report", report).code == 2
    run("restore", folder, "-o", tmp_path / "out", "--report", report, "--skip-done")
    entries = json.loads(report.read_text())
    assert len(entries) == 5
    assert entries[0] == first
    report.write_text("{}")
    run("restore", folder, "-o", tmp_path / "out", "--report", report, "--skip-done")
    assert [entry["state"] for entry in json.loads(report.read_text())].count("skipped") == 4


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(
    run: Run, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    for index in range(40):
        photo(tmp_path / "in" / f"{index:02}.png")
    written: list[Path] = []

    def interrupting(*arguments: Any) -> tuple[str, ...]:
        lost = deliver(*arguments)
        written.append(arguments[2])
        if len(written) == 5:
            os.kill(os.getpid(), sent)
        return lost

    monkeypatch.setattr(working, "deliver", interrupting)
    report = tmp_path / "report.json"
    result = run("restore", tmp_path / "in", "-o", tmp_path / "out", "--report", report)
    done = len(written)
    assert (result.code, result.errors) == (130, [])
    assert 5 <= done < 40
    assert result.out.splitlines()[-2:] == [
        f"{done} of 40 files: {done} restored",
        "stopped: go on with the same command and --skip-done",
    ]
    assert names(tmp_path / "out") == sorted(path.name for path in written)
    assert len(json.loads(report.read_text())) == done
    monkeypatch.setattr(working, "deliver", deliver)
    again = run("restore", tmp_path / "in", "-o", tmp_path / "out", "--report", report, "--skip-done")
    assert (again.code, again.out.splitlines()[-1]) == (0, f"40 of 40 files: {40 - done} restored, {done} skipped")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_full_disk_ends_the_run(run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = run("restore", folder, "-o", tmp_path / "out")
    assert result.code == 2
    assert [line for line in result.errors if "No space left on device" in line] == result.errors[-1:]
    assert "stopped: go on with the same command and --skip-done" in result.out


def test_a_format_is_chosen(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run("restore", folder, "-o", tmp_path / "out", "--format", "webp", "--quality", 40).code == 2
    assert names(tmp_path / "out") == ["a.webp", "b.webp", "clean.webp", "sub/c.webp"]
    assert load(tmp_path / "out" / "a.webp").format == "WEBP"
    wrong = run("restore", folder, "-o", tmp_path / "out2", "--format", "doc")
    assert "format is 'doc', wanted one of png, jpg" in wrong.errors[0]


def test_what_a_format_cannot_hold_is_told(run: Run, tmp_path: Path) -> None:
    values = np.zeros((30, 30, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=b"x" * 200)
    result = run("restore", tmp_path / "a.png", "-o", tmp_path / "a.bmp")
    assert result.code == 0
    assert "  note: bmp cannot hold the ICC profile, " in result.out


def test_all_frames(run: Run, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), (level,) * 3) for level in (20, 60, 90)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    refused = run("restore", tmp_path / "a.tif", "-o", tmp_path / "out")
    assert "--all-frames" in refused.errors[0]
    report = tmp_path / "report.json"
    assert run("restore", tmp_path / "a.tif", "-o", tmp_path / "out", "--all-frames", "--report", report).code == 0
    levels = [int(picture.pixels[5, 5, 0]) for picture in load_frames(tmp_path / "out" / "a.tif")]
    assert levels == [30, 70, 100]
    (entry,) = json.loads(report.read_text())
    assert len(entry["steps"]) == 1
    assert entry["frames"] == 3


def test_the_default_output_is_a_folder_here(
    run: Run, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("restore", photo(tmp_path / "a.png")).code == 0
    assert (tmp_path / "restored" / "a.png").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [("80000MB", 0), ("15.5gib", 0), ("98765432100", 0), ("much", 2), ("1MiBB", 2), ("i", 2), ("-5MB", 2)],
)
def test_sizes(run: Run, photo: Photo, tmp_path: Path, text: str, code: int) -> None:
    assert run("restore", photo(tmp_path / "a.png"), "-o", tmp_path / "out", f"--max-memory={text}").code == code


def test_images_that_cannot_be_read_are_counted(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "x.heic").touch()
    assert "left out, because they cannot be read: 1 .heic\n" in run("restore", folder, "-o", tmp_path / "out").out


def test_odd_names_are_restored_and_told_in_a_line(run: Run, photo: Photo, tmp_path: Path) -> None:
    names = [
        "-dash.png",
        "%s{}.png",
        "a" * 250 + ".png",
        "b\n.png",
        "caf\udce9.png",
        "esc\x1b[31m.png",
        "sp ace.png",
        "ü.png",
    ]
    for name in names:
        photo(tmp_path / "in" / "x.png").rename(tmp_path / "in" / name)
    (tmp_path / "in" / "z\n\udce9.png").write_text("not a picture")
    result = run("restore", tmp_path / "in", "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert len(result.errors) == 1
    assert len([line for line in result.out.splitlines() if "  note: " not in line]) == len(names) + 2
    assert "b\\n.png  dark" in result.out
    assert result.out.endswith("failed: z\\n\\udce9.png\n")
    assert "\x1b" not in result.out


def test_counts() -> None:
    assert counts_line(Counter(failed=1, restored=3)) == "3 restored, 1 failed"
    assert counts_line(Counter()) == "nothing done"


@pytest.mark.parametrize(("total", "seen"), [(1, False), (3, True)])
def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, total: int, seen: bool) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    with counted(total) as advance:
        for _ in range(total):
            advance()
    shown = terminal.getvalue()
    assert (f"{total}/{total}" in shown, "images/s" in shown, "0:00:00" in shown) == (seen,) * 3
