"""A real server in a process of its own, on a free port, and Debian's Chromium to look at it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"
UPLOAD = 1_500_000
"""Bytes that the server under test takes at most."""


@dataclass(frozen=True)
class Served:
    """A running page: its port on this computer, and the folder that it puts its own temporary folder into."""

    port: int
    folder: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
        """Status, body and headers of the answer to a request whose path is sent as it is."""
        link = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            link.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer: HTTPResponse = link.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            link.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page, with narrow limits; afterwards it has ended well and left nothing behind."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("gradio, the extra [web], is not installed")
    folder = tmp_path_factory.mktemp("served")
    limits = ["--max-upload", "1.5MB", "--max-megapixels", "2"]
    command = [sys.executable, "-m", "unirestorer", "serve", "--port", "0", *limits]
    variables = os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    with (folder / "errors").open("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            errors.seek(0)
            assert line.startswith("http://127.0.0.1:"), errors.read()
            yield Served(int(line.split()[0].rpartition(":")[2]), folder)
        finally:
            process.terminate()
            code = process.wait(20)
            if process.stdout:
                process.stdout.close()
    assert code == 0
    assert "Traceback" not in (folder / "errors").read_text()
    assert [path.name for path in folder.iterdir()] == ["errors"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no program 'chromium'")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
