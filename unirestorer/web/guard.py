"""Which requests reach the page: those that it makes itself, from its own address, of a sensible size.

The page is laid out with gradio, which answers many more requests than this one page makes: files by path, proxies,
uploads, descriptions of its functions. None of these is let through, and what a browser sends to gradio's queue may
only hold words and numbers, never files. What is not on the list does not exist.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

QUEUE = "/gradio_api/queue/join"
_KEY = "[A-Za-z0-9_-]{1,64}"
_READ = re.compile(
    rf"/|/theme\.css|/favicon\.ico|/(assets|static)/[A-Za-z0-9_./-]+|/examples/{_KEY}|/photos/{_KEY}/[^/\\]+"
    rf"|/gradio_api/(queue/data|heartbeat/{_KEY})"
)
_WRITTEN = re.compile(rf"/photos|{QUEUE}|/gradio_api/cancel")
BODY = 64 * 1024
"""Bytes of a request at most that is no upload."""
PATIENCE = 30.0
"""Seconds to wait for the next piece of a request."""
_HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class RefusedError(Exception):
    """A request that is not let through: its HTTP status and the line to answer with."""

    def __init__(self, status: int, line: str) -> None:
        self.status, self.line = status, line
        super().__init__(line)


class Guard:
    """An ASGI application in front of ``app``.

    hosts: names under which the page may be asked for, None: any; so no other site can point its own name here and read
    the page. upload: bytes of an upload at most.
    """

    def __init__(self, app: App, hosts: Collection[str] | None, upload: int) -> None:
        self._app, self._hosts, self._upload = app, hosts, upload

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a line."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self._check(scope, headers)
            reading = await self._reading(scope, headers, receive)
        except RefusedError as refused:
            await _answer(send, refused)
            return
        await self._app(scope, reading, _with_headers(send))

    def _check(self, scope: Message, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and urlsplit(f"//{host}").hostname not in self._hosts:
            raise RefusedError(421, "this page is for this computer alone; open it under the address that was printed")
        path, method = str(scope["path"]), str(scope["method"])
        known = _READ if method in ("GET", "HEAD") else _WRITTEN if method == "POST" else None
        if known is None or not known.fullmatch(path) or ".." in path:
            raise RefusedError(404, "there is nothing here")
        if method == "POST" and urlsplit(headers.get("origin", f"//{host}")).netloc != host:
            raise RefusedError(403, "another site may not send anything here")

    async def _reading(self, scope: Message, headers: dict[str, str], receive: Receive) -> Receive:
        """How the application is to read the request."""
        if scope["method"] != "POST":
            return receive
        most, length = self._upload if scope["path"] == "/photos" else BODY, headers.get("content-length", "")
        if "transfer-encoding" in headers or not length.isdecimal():
            raise RefusedError(411, "the request does not say how long it is")
        if int(length) > most:
            raise RefusedError(413, f"more than {most / 1e6:g} MB; make it smaller, or use `unirestorer restore`")
        patient = _patient(receive)
        if scope["path"] != QUEUE:
            return patient
        body = await _whole(patient)
        _check_words(body)
        return _again(body, receive)


def _patient(receive: Receive) -> Receive:
    """As ``receive``, but a sender that stops in the middle is taken for gone."""
    whole = False

    async def read() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), PATIENCE)
        except TimeoutError:
            message = {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    return read


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return waiting.pop() if waiting else await receive()

    return read


def _check_words(body: bytes) -> None:
    """Raises ``RefusedError`` where the inputs of a function are anything but words and numbers."""
    try:
        inputs = json.loads(body, parse_constant=_no_constant)["data"]
        plain = isinstance(inputs, list) and all(one is None or isinstance(one, str | int | float) for one in inputs)
    except (ValueError, KeyError, TypeError, RecursionError):
        plain = False
    if not plain:
        raise RefusedError(400, "the page sends words and numbers only")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _with_headers(send: Send) -> Send:
    extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message.get("headers", ()) if name.decode() not in _HEADERS]
            message = {**message, "headers": [*kept, *extra]}
        await send(message)

    return sending


async def _answer(send: Send, refused: RefusedError) -> None:
    body = json.dumps({"error": refused.line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    sending = _with_headers(send)
    await sending(
        {"type": "http.response.start", "status": refused.status, "headers": [*headers, (b"connection", b"close")]}
    )
    await sending({"type": "http.response.body", "body": body})
