"""The page of a live run: its pictures as they come, the delay, the classes and the segments."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from vidcam.errors import SettingsError
from vidcam.live.run import Live
from vidcam.live.segments import OnlineSegment
from vidcam.live.step import Step

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError as error:
    raise SettingsError(f"the page needs what is not installed ({error.name}): pip install 'vidcam[app]'") from error

from vidcam.app.gate import Gate, address_with, is_loopback
from vidcam.app.listening import configuration, listening_at

_PAGE = Path(__file__).with_name("live.html")
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'self'"
_NO_STORE = {"Cache-Control": "no-store"}
_QUALITY = 80  # of JPEG
_CLASSES, _SEGMENTS = 5, 20  # shown on the page
_LOOK_EVERY = 0.01  # seconds, for a new picture


@dataclass(frozen=True)
class _Picture:
    """The newest picture as JPEG, and its number."""

    number: int
    jpeg: bytes


class LivePage:
    """The page of a live run, served on a thread of its own until the `with` is left.

    Every viewer gets the newest picture when the one before is sent, so that a slow viewer slows nobody down. Access is
    that of the page of `vidcam app`: see `vidcam.app.gate`.

    Args:
        run: the live run; its state is shown.
        labels: of the classes.
        host: the address to listen at; at another than a loopback address, visitors need the token in `address`.
        port: to listen at; 0 takes a free one.

    Attributes:
        address: the URL that a visitor opens.

    Raises:
        SettingsError: the address or the port cannot be used.
    """

    def __init__(self, run: Live, labels: Sequence[str], host: str = "127.0.0.1", port: int = 0) -> None:
        self._run, self._labels = run, labels
        self._picture = _Picture(0, b"")
        self._step: Step | None = None
        self._ended: deque[OnlineSegment] = deque(maxlen=_SEGMENTS)
        self._viewers, self._closed = 0, False
        host = host.strip("[]")
        token = None if is_loopback(host) else secrets.token_urlsafe()
        self._listening = listening_at(host, port)
        self._listening.listen()
        self.address = address_with(token, host, self._listening.getsockname()[1])
        app = Starlette(
            routes=[
                Route("/", self._page, methods=["GET"]),
                Route("/pictures", self._pictures, methods=["GET"]),
                Route("/status", self._status, methods=["GET"]),
            ]
        )
        self._server = uvicorn.Server(configuration(Gate(app, host, token)))
        sockets = {"sockets": [self._listening]}
        self._thread = threading.Thread(target=self._server.run, kwargs=sockets, name="vidcam-live-page", daemon=True)
        self._thread.start()

    def __enter__(self) -> LivePage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = self._server.should_exit = True
        self._thread.join(5.0)
        self._listening.close()

    def show(self, step: Step) -> None:
        """Show a step to the viewers; its picture is encoded once for all of them, and only if there is one."""
        self._step = step
        self._ended.extend(step.closed)
        if self._viewers:
            bgr = cv2.cvtColor(step.overlay, cv2.COLOR_RGB2BGR)
            _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._picture = _Picture(self._picture.number + 1, jpeg.tobytes())

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(_PAGE.read_text("utf-8"), headers={**_NO_STORE, "Content-Security-Policy": _POLICY})

    async def _pictures(self, request: Request) -> Response:
        return StreamingResponse(
            self._parts(), media_type="multipart/x-mixed-replace; boundary=picture", headers=_NO_STORE
        )

    async def _parts(self) -> AsyncIterator[bytes]:
        """Yield the pictures as parts of a multipart answer (RFC 2046, section 5.1), each with the next boundary.

        A browser shows a part when it has seen the boundary behind it.
        """
        self._viewers += 1
        try:
            seen = self._picture.number
            yield b"--picture\r\n"
            while not self._closed:
                picture = self._picture
                if picture.number == seen:
                    await asyncio.sleep(_LOOK_EVERY)
                    continue
                seen = picture.number
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n".encode()
                yield head + picture.jpeg + b"\r\n--picture\r\n"
        finally:
            self._viewers -= 1

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self._status_now(), headers=_NO_STORE)

    def _status_now(self) -> dict[str, Any]:
        """Return what the page shows beside the pictures, ready for JSON."""
        step, summary = self._step, self._run.summary
        status: dict[str, Any] = {
            "source": self._run.name,
            "state": self._run.state,
            "frames": summary.frames,
            "rate": round(summary.rate, 1),
            "windows": summary.windows,
            "skipped": summary.skipped,
            "delay": None,
            "label": "",
            "classes": [],
            "segments": [],
        }
        if step is None:
            return status
        classes: list[dict[str, Any]] = []
        if step.scores is not None:
            best = np.argsort(-step.scores, kind="stable")[:_CLASSES]
            classes = [{"label": self._labels[k], "score": round(float(step.scores[k]), 3)} for k in best]
        segments = [*reversed(step.segments), *reversed(self._ended)][:_SEGMENTS]
        return {
            **status,
            "delay": round(step.delay, 2),
            "label": step.label,
            "classes": classes,
            "segments": [
                {
                    "label": s.label,
                    "start": round(s.start, 2),
                    "end": None if s.end is None else round(s.end, 2),
                    "opened_after": round(s.opened_after, 2),
                }
                for s in segments
            ],
        }
