"""Hostile requests to the running server: nothing but the page's own requests gets anywhere."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.web.conftest import PHOTOS, UPLOAD, Served

SECRET = b"root:"
UP = ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%252f", "..%5c", "%252e%252e%252f", "....//"]
PREFIXES = ["/photos/a/", "/examples/", "/assets/", "/static/", "/gradio_api/file=", "/gradio_api/file/", "/"]


@pytest.mark.parametrize("up", UP)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_path_leads_out(served: Served, prefix: str, up: str) -> None:
    status, body, _ = served.ask("GET", f"{prefix}{up * 8}etc/passwd")
    assert status in (400, 404)
    assert SECRET not in body


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:9/",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/app_id",
        "/gradio_api/runs",
        "/gradio_api/deep_link?session_hash=a",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/vibe-code",
        "/gradio_api/upload_progress?upload_id=a",
        "/config",
        "/docs",
        "/openapi.json",
        "/monitoring",
        "/manifest.json",
        "/photos",
        "/photos/",
        "/photos/a/b",
        "/examples/nothing",
        "/examples/..",
        "//etc/passwd",
    ],
)
def test_what_the_page_does_not_need_does_not_exist(served: Served, path: str) -> None:
    assert served.ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    "path", ["upload", "run/predict", "api/predict", "call/x", "component_server", "vibe-edit", "login"]
)
def test_nothing_else_can_be_called(served: Served, path: str) -> None:
    assert served.ask("POST", f"/gradio_api/{path}", b"{}", content_type="application/json")[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_do_not_exist(served: Served, method: str) -> None:
    assert served.ask(method, "/photos")[0] == 404


def test_an_answer_forbids_other_servers_frames_and_guessing_of_types(served: Served) -> None:
    _, body, headers = served.ask("GET", "/")
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert str(served.folder).encode() not in body


def test_another_name_for_this_computer_is_refused(served: Served) -> None:
    assert served.ask("GET", "/", host="evil.example")[0] == 421
    assert served.ask("GET", "/", host=f"localhost:{served.port}")[0] == 200


def test_another_site_cannot_send_anything(served: Served) -> None:
    photo = (PHOTOS / "spices-jpeg.jpg").read_bytes()
    assert served.ask("POST", "/photos?name=a.jpg", photo, origin="http://evil.example")[0] == 403
    assert served.ask("POST", "/photos?name=a.jpg", photo, origin="null")[0] == 403
    assert served.ask("POST", "/photos?name=a.jpg", photo, origin=served.address.rstrip("/"))[0] == 200


def test_a_large_upload_is_refused_before_it_is_read(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as link:
        head = (
            f"POST /photos?name=a.jpg HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Length: {UPLOAD + 1}\r\n\r\n"
        )
        link.sendall(head.encode())
        assert b" 413 " in link.recv(1000).splitlines()[0]


def test_an_upload_of_unknown_length_is_refused(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as link:
        head = (
            f"POST /photos?name=a.jpg HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        link.sendall(head.encode())
        assert b" 411 " in link.recv(1000).splitlines()[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", b"<html><script>alert(1)</script></html>"),
        ("picture.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
        ("lie.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("program.jpg", b"\x7fELF" + bytes(100)),
        ("nothing.jpg", b""),
        ("pickle.png", b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    ],
)
def test_what_is_no_photo_is_refused_in_one_line(served: Served, name: str, content: bytes) -> None:
    before = sorted(served.folder.rglob("source"))
    status, body, headers = served.ask("POST", f"/photos?name={name}", content)
    line = json.loads(body)["error"]
    assert (status, headers["content-type"]) == (415, "application/json")
    assert line.startswith(name)
    assert "\n" not in line
    assert str(served.folder) not in line
    assert sorted(served.folder.rglob("source")) == before


@pytest.mark.parametrize(
    "name", ["../../evil.jpg", "/etc/evil.jpg", "..\\..\\evil.jpg", "C:\\evil.jpg", "evil\x00.jpg", "", "." * 300]
)
def test_a_name_stays_in_its_folder(served: Served, name: str) -> None:
    before = set(served.folder.rglob("*"))
    status, body, _ = served.ask("POST", f"/photos?name={quote(name)}", (PHOTOS / "spices-jpeg.jpg").read_bytes())
    assert status == 200
    key = json.loads(body)["key"]
    (new,) = [path for path in set(served.folder.rglob("*")) - before if path.is_file()]
    assert new.parent.name == "source"
    assert new.parent.parent.name == key
    assert served.ask("GET", f"/photos/{key}/{quote(new.name)}")[0] == 404  # what came is not given out


def _joined(served: Served, data: object) -> tuple[int, bytes, object]:
    body = json.dumps({"data": data, "fn_index": 2, "session_hash": "a", "event_data": None, "trigger_id": 1}).encode()
    return served.ask("POST", "/gradio_api/queue/join", body, content_type="application/json")


@pytest.mark.parametrize(
    "data",
    [
        [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
        [{"path": "http://127.0.0.1:9/", "url": "http://127.0.0.1:9/", "meta": {"_type": "gradio.FileData"}}],
        [[{"path": "/etc/passwd"}]],
        {"path": "/etc/passwd"},
        [float("nan")],
        None,
    ],
)
def test_the_queue_takes_words_and_numbers_only(served: Served, data: object) -> None:
    assert _joined(served, data)[0] == 400


def test_a_long_message_to_the_queue_is_refused(served: Served) -> None:
    assert _joined(served, ["a" * 70_000])[0] == 413


def test_a_hundred_visitors_at_once_are_answered(served: Served) -> None:
    with ThreadPoolExecutor(100) as visitors:
        statuses = [answer[0] for answer in visitors.map(lambda _: served.ask("GET", "/examples/clean"), range(100))]
    assert statuses == [200] * 100
