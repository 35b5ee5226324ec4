"""The server of the page: addresses of photos and examples, gradio behind a guard, a folder that goes when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from unirestorer.core.errors import ConfigError, ImageError, MissingExtraError
from unirestorer.core.restoring import Restorer

from .desk import Desk, Limits
from .guard import LOOPBACK, Guard
from .studio import EXAMPLES, Studio

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

_CONNECTIONS = 256
_SWEEP = 60
"""Seconds between two looks for photos that have been here for too long."""
_GRACE = 1
"""Seconds that open connections get when the server ends."""
_SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Place:
    """Where the page is served, and what it takes in. Port 0: any free one."""

    host: str = "127.0.0.1"
    port: int = 7860
    limits: Limits = field(default_factory=Limits)

    @property
    def private(self) -> bool:
        """Whether only this computer can reach it."""
        return self.host in LOOPBACK


def serve(load: Callable[[], Restorer], place: Place, ready: Callable[[str], None]) -> None:
    """Serve a page that restores with what ``load`` gives, until the process is told to end.

    ``ready`` gets its address once it can be opened. Raises ``ConfigError`` where the address cannot be had, and
    ``MissingExtraError`` without gradio, both before anything is loaded.
    """
    signal.signal(signal.SIGTERM, _end)
    with _bound(place) as listener, tempfile.TemporaryDirectory(prefix="unirestorer-web-") as folder:
        _set_up(Path(folder) / "gradio")
        import uvicorn

        app = application(Studio(load(), Desk(Path(folder) / "photos", place.limits)), place)
        settings = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE,
        )
        listener.listen()  # from here on a browser waits for an answer
        host = f"[{place.host}]" if ":" in place.host else place.host
        ready(f"http://{host}:{listener.getsockname()[1]}")
        uvicorn.Server(settings).run(sockets=[listener])


def _set_up(folder: Path) -> None:
    """Import gradio so that it asks no other server for anything and writes to ``folder`` alone.

    Raises ``MissingExtraError`` where it is not installed.
    """
    os.environ.update(_SETTINGS, GRADIO_TEMP_DIR=str(folder))
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"the page needs gradio, which cannot be imported ({error}); install it: pip install 'unirestorer[web]'"
        ) from error


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)  # so that the folder is removed


def _bound(place: Place) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place.host, place.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot serve at {place.host} port {place.port}: {error.strerror or error}; choose another --port"
        ) from error
    return listener


def application(studio: Studio, place: Place) -> Any:
    """The guarded ASGI application; gradio's temporary folder has to be set before."""
    import gradio
    from fastapi import FastAPI

    from .page import ICON, build, css, theme

    @asynccontextmanager
    async def sweeping(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep(studio.desk))
        yield
        task.cancel()

    app = FastAPI(routes=_photos(studio), lifespan=sweeping, docs_url=None, redoc_url=None, openapi_url=None)
    page = build(studio)
    page.has_launched = True  # else gradio skips its own checks of paths
    gradio.mount_gradio_app(
        app, page, "/", allowed_paths=[], show_error=False, max_file_size=0, footer_links=[], run_history=False,
        ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False, theme=theme(), css=css(),
        favicon_path=str(ICON),
    )  # fmt: skip
    return Guard(app, LOOPBACK if place.private else None, place.limits.upload)


async def _sweep(desk: Desk) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        desk.sweep()


def _photos(studio: Studio) -> list[BaseRoute]:
    """Where a photo is sent to, and where files of a photo and examples are fetched from."""
    from starlette.requests import Request
    from starlette.responses import FileResponse, JSONResponse, Response
    from starlette.routing import Route

    async def take(request: Request) -> Response:
        try:
            photo = await studio.desk.receive(request.query_params.get("name", ""), request.stream())
        except ImageError as error:
            return JSONResponse({"error": str(error)}, 415)
        return JSONResponse({"key": photo.key})

    async def give(request: Request) -> Response:
        return _file(studio.desk.file(request.path_params["key"], request.path_params["item"]))

    async def example(request: Request) -> Response:
        return _file(EXAMPLES.get(request.path_params["name"]))

    def _file(path: Path | None) -> Response:
        if path is None:
            return JSONResponse({"error": "there is nothing here"}, 404)
        return FileResponse(path, filename=path.name, headers={"cache-control": "private, max-age=3600"})

    return [
        Route("/photos", take, methods=["POST"]),
        Route("/photos/{key}/{item}", give),
        Route("/examples/{name}", example),
    ]
