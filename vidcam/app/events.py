"""Requests of visitors to Gradio: each is parsed, checked and written anew; nothing else reaches Gradio.

Gradio copies the files that a payload names before an event's function is called, and a mounted page does not check
that they were uploaded. So no payload of a visitor is passed on: the clip is looked up here, and Gradio gets None.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from typing import Annotated, Any

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from vidcam.app.choice import Choice, checked_choice, samples
from vidcam.app.connections import network
from vidcam.app.gate import VISITOR
from vidcam.app.jobs import LABELS_GONE, WEIGHTS_GONE, Files, Jobs
from vidcam.app.uploads import Kind, Refused, Upload, Uploads

FILES = "vidcam.files"  # in the scope: those that a request names and its session owns, and the sample
MODEL_CHOSEN, CLIP_DROPPED, EXPLAIN, SAMPLE_CHOSEN, WEIGHTS_DROPPED, LABELS_DROPPED = range(6)  # the events' numbers
_LONGEST_BODY = 65536
_TO_ARRIVE = 20  # seconds
_KEY = re.compile(r"[A-Za-z0-9_-]{22}")
_SESSION = r"^[A-Za-z0-9_-]{1,64}$"
_PASSED = (b"host", b"accept", b"accept-encoding", b"user-agent", b"if-none-match", b"x-forwarded-proto")


class _Event(BaseModel):
    model_config = ConfigDict(strict=True)

    session_hash: Annotated[str, Field(pattern=_SESSION)]
    fn_index: Annotated[int, Field(ge=MODEL_CHOSEN, le=LABELS_DROPPED)]
    data: Annotated[list[Any], Field(max_length=9)]


@dataclass(frozen=True)
class Sessions:
    """Internal names of sessions, each derived from a browser's cookie and its page's session hash.

    A visitor who learns another visitor's session hash cannot use it without the cookie.

    Attributes:
        secret: the key of the derivation.
    """

    secret: bytes = b""

    @classmethod
    def new(cls) -> Sessions:
        """Return sessions with a new random secret."""
        return cls(secrets.token_bytes(32))

    def name(self, scope: Scope, session_hash: str) -> str:
        """Return the internal name of a session, 32 hexadecimal digits.

        Args:
            scope: the request's ASGI scope, which holds the visitor's cookie.
            session_hash: Gradio's name of the session.
        """
        text = f"{scope.get(VISITOR, '')} {session_hash}"
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()[:32]


class PassThrough:
    """A route that passes requests on to Gradio without their query, headers and body."""

    def __init__(self, gradio: ASGIApp) -> None:
        self._gradio = gradio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if re.fullmatch(r"[A-Za-z0-9_./=-]*", scope["path"]) is None or ".." in scope["path"]:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
            return
        await pass_on(self._gradio, scope, receive, send)


class Streams:
    """The routes of a session's messages and of its heartbeat.

    Args:
        gradio: the page as an application.
        sessions: the internal names of sessions.
        has_messages: tells if a session, given by internal name, may have messages.
    """

    def __init__(self, gradio: ASGIApp, sessions: Sessions, has_messages: Callable[[str], bool]) -> None:
        self._gradio, self._sessions, self._has_messages = gradio, sessions, has_messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope)
        given = request.path_params.get("session") or request.query_params.get("session_hash", "")
        if re.fullmatch(_SESSION, given) is None:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
            return
        name = self._sessions.name(scope, given)
        if "session" in request.path_params:
            await pass_on(self._gradio, scope, receive, send, path=f"/gradio_api/heartbeat/{name}")
        elif not self._has_messages(name):
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
        else:
            await pass_on(self._gradio, scope, receive, send, query=f"session_hash={name}")


class Events:
    """The route of a session's events.

    Args:
        gradio: the page as an application.
        sessions: the internal names of sessions.
        uploads: the uploads of all visitors.
        models, methods: the names that the page offers.
        jobs: the jobs of all visitors.
        queued: True for the route of events that go through Gradio's queue, which are those that explain.
    """

    def __init__(
        self,
        gradio: ASGIApp,
        sessions: Sessions,
        uploads: Uploads,
        models: Collection[str],
        methods: Collection[str],
        jobs: Jobs,
        queued: bool,
    ) -> None:
        self._gradio, self._sessions, self._uploads = gradio, sessions, uploads
        self._models, self._methods, self._jobs, self._queued = models, methods, jobs, queued

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            event = await _event(Request(scope, receive))
            if self._queued != (event.fn_index == EXPLAIN):
                raise Refused(400, "This event is not asked for like this.")
            session = self._sessions.name(scope, event.session_hash)
            data = self._checked(event)
            body = json.dumps({"data": data, "fn_index": event.fn_index, "session_hash": session}).encode()
            with ExitStack() as held:
                address = address_of(scope)
                job = held.enter_context(self._jobs.joining(session, address)) if self._queued else None
                files = self._files(event, session, address)
                if job is not None:
                    job.files = files
                await pass_on(self._gradio, {**scope, FILES: files}, receive, send, body=body)
        except Refused as refused:
            await JSONResponse({"detail": refused.text}, refused.status)(scope, receive, send)

    def _checked(self, event: _Event) -> list[str | None]:
        """Return the event's data: strings that the page offers, and None for files."""
        match event.fn_index, event.data:
            case 0, [str(model), None | str() as sample] if model in self._models:
                return [model, _sample(sample)]
            case 1, [_, None | str() as model] if model is None or model in self._models:
                return [None, model]
            case 2, [_, None | str() as sample, _, _, *values] if len(values) == len(fields(Choice)):
                choice = checked_choice(values, self._models, self._methods)
                return [None, _sample(sample), None, None, *astuple(choice)]
            case 3, [str(sample)]:
                return [_sample(sample)]
            case 4 | 5, [_]:
                return [None]
        raise Refused(400, "This event has other data.")

    def _files(self, event: _Event, session: str, address: str) -> Files:
        """Return the files of an event; its session owns them from then on."""
        match event.fn_index, event.data:
            case 1, [clip, *_]:
                return Files(self._claimed(clip, session, "clip"))
            case 2, [clip, sample, weights, labels, *_]:
                if sample is None:
                    chosen = self._claimed(clip, session, "clip")
                else:
                    path = samples()[sample]
                    chosen = Upload(f"sample {sample}", path, address, path.name, session=session)
                return Files(
                    chosen,
                    self._wanted(weights, session, "weights", WEIGHTS_GONE),
                    self._wanted(labels, session, "labels", LABELS_GONE),
                )
            case 4, [weights]:
                return Files(weights=self._claimed(weights, session, "weights"))
            case 5, [labels]:
                return Files(labels=self._claimed(labels, session, "labels"))
        return Files()

    def _claimed(self, given: Any, session: str, kind: Kind) -> Upload | None:
        key = given.get("path") if isinstance(given, dict) else given
        if not isinstance(key, str) or _KEY.fullmatch(key) is None:
            return None
        return self._uploads.claim(key, session, self._jobs.uploads(), kind)

    def _wanted(self, given: Any, session: str, kind: Kind, gone: str) -> Upload | None:
        upload = self._claimed(given, session, kind)
        if given is not None and upload is None:  # in place of these, the network's own would be taken
            raise Refused(410, gone)
        return upload


