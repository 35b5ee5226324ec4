"""Batches as processes of their own: killed and resumed, interrupted, and shared by two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

UNIRESTORER = (sys.executable, "-m", "unirestorer")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def photos(folder: Path, good: int, bad: int, side: int) -> None:
    """Noisy photos, some in a folder of their own, and files that are none."""
    random = np.random.default_rng(0)
    (folder / "sub").mkdir(parents=True)
    for index in range(good):
        values = np.clip(random.normal(100, 25, (side, side, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(values).save(folder / ("sub" if index % 3 == 0 else ".") / f"{index:03}.png")
    for index in range(bad):
        (folder / f"bad{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))


def made(out: Path) -> dict[str, tuple[int, int]]:
    """Every visible file below ``out`` with its inode and when it was written."""
    found = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*UNIRESTORER, *map(str, arguments)],
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(process: subprocess.Popen[str], out: Path, count: int) -> None:
    """Until there are ``count`` results; fails where the process ends before."""
    while len(made(out)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def test_a_batch_that_is_killed_again_and_again_does_every_good_file_once(tmp_path: Path) -> None:
    source, out, report = tmp_path / "in", tmp_path / "out", tmp_path / "report.json"
    photos(source, good=40, bad=3, side=160)
    options = ("--skip-done", "--task", "noise", "--no-guards", "--runtime", "eager", "--report", report)
    arguments = ("restore", source, "-o", out, *options)
    before: dict[str, tuple[int, int]] = {}
    for count in (5, 20):
        process = start(*arguments)
        wait_for(process, out, count)
        process.kill()
        process.communicate()
        after = made(out)
        assert before.items() <= after.items()
        assert len(after) < 40
        before = after
    last = start(*arguments)
    said, complained = last.communicate()
    assert last.returncode == 2
    assert before.items() <= made(out).items()
    assert f"43 of 43 files: {40 - len(before)} restored, {len(before)} skipped, 3 failed" in said
    assert [f"bad{index}.png" in line for index, line in enumerate(complained.splitlines())] == [True] * 3
    assert len(made(out)) == 40
    assert list(out.rglob("*.part")) == []
    for name in made(out):
        assert np.asarray(Image.open(out / name)).shape == (160, 160, 3)
    states = [entry["state"] for entry in json.loads(report.read_text())]
    assert sorted(set(states)) == ["failed", "restored", "skipped"]


def test_an_interrupted_batch_ends_at_once_and_cleanly(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    photos(source, good=40, bad=0, side=224)
    process = start("restore", source, "-o", out, "--runtime", "eager")
    wait_for(process, out, 3)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=20)
    assert (process.returncode, complained) == (130, "")
    assert f"{len(made(out))} of 40 files" in said
    assert "--skip-done" in said
    assert list(out.rglob("*.part")) == []
    assert said.count(" -> ") == len(made(out)) < 40


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    source, out, report = tmp_path / "in", tmp_path / "out", tmp_path / "report.json"
    photos(source, good=18, bad=1, side=64)
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    command = (sys.executable, *launcher, "-m", "unirestorer", "restore", str(source), "-o", str(out))
    options = ("--task", "noise", "--no-guards", "--runtime", "eager", "--report", str(report))
    done = subprocess.run([*command, *options], env=ENVIRONMENT, text=True, capture_output=True, check=False)
    assert done.returncode != 0  # a file is none
    assert "all 2 processes: 18 restored, 1 failed" in done.stdout, done.stderr
    assert len(made(out)) == 18
    entries = [json.loads((tmp_path / f"report-{rank}-of-2.json").read_text()) for rank in range(2)]
    assert all(entries)
    sources = [entry["source"] for share in entries for entry in share]
    assert len(sources) == len(set(sources)) == 19
