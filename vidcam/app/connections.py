"""Connections of visitors: a limit for each network address, and a time limit for each request."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

TO_ASK = 10  # seconds until a request's headers are complete, from the connection or the last answer on
SHARE = 64  # connections of one network address; a browser opens six
_PIECE = 16384  # bytes that are parsed at once, so that the bound of a request's headers is noticed
_CROWDED = b"Your network address has too many connections to this page; close some and try again.\n"


def network(host: str) -> str:
    """Return the network that a visitor's connections are counted by: an IPv4 address, or half of an IPv6 address.

    One visitor has a whole /64 network of IPv6 addresses.

    Args:
        host: the address of a visitor as text; what is no IP address is returned unchanged.

    Example:
        >>> network("192.0.2.1"), network("::ffff:192.0.2.1"), network("2001:db8::1:2")
        ('192.0.2.1', '192.0.2.1', '2001:db8::')
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.IPv6Address(int(address) >> 64 << 64))


class Connection(H11Protocol):
    """An HTTP connection, closed if its next request is late or its network address has too many connections."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request, or refuse the connection with 429."""
        super().connection_made(transport)
        if sum(_network(other) == _network(self) for other in self.connections) > SHARE:
            self.connections.discard(self)
            transport.write(_answer(b"429 Too Many Requests", _CROWDED))
            transport.close()
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, piece by piece."""
        for start in range(0, len(data), _PIECE):
            if not self.transport.is_closing():
                super().data_received(data[start : start + _PIECE])

    def handle_events(self) -> None:
        """Handle what was parsed, and stop the timer if a request is complete."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Start the timer for the next request; the rest of the last request's body does not stop it."""
        self._start_timer()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a malformed request: 431 if its headers are too long, else 400."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == 431:
            self.transport.write(
                _answer(b"431 Request Header Fields Too Large", b"The request's headers are too long.\n")
            )
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _start_timer(self) -> None:
        self._stop_timer()
        self._deadline = self.loop.call_later(TO_ASK, self.transport.close)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _network(connection: Any) -> str:
    return network(connection.client[0]) if connection.client else ""


def _answer(status: bytes, text: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(text)) + text
