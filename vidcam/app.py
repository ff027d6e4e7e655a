"""The local page: drop a clip, choose what is explained, look at the report, take everything along."""

from __future__ import annotations

import html
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from vidcam.errors import SettingsError, VidcamError

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
try:
    import fastapi
    import gradio as gr
    import uvicorn
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.staticfiles import StaticFiles
except ImportError as error:
    raise SettingsError(f"the page needs what is not installed ({error.name}): pip install 'vidcam[app]'") from error

from vidcam.cam.methods import METHODS
from vidcam.models.registry import Model, load_model, model_names, spec_named
from vidcam.pipeline import explain_each
from vidcam.render.outputs import folders
from vidcam.report.page import write_report
from vidcam.video.reader import Clip

FRAME_RATE = 60  # frames per second that the limit of time is counted in
WAITING = 8  # jobs that may wait
KEPT = 3600  # seconds after which what nobody fetched is deleted
_LOOPBACK = ("127.0.0.1", "localhost")
_DEFAULT_MODEL = "playground-r2plus1d"
_RESULT = jinja2.Environment(autoescape=True).from_string("""
<p><a download href="{{ archive|urlencode }}">Download everything</a></p>
<iframe title="vidcam report" src="{{ report }}" style="width: 100%; height: 62rem; border: 0"
onload="this.style.height = this.contentDocument.documentElement.scrollHeight + 'px'"></iframe>
""")


@dataclass(frozen=True)
class Limits:
    """What a clip may be: megabytes of the file, seconds, counted as frames at 60 a second, and pixels of a picture."""

    megabytes: int = 256
    seconds: int = 120
    pixels: int = 7680 * 4320

    @property
    def frames(self) -> int:
        """Frames that are explained at most."""
        return self.seconds * FRAME_RATE


class Desk:
    """What the visitors of the page have on it: for each the folder of their last clip, and no more.

    Args:
        place: a directory that holds the folders.
        limits: of clips.
    """

    def __init__(self, place: Path, limits: Limits) -> None:
        self.place, self.limits = place, limits
        self._folders: dict[str, Path] = {}
        self._uploads: dict[str, Path] = {}

    def explain(
        self, visitor: str, upload: Path, model: str, target: str, method: str, progress: Callable[[float, str], None]
    ) -> tuple[Path, Path]:
        """Explain an uploaded clip into a new folder of the visitor's, in place of the one before.

        Args:
            visitor: who asks.
            upload: the clip; it stays until the visitor brings another one or leaves.
            model, target, method: as for `vidcam.explain_each`.
            progress: told the share that is done, in [0, 1], and of what.

        Returns:
            The report, and an archive of everything.

        Raises:
            VidcamError: the clip cannot be explained; the message names it as the visitor does.
        """
        self._clear(visitor)
        self.uploaded(visitor, upload)
        folder = self.place / secrets.token_urlsafe(16)
        clip = folder / "vidcam" / "clip" / upload.name  # where the report may refer to it
        try:
            clip.parent.mkdir(parents=True)
            shutil.copyfile(upload, clip)
            made = self._made(clip, folder / "vidcam", model, target, method, progress)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, VidcamError):
                raise type(error)(str(error).replace(f"{clip.parent}{os.sep}", "")) from error
            raise
        self._folders[visitor] = folder
        if visitor not in self._uploads:
            self.left(visitor)  # while this was made
        return made

    def _made(
        self, clip: Path, folder: Path, model: str, target: str, method: str, progress: Callable[[float, str], None]
    ) -> tuple[Path, Path]:
        limits = self.limits

        def reading(done: int, announced: int) -> None:
            if max(done, announced) > limits.frames:
                raise SettingsError(
                    f"{clip.name} has more than {limits.frames} frames ({limits.seconds} s at {FRAME_RATE} a second), "
                    "which is as much as this page explains; cut it, or use the command line"
                )
            progress(0.8 * done / announced if announced else 0.0, "watching")

        source = Clip(clip, max_pixels=limits.pixels)
        reading(0, source.frames_announced)
        explanations = explain_each(source, _model(model), target, method=method, progress=reading)
        parts = list(folders(explanations))
        for index, (name, explanation) in enumerate(parts):
            progress(0.8 + 0.2 * index / len(parts), "drawing")
            explanation.save(folder / name)
        report = write_report(explanations, folder)
        return report, Path(shutil.make_archive(str(folder.parent / f"{clip.stem}-vidcam"), "zip", folder))

    def uploaded(self, visitor: str, upload: Path) -> None:
        """Note a visitor's upload, and delete the one before it."""
        before = self._uploads.get(visitor, upload)
        if before != upload:
            before.unlink(missing_ok=True)
        self._uploads[visitor] = upload

    def left(self, visitor: str) -> None:
        """Delete what a visitor brought and was given."""
        self._clear(visitor)
        if (upload := self._uploads.pop(visitor, None)) is not None:
            upload.unlink(missing_ok=True)

    def _clear(self, visitor: str) -> None:
        if (folder := self._folders.pop(visitor, None)) is not None:
            shutil.rmtree(folder, ignore_errors=True)


