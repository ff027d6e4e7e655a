"""Senders of streams for tests: ffmpeg as a server on the loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    """Return a port of the loopback that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def send(clip: Path, port: int, *, size: str = "320:180", rate: int = 30) -> Iterator[subprocess.Popen[bytes]]:
    """Send a clip again and again, at its own pace, to whoever connects first, and yield the process."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg on this machine, which sends the stream")
    source = ["-re", "-stream_loop", "-1", "-i", str(clip), "-an", "-vf", f"scale={size},fps={rate}"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", "-pix_fmt", "yuv420p"]
    to = ["-f", "mpegts", f"tcp://127.0.0.1:{port}?listen=1"]
    process = subprocess.Popen(["ffmpeg", "-loglevel", "quiet", *source, *coded, *to], stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
