"""Access control of the page: its own address, its own origin and, in a network, a token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

VISITOR = "vidcam.visitor"  # in the scope: the visitor that the browser's cookie names, or ""
_STREAMS = ("/gradio_api/queue/data", "/gradio_api/heartbeat/")
_RESULTS = "/results/"  # their names are random: who knows one was given it
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
LONGEST_HEAD = 16384  # bytes of a request's target and headers
_LONGEST_COOKIE = 200
_HOST = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_ELSEWHERE = ("cross-site", "same-site")  # another port of this machine is the same site
# A browser that comes from another site leaves the cookie out. This asks again, from here, and once.
_AGAIN = """<!doctype html><title>vidcam</title><a href="">Open the page</a>
<script>if (!document.referrer.startsWith(location.origin + "/")) location.replace(location.href)</script>
"""
_POLICY = "frame-ancestors 'self'; object-src 'none'; base-uri 'self'; form-action 'self'"


def is_loopback(host: str) -> bool:
    """Return True if an address can be reached from this machine only.

    Example:
        >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """An application behind access control.

    Args:
        app: the application.
        host: the address that it listens at. At a loopback address, requests must name a loopback host.
        token: the token that a visitor must show once, or None if everybody may enter.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None) -> None:
        self._app, self._local, self._token = app, is_loopback(host), token
        self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, _protected(scope, send, None))
            return
        name = f"vidcam-{(scope.get('server') or ('', 0))[1]}"
        visitor = self._visitor(headers, name)
        if scope["path"] == "/" and not visitor and headers.get("sec-fetch-site") in _ELSEWHERE:
            await _cross_site_response(headers)(scope, receive, _protected(scope, send, None))
            return
        by_token = self._shows_token(scope, headers)
        if self._token is not None and not (visitor or by_token or scope["path"].startswith(_RESULTS)):
            text = "This page needs its token: open the address that was printed when it started."
            await PlainTextResponse(text, 401)(scope, receive, _protected(scope, send, None))
            return
        cookie = None
        if scope["path"] == "/" and not visitor:
            visitor = secrets.token_urlsafe(16)
            cookie = f"{name}={visitor}.{self._signature(visitor)}; HttpOnly; SameSite=Strict; Path=/"
        await self._app({**scope, VISITOR: visitor}, receive, _protected(scope, send, cookie))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        fields = sum(len(name) + len(value) for name, value in scope["headers"])
        if fields + len(scope["path"]) + len(scope["query_string"]) > LONGEST_HEAD:
            return PlainTextResponse("The request's headers are too long.", 431)
        host = headers.get("host", "").lower()
        if self._local and not _is_local(host):
            return PlainTextResponse("Invalid host header", 400)
        if len(headers.getlist("origin")) > 1 or len(headers.getlist("host")) > 1:
            return PlainTextResponse("Invalid headers", 400)
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return PlainTextResponse("Requests of other pages are refused.", 403)
        changing = scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(_STREAMS)
        if changing and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("Requests of other pages are refused.", 403)
        return None

    def _visitor(self, headers: Headers, name: str) -> str:
        """Return the visitor that a cookie of this gate names, or ""."""
        parts = (part.strip() for part in headers.get("cookie", "").split(";"))
        values = (part[len(name) + 1 :] for part in parts if part.startswith(f"{name}="))
        visitor, _, signature = next(values, "")[:_LONGEST_COOKIE].partition(".")
        return visitor if visitor and _same(signature, self._signature(visitor)) else ""

    def _signature(self, visitor: str) -> str:
        return hmac.new(self._secret, visitor.encode(), hashlib.sha256).hexdigest()

    def _shows_token(self, scope: Scope, headers: Headers) -> bool:
        if self._token is None:
            return False
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() in ("token", "bearer") and _same(given.strip(), self._token):
            return True
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
        except ValueError:  # too many fields
            return False
        return any(_same(value, self._token) for value in query.get("token", []))


def address_with(token: str | None, host: str, port: int) -> str:
    """Return the URL that a visitor opens, with the token if there is one."""
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}" + (f"/?token={quote(token)}" if token is not None else "")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _is_local(host: str) -> bool:
    """Return True if a Host header names this machine and holds nothing else."""
    named = _HOST.fullmatch(host)
    return named is not None and is_loopback(named[1])


def _cross_site_response(headers: Headers) -> Response:
    """Return the answer to a request from another site, which carries no cookie of the visitor.

    A new cookie would replace the one of a page that is open.
    """
    if headers.get("sec-fetch-dest", "document") != "document":
        return PlainTextResponse("Requests of other pages are refused.", 403)
    return HTMLResponse(_AGAIN, headers={"Cache-Control": "no-store"})


def _protected(scope: Scope, send: Send, cookie: str | None) -> Send:
    """Return a `send` that adds the headers against misreading and embedding, and the cookie if there is one."""

    async def protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", _POLICY)
            if not scope["path"].startswith(_RESULTS):  # a sandboxed report, of an origin of its own, loads its film
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
            if cookie is not None:
                headers.append("Set-Cookie", cookie)
        await send(message)

    return protected
