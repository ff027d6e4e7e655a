"""The page of a live run: its pictures, its status, and who may see it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import wait_until
from vidcam.app.live import LivePage
from vidcam.live.frame import LiveFrame
from vidcam.live.segments import OnlineSegment
from vidcam.live.step import Step
from vidcam.live.summary import Summary

_RUN: Any = SimpleNamespace(name="rtsp://camera/1", state="running", summary=Summary())
_LABELS = ["wave", "bow", "nod"]


def _step(index: int, **changes: Any) -> Step:
    frame = LiveFrame(index, 0, index / 10, 0.0, 0.0, 10.0, np.zeros((2, 2, 3), np.uint8))
    given: dict[str, Any] = {"scores": np.array([0.25, 0.7, 0.05]), "segments": (), "closed": (), **changes}
    overlay = np.full((16, 32, 3), 10 * index, np.uint8)
    return Step(
        frame=frame,
        label="bow",
        score=0.7,
        heat=None,
        evidence=0.0,
        scale=1.0,
        windows=(),
        delay=0.91,
        overlay=overlay,
        **given,
    )


@contextmanager
def _shown(page: LivePage) -> Iterator[None]:
    """Show steps until the end, as a live run does."""
    over = threading.Event()

    def show() -> None:
        index = 0
        while not over.wait(0.01):
            index = (index + 1) % 25
            page.show(_step(index))

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _client(page: LivePage) -> httpx.Client:
    return httpx.Client(base_url=page.address.partition("/?")[0], trust_env=False, timeout=30)


def test_the_status_is_what_the_page_shows() -> None:
    with LivePage(_RUN, _LABELS) as page, _client(page) as visitor:
        first = visitor.get("/status").json()
        assert first["delay"] is None and first["classes"] == [] and first["state"] == "running"
        ended = OnlineSegment("wave", 0.0, 1.0, 0.9, 1.5)
        page.show(_step(1, closed=(ended,)))
        page.show(_step(2, segments=(OnlineSegment("bow", 2.0, None, 0.8, 1.2),)))
        now = visitor.get("/status").json()
        assert now["label"] == "bow" and now["delay"] == 0.91
        assert now["classes"] == [
            {"label": "bow", "score": 0.7},
            {"label": "wave", "score": 0.25},
            {"label": "nod", "score": 0.05},
        ]
        assert [(s["label"], s["end"]) for s in now["segments"]] == [("bow", None), ("wave", 1.0)]
        page.show(_step(3, scores=None))
        assert visitor.get("/status").json()["classes"] == []


def test_several_viewers_see_pictures_that_move() -> None:
    with (
        LivePage(_RUN, _LABELS) as page,
        _shown(page),
        _client(page) as visitor,
        visitor.stream("GET", "/pictures") as first,
        visitor.stream("GET", "/pictures") as second,
    ):
        assert first.headers["content-type"] == "multipart/x-mixed-replace; boundary=picture"
        for answer in (first, second):
            seen = set()
            for part in _parts(answer):
                assert part[:2] == b"\xff\xd8" and part[-2:] == b"\xff\xd9"  # a whole JPEG
                seen.add(part)
                if len(seen) == 4:
                    break


def _parts(answer: httpx.Response) -> Iterator[bytes]:
    """Yield the bodies of the parts of a multipart answer."""
    data = b""
    for piece in answer.iter_raw():
        data += piece
        while b"\r\n--picture\r\n" in data:
            part, _, data = data.partition(b"\r\n--picture\r\n")
            head, _, body = part.removeprefix(b"--picture\r\n").partition(b"\r\n\r\n")
            if body:
                assert f"Content-Length: {len(body)}".encode() in head
                yield body


def test_the_page_is_there_and_loads_nothing_from_elsewhere() -> None:
    with LivePage(_RUN, _LABELS) as page, _client(page) as visitor:
        answer = visitor.get("/")
        assert answer.status_code == 200 and "default-src 'self'" in answer.headers["content-security-policy"]
        assert '<html lang="en">' in answer.text and "://" not in answer.text
        assert visitor.get("/docs").status_code == 404 and visitor.post("/status").status_code == 405


def test_other_hosts_and_origins_are_refused() -> None:
    with LivePage(_RUN, _LABELS) as page, _client(page) as visitor:
        for path in ("/", "/status", "/pictures"):
            assert visitor.get(path, headers={"Host": "evil.example"}).status_code == 400
            assert visitor.get(path, headers={"Origin": "http://evil.example"}).status_code == 403


def test_in_a_network_a_visitor_needs_the_token() -> None:
    with LivePage(_RUN, _LABELS, "0.0.0.0") as page, _client(page) as visitor:
        assert "/?token=" in page.address
        for path in ("/", "/status", "/pictures"):
            assert visitor.get(path).status_code == 401
        assert visitor.get(page.address).status_code == 200  # and a cookie
        assert visitor.get("/status").status_code == 200


def test_pictures_are_encoded_for_viewers_only() -> None:
    with LivePage(_RUN, _LABELS) as page:
        page.show(_step(1))
        assert page._picture.number == 0


def test_the_end_of_the_run_ends_its_pictures() -> None:
    with _client(page := LivePage(_RUN, _LABELS)) as visitor, visitor.stream("GET", "/pictures") as answer:
        page.__exit__(None, None, None)
        assert not page._thread.is_alive()
        list(answer.iter_raw())


@pytest.mark.slow
def test_the_page_is_accessible_and_shows_pictures_to_two_viewers(browser: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    errors: list[str] = []
    with LivePage(_RUN, _LABELS) as page, _shown(page):
        views = [browser.new_page() for _ in range(2)]
        for view in views:
            view.on("console", lambda message: errors.append(message.text))
            view.goto(page.address, wait_until="domcontentloaded")
            wait_until(view, "document.getElementById('delay').textContent.startsWith('0.91 s')", 30)
            wait_until(view, "document.querySelector('img').naturalWidth === 32", 30)
        assert views[0].locator("#classes tr").count() == 3
        assert axe.Axe().run(views[0]).violations_count == 0 and not errors
        for view in views:
            view.close()
