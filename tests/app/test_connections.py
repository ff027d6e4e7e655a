from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.app.server import Visitor, running
from vidcam.app import Limits, connections


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(Limits(megabytes=1)) as address:
        yield address


def _connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def _closed_after(connection: socket.socket, sent: bytes = b"") -> float:
    """Seconds until the server closes a connection to which a byte is sent again and again."""
    began = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - began < 10:
        try:
            connection.sendall(sent)
            if connection.recv(65536) == b"":
                break
        except TimeoutError:
            pass
        except OSError:
            break
    return time.monotonic() - began


def test_one_address_does_not_shut_out_the_others(address: str) -> None:
    with ExitStack() as opened:
        idle = [opened.enter_context(_connected(address)) for _ in range(256)]
        time.sleep(0.3)
        answer = idle[-1].recv(1000).decode()
        assert answer.startswith("HTTP/1.1 429 ") and answer.endswith("close some and try again.\n")
        port = int(address.rsplit(":", 1)[1])
        with socket.socket() as other:
            other.bind(("127.0.0.2", 0))  # another network address, of this machine
            other.settimeout(5)
            other.connect(("127.0.0.1", port))
            other.sendall(b"GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert other.recv(100).startswith(b"HTTP/1.1 200 ")
    time.sleep(0.3)
    assert httpx.get(address, trust_env=False).status_code == 200


@pytest.mark.slow
def test_who_does_not_ask_is_closed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TO_ASK", 0.6)
    with _connected(address) as silent:
        assert 0.4 < _closed_after(silent) < 2
    with _connected(address) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        assert 0.4 < _closed_after(slow, b"x") < 2
    with _connected(address) as answered:  # and does not go on after the answer
        answered.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        assert _closed_after(answered, b"x") < 3


@pytest.mark.slow
def test_who_has_asked_is_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TO_ASK", 0.3)
    visitor = Visitor(address)
    for _ in range(2):
        assert visitor.http.get("/favicon.ico").status_code == 200  # the second time on the same connection
    with visitor.http.stream("GET", f"/gradio_api/heartbeat/{visitor.session}") as heartbeat:
        time.sleep(0.8)
        assert heartbeat.status_code == 200 and not heartbeat.is_closed
        assert next(heartbeat.iter_bytes())


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
@pytest.mark.parametrize("head", [b"X: " + b"x" * 200_000, b"a:b\r\n" * 40_000, b"a: b\r\n" + b" \r\n" * 60_000])
def test_long_headers_are_refused(address: str, head: bytes, end: bytes) -> None:
    began = time.monotonic()
    with _connected(address) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + head + end)
            answer = connection.recv(100)
        except ConnectionError:  # closed before all was sent
            answer = b"HTTP/1.1 431 "
    assert answer.startswith(b"HTTP/1.1 431 ") and time.monotonic() - began < 5
