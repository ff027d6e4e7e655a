"""The page as a web server: its routes, its folder on the disk, and its shutdown."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

from vidcam.errors import SettingsError

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
try:
    import fastapi
    import gradio as gr
    import uvicorn
except ImportError as error:
    raise SettingsError(f"the page needs what is not installed ({error.name}): pip install 'vidcam[app]'") from error

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from vidcam.app.choice import samples
from vidcam.app.events import Events, PassThrough, Sessions, Streams, address_of
from vidcam.app.explainer import Explainer
from vidcam.app.gate import Gate, address_with, is_loopback
from vidcam.app.jobs import Jobs
from vidcam.app.limits import Limits
from vidcam.app.listening import configuration, listening_at
from vidcam.app.names import BINARY
from vidcam.app.page import HEAD, has_messages, page, queued_jobs
from vidcam.app.results import Results
from vidcam.app.uploads import Refused, Uploads
from vidcam.cam.input_methods import METHOD_NAMES
from vidcam.models.registry import model_names

_LOOPBACK = "127.0.0.1"
_SWEEP = 5  # seconds between two looks for what is too old


@contextmanager
def application(host: str, limits: Limits, token: str | None = None) -> Iterator[ASGIApp]:
    """Yield the page as a web application, with a folder for its visitors that is deleted at the end.

    Args:
        host: the address that it will listen at.
        limits: of the page.
        token: the token that visitors must show; always set at an address that other machines can reach.
    """
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory(prefix="vidcam-app-") as place:
        folders = [Path(place, name) for name in ("uploads", "results", "gradio")]
        for folder in folders:
            folder.mkdir()
        os.environ["GRADIO_TEMP_DIR"] = str(folders[2])  # nothing is written there
        uploads, results = Uploads(folders[0], limits), Results(folders[1], limits)
        explainer = Explainer(results, limits)
        try:
            yield Gate(_application(host, limits, uploads, results, explainer), host, token)
        finally:
            explainer.close()


def _application(host: str, limits: Limits, uploads: Uploads, results: Results, explainer: Explainer) -> Starlette:
    def left(session: str) -> None:
        explainer.end(session)
        uploads.forget(session)
        results.forget(session)

    async def upload(request: Request) -> Response:
        body = request.stream()
        try:
            stored = await uploads.receive(body, request.headers.get("content-type", ""), address_of(request.scope))
        except Refused as refused:
            with anyio.move_on_after(10), suppress(Exception):  # a browser shows the answer only after its request
                received = 0
                async for chunk in body:
                    received += len(chunk)
                    if received > limits.bytes:
                        break
            return PlainTextResponse(refused.text, refused.status, headers={"Connection": "close"})
        return JSONResponse([stored.key])

    async def uploaded(request: Request) -> Response:
        stored = uploads.named(request.path_params["key"])
        if stored is None:
            return PlainTextResponse("Not here, or no longer.", 404)
        disposition = f"attachment; filename*=UTF-8''{quote(stored.name, safe='')}"
        return FileResponse(stored.path, media_type=BINARY, headers={"Content-Disposition": disposition})

    async def sample(request: Request) -> Response:
        path = samples().get(request.path_params["name"])
        if path is None:
            return PlainTextResponse("Not here.", 404)
        return FileResponse(path, media_type="video/mp4")

    async def progress(request: Request) -> Response:
        return PlainTextResponse('data: {"msg": "done"}\n\n', media_type="text/event-stream")

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            await asyncio.to_thread(uploads.sweep, jobs.uploads())
            await asyncio.to_thread(results.sweep)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with gradio.router.lifespan_context(gradio):
            sweeping = asyncio.create_task(sweep())
            try:
                yield
            finally:
                sweeping.cancel()

    blocks = page(explainer, limits, left)
    gradio = _mounted(host, limits, blocks)
    sessions = Sessions.new()
    jobs = Jobs(partial(queued_jobs, blocks), limits)
    passed, streams = PassThrough(gradio), Streams(gradio, sessions, partial(has_messages, blocks))

    def events(through_queue: bool) -> Events:
        return Events(gradio, sessions, uploads, model_names(), ("auto", *METHOD_NAMES), jobs, through_queue)

    app = Starlette(
        routes=[
            Route("/", passed, methods=["GET"]),
            Route("/config", passed, methods=["GET"]),
            Route("/theme.css", passed, methods=["GET"]),
            Route("/favicon.ico", passed, methods=["GET"]),
            Route("/manifest.json", passed, methods=["GET"]),
            Route("/static/{path:path}", passed, methods=["GET"]),
            Route("/assets/{path:path}", passed, methods=["GET"]),
            Route("/gradio_api/info", passed, methods=["GET"]),
            Route("/gradio_api/startup-events", passed, methods=["GET"]),
            Route("/gradio_api/heartbeat/{session}", streams, methods=["GET"]),
            Route("/gradio_api/queue/data", streams, methods=["GET"]),
            Route("/gradio_api/queue/join", events(through_queue=True), methods=["POST"]),
            Route("/gradio_api/run/predict", events(through_queue=False), methods=["POST"]),
            Route("/gradio_api/upload", upload, methods=["POST"]),
            Route("/gradio_api/upload_progress", progress, methods=["GET"]),
            Route("/gradio_api/file={key}", uploaded, methods=["GET"]),
            Route("/samples/{name}.mp4", sample, methods=["GET"]),
            Route("/results/{key}/{name:path}", results.answer, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _theme() -> gr.themes.Base:
    """Return the look of the page: fonts of the reader's own machine, and text that stands out from its ground."""
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def _mounted(host: str, limits: Limits, blocks: gr.Blocks) -> fastapi.FastAPI:
    """Return Gradio's own application; visitors reach it through the routes above only."""
    return gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        blocks,
        path="/",
        server_name=host,
        footer_links=[],
        max_file_size=f"{limits.megabytes}mb",
        ssr_mode=False,
        head=HEAD,
        theme=_theme(),
    )


def serve(host: str = _LOOPBACK, port: int = 7860, limits: Limits = Limits()) -> None:
    """Serve the page until it is interrupted.

    Args:
        host: the address it listens at; the default can be reached from this machine only. At any other address, a
            visitor needs the token in the URL that is printed.
        port: the port it listens at; 0 takes a free one.
        limits: of the page.

    Raises:
        SettingsError: the address or the port cannot be used.
    """
    host = host.strip("[]")
    with listening_at(host, port) as listening:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the directory is deleted then, too
        token = None if is_loopback(host) else secrets.token_urlsafe()
        with application(host, limits, token) as app:
            print(f"{address_with(token, host, listening.getsockname()[1])}  (Ctrl-C ends it)", flush=True)
            uvicorn.Server(configuration(app)).run(sockets=[listening])