@lru_cache(2)
def _model(name: str) -> Model:
    return load_model(name)


def page(desk: Desk) -> gr.Blocks:
    """The page itself."""

    def explained(
        upload: str | None, model: str, target: str, method: str, request: gr.Request, told: Any = gr.Progress()
    ) -> str:
        if upload is None:
            raise gr.Error("Drop a clip first.", print_exception=False)
        progress = lambda share, what: told(share, desc=what)  # noqa: E731
        try:
            report, archive = desk.explain(_visitor(request), Path(upload), model, target, method, progress)
        except VidcamError as error:
            raise gr.Error(html.escape(str(error)), duration=None, print_exception=False) from error
        place = f"results/{archive.parent.name}"
        return _RESULT.render(archive=f"{place}/{archive.name}", report=f"{place}/{report.parent.name}/{report.name}")

    def uploaded(upload: str, request: gr.Request) -> None:
        desk.uploaded(_visitor(request), Path(upload))

    def left(request: gr.Request) -> None:
        desk.left(_visitor(request))

    def of_model(model: str) -> Any:
        return gr.Dropdown(choices=_targets(model), value="top")

    with gr.Blocks(title="vidcam", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as blocks:
        gr.Markdown("# vidcam\nWhy did the network see this action, where in the picture and when?")
        with gr.Row():
            clip = gr.File(label=f"Clip (at most {desk.limits.megabytes} MB and {desk.limits.seconds} s)", height=190)
            with gr.Column():
                model = gr.Dropdown(choices=model_names(), value=_DEFAULT_MODEL, label="Model")
                target = gr.Dropdown(
                    choices=_targets(_DEFAULT_MODEL),
                    value="top",
                    label="Class",
                    info="top, top5, one of the list, or 'A - B' for why A and not B",
                    allow_custom_value=True,
                )
                method = gr.Dropdown(choices=list(METHODS), value="gradcam++", label="Method")
                button = gr.Button("Explain", variant="primary")
        report = gr.HTML()
        # Not through the queue: its stream, about to end after one of these, would lose a click that comes right then.
        model.change(of_model, model, target, queue=False, api_visibility="private")
        clip.upload(uploaded, clip, None, queue=False, api_visibility="private")
        inputs = [clip, model, target, method]
        button.click(explained, inputs, report, api_visibility="private", concurrency_limit=1)
        blocks.unload(left)
    return blocks.queue(max_size=WAITING)


def _visitor(request: gr.Request) -> str:
    return str(request.session_hash)


def _targets(model: str) -> list[str]:
    return ["top", "top5", *spec_named(model).labels()]


@contextmanager
def served(host: str, limits: Limits) -> Iterator[fastapi.FastAPI]:
    """The page as a web application, with a directory for its visitors that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="vidcam-app-") as place:
        uploads, results = Path(place, "uploads"), Path(place, "results")
        for folder in (uploads, results):
            folder.mkdir()
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        if host in _LOOPBACK:  # a page elsewhere whose name is made to point here is not let in
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(_LOOPBACK))
        app.mount("/results", StaticFiles(directory=results))
        sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
        yield gr.mount_gradio_app(
            app,
            page(Desk(results, limits)),
            path="/",
            server_name=host,
            footer_links=[],
            max_file_size=f"{limits.megabytes}mb",
            ssr_mode=False,
            theme=gr.themes.Default(font=sans, font_mono=mono),  # fonts of the reader's own machine
        )


def serve(host: str = _LOOPBACK[0], port: int = 7860, limits: Limits = Limits()) -> None:
    """Serve the page until it is interrupted.

    Args:
        host: the address it listens at; the default answers this machine alone.
        port: of it.
        limits: of clips.

    Raises:
        SettingsError: it cannot listen there.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            raise SettingsError(f"cannot listen at {host}:{port} ({reason}); give another --port or --host") from error
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the directory is deleted then, too
        with served(host, limits) as app:
            print(f"http://{host}:{listening.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
            server.run(sockets=[listening])
