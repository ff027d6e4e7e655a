"""The page on a port of this machine, and a client that speaks Gradio's interface."""

from __future__ import annotations

import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from vidcam.app import Limits, application
from vidcam.app.listening import configuration

EXPLAIN = 2
_CLIENTS: list[httpx.Client] = []
CHOICE = ["playground-r2plus1d", "top", "gradcam++", "auto", "inferno"]


@contextmanager
def running(limits: Limits, host: str = "127.0.0.1", token: str | None = None) -> Iterator[str]:
    """The address of a page that is served."""
    with socket.socket() as listening, application(host, limits, token) as app:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before the server has started waits
        server = uvicorn.Server(configuration(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            while _CLIENTS:
                _CLIENTS.pop().close()
            server.should_exit = server.force_exit = True  # also with a page still open, after a test that failed
            thread.join()


@dataclass
class Visitor:
    """A session without a browser and without cookies."""

    address: str
    session: str = field(default_factory=lambda: secrets.token_hex(6))

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.address, trust_env=False, timeout=60)
        _CLIENTS.append(self.http)

    def upload(self, content: bytes | Path, name: str = "clip.mp4") -> httpx.Response:
        content = content.read_bytes() if isinstance(content, Path) else content
        return self.http.post("/gradio_api/upload", files={"files": (name, content, "text/html")})

    def brought(self, content: bytes | Path, name: str = "clip.mp4") -> str:
        """The name under which the page knows an upload."""
        (key,) = self.upload(content, name).raise_for_status().json()
        assert isinstance(key, str)
        return key

    def join(self, data: Any, number: Any = EXPLAIN, **more: Any) -> httpx.Response:
        body = {"data": data, "fn_index": number, "session_hash": self.session, **more}
        return self.http.post("/gradio_api/queue/join", json=body)

    def messages(self) -> list[dict[str, Any]]:
        """What the page says until the event is over."""
        found = []
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line[6:]))
        return found

    def explain(
        self,
        key: Any,
        choice: list[str] = CHOICE,
        *,
        sample: str | None = None,
        weights: Any = None,
        labels: Any = None,
    ) -> tuple[str, str]:
        """The place of the result and the error; one of them is empty."""
        named = {"path": key, "meta": {"_type": "gradio.FileData"}, "orig_name": "x"} if isinstance(key, str) else key
        for _ in range(50):  # the queue forgets an event a moment after it says that it is over
            answer = self.join([named, sample, weights, labels, *choice])
            if answer.status_code != 429:
                break
            time.sleep(0.1)
        answer.raise_for_status()
        (last,) = [m for m in self.messages() if m["msg"] == "process_completed"]
        if not last["success"]:
            return "", last["output"]["error"] or "?"
        place = re.search(r'src="(results/[\w-]+)/', last["output"]["data"][0])
        assert place is not None
        return place[1], ""