def _sample(name: str | None) -> str | None:
    if name is not None and name not in samples():
        raise Refused(400, "Choose a sample of the list.")
    return name


async def pass_on(
    gradio: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    path: str | None = None,
    query: str = "",
    body: bytes = b"",
) -> None:
    """Send Gradio a new request that keeps only the method, the path and a few headers of the visitor's request.

    Args:
        gradio: the page as an application.
        scope, receive, send: of the visitor's request.
        path: the path of the new request; the visitor's path by default.
        query: the query string of the new request.
        body: the JSON body of the new request, or nothing.
    """
    path = path or scope["path"]
    headers = [(name, value) for name, value in scope["headers"] if name in _PASSED]
    headers = [(n, v) for n, v in headers if n != b"x-forwarded-proto" or v in (b"http", b"https")]
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    kept = {
        k: scope[k]
        for k in ("type", "asgi", "http_version", "method", "scheme", "client", "server", FILES)
        if k in scope
    }
    ours = {**kept, "path": path, "raw_path": path.encode(), "query_string": query.encode(), "headers": headers}
    sent = False

    async def received() -> Any:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message

    await gradio({**ours, "root_path": ""}, received, send)


def address_of(scope: Scope) -> str:
    """Return the network address of a visitor, as connections are counted, or "" if it is not known."""
    return network(scope["client"][0]) if scope.get("client") else ""


async def _event(request: Request) -> _Event:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "An event is JSON.")
    body = b""
    try:
        with anyio.fail_after(_TO_ARRIVE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LONGEST_BODY:
                    raise Refused(413, "An event is shorter.")
    except (TimeoutError, ClientDisconnect) as error:
        raise Refused(408, "The request took too long.") from error
    try:
        return _Event.model_validate_json(body)
    except ValidationError as error:
        raise Refused(400, "This is no event of the page.") from error
