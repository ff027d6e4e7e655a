"""Listening: the web server's settings, and the address and port that it listens at."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp

from vidcam.app.connections import Connection
from vidcam.app.gate import LONGEST_HEAD, address_with
from vidcam.errors import SettingsError

_CONNECTIONS = 256  # at the same time; an open page has one or two


def configuration(app: ASGIApp) -> uvicorn.Config:
    """Return the settings of the web server."""
    return uvicorn.Config(
        app,
        http=Connection,
        log_level="warning",
        proxy_headers=False,  # a visitor does not say from where they come
        server_header=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )


def listening_at(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address of IPv4 or IPv6.

    Raises:
        SettingsError: the address or the port cannot be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        named = address_with(None, host, port).removeprefix("http://")
        reason = error.strerror or error
        raise SettingsError(f"cannot listen at {named} ({reason}); give another --port or --host") from error
    return listening
