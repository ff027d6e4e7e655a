from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_video
from vidcam.corpus.job import Job, Limits
from vidcam.recipe import ExplainConfig

DEADLY = """
import ctypes, os, signal, time
from pathlib import Path
import torch
from torch import nn

class Deadly(nn.Module):
    '''What befalls it is in the brightness of the picture.'''

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 4, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        brightness = round(float(x.mean()) * 255 / 20)
        if brightness == 2:
            ctypes.string_at(0)
        if brightness == 3:
            time.sleep(1000)
        if brightness == 4:
            self.kept = []
            while True:
                self.kept.append(torch.ones(2**24))
                time.sleep(0.01)
        if brightness == 5 and not Path("died-once").exists():
            Path("died-once").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if brightness == 6:
            raise RuntimeError("what nobody thought of")
        if brightness == 7:
            os.unlink("clip7.mp4")
        return self.head(self.body(x).mean((2, 3, 4)))

def build():
    torch.manual_seed(0)
    return Deadly()
"""

FATES = {1: "", 2: "crash", 3: "time", 4: "memory", 5: "", 6: "RuntimeError", 7: "ClipError", 8: ""}
"""Brightness, in twenties → the kind of error, if any."""


@pytest.fixture
def deadly(tmp_path: Path) -> Job:
    """A job whose network dies of some clips; they are in its folder, clip1.mp4 to clip8.mp4."""
    (tmp_path / "deadly.py").write_text(DEADLY, encoding="utf-8")
    for fate in FATES:
        frames = [np.full((32, 32, 3), 20 * fate, np.uint8)] * 6
        write_video(
            tmp_path / f"clip{fate}.mp4", frames, codec="libx264rgb", pixel_format="rgb24", options={"crf": "0"}
        )
    preprocess = {"resize": 32, "crop": (32, 32), "mean": (0.0,) * 3, "std": (1.0,) * 3}
    config = ExplainConfig.model_validate(
        {"model": {"factory": "deadly:build", "frames": 4, "preprocess": preprocess}, "dtype": "float32"}
    )
    return Job(config=config, limits=Limits(seconds=5, memory=1500), folder=tmp_path, directory=tmp_path)


@contextmanager
def served(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """An HTTP server on this machine; its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_HEAD(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The files of a folder, as an HTTP server gives them; its host and port."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        path = folder / request.path.partition("?")[0].lstrip("/")
        data = path.read_bytes() if path.is_file() else b""
        request.send_response(200 if path.is_file() else 404)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data)

    with served(answer) as host:
        yield host
