from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import numbered, write_video
from tests.live.sending import free_port
from vidcam.errors import ClipError
from vidcam.live import stream as streams
from vidcam.live.stream import stream, url_of


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder, and yield its address without the scheme and the requests that were answered."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        asked: list[str] = []
        server.asked = asked  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def _playlist(folder: Path) -> None:
    """Write a stream of two segments and its playlist."""
    for part in range(2):
        write_video(folder / f"{part}.ts", [numbered(10 * part + i, 48, 64) for i in range(10)])
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1"]
    lines += [
        line for part in range(2) for line in ("#EXTINF:1.0,", "#EXT-X-DISCONTINUITY" if part else "", f"{part}.ts")
    ]
    (folder / "live.m3u8").write_text("\n".join([*filter(None, lines), "#EXT-X-ENDLIST", ""]))


def test_a_file_over_http_is_read_as_a_stream(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", [numbered(i, 48, 64) for i in range(12)])
    with _served(tmp_path) as (address, _), stream(f"http://{address}/a.ts")() as connection:
        frames = list(connection.frames)
    assert len(frames) == 12 and np.isclose(connection.frame_rate, 10.0)
    times = [seconds for seconds, _ in frames]
    assert None not in times and np.allclose(np.diff(times), 0.1)  # type: ignore[arg-type]
    assert all(abs(int(pixels[24, 8, 0]) - (20 + 8 * i)) < 12 for i, (_, pixels) in enumerate(frames))


def test_a_playlist_is_read_only_where_it_is_asked_for_by_name(tmp_path: Path) -> None:
    _playlist(tmp_path)
    with _served(tmp_path) as (address, asked):
        with pytest.raises(OSError, match="hls"), stream(f"http://{address}/live.m3u8")():
            pass
        assert not any(path.endswith(".ts") for path in asked)
        with stream(f"hls+http://{address}/live.m3u8")() as connection:
            frames = list(connection.frames)
    assert len(frames) == 20 and {"/0.ts", "/1.ts"} <= set(asked)


@pytest.mark.parametrize(
    "content", ["ffconcat version 1.0\nfile a.ts\n", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5000 RTP/AVP 96\r\n"]
)
def test_what_names_other_streams_is_refused(tmp_path: Path, content: str) -> None:
    write_video(tmp_path / "a.ts", [numbered(0, 48, 64)])
    (tmp_path / "list").write_text(content)
    with _served(tmp_path) as (address, asked), pytest.raises(OSError), stream(f"http://{address}/list")():
        pass
    assert asked and not any("a.ts" in path for path in asked)


def test_large_pictures_are_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_SIDE", 32)
    write_video(tmp_path / "a.ts", [numbered(0, 48, 64)])
    with _served(tmp_path) as (address, _), stream(f"http://{address}/a.ts")() as connection:
        ((_, pixels),) = connection.frames
    assert pixels.shape == (24, 32, 3)


def test_garbage_in_a_stream_costs_only_the_frames_it_hits(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", [numbered(i, 96, 128) for i in range(60)], options={"g": "5"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(0).integers(0, 256, 2000).astype(np.uint8).tobytes()
    path.write_bytes(data)
    with _served(tmp_path) as (address, _), stream(f"http://{address}/a.ts")() as connection:
        frames = list(connection.frames)
    assert 30 <= len(frames) < 61 and abs(int(frames[-1][1][48, 16, 0]) - (20 + 8 * (59 % 28))) < 12


def test_what_is_no_video_and_who_does_not_answer_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(bytes(range(256)) * 64)
    with _served(tmp_path) as (address, _):
        for path in ("a.ts", "missing.ts"):
            with pytest.raises(OSError), stream(f"http://{address}/{path}")():
                pass
    with pytest.raises(OSError), stream(f"tcp://127.0.0.1:{free_port()}")():
        pass


def test_schemes_that_are_no_streams_are_refused_without_their_secrets() -> None:
    assert url_of("clip.mp4") is None and url_of("a:b") is None
    for url in ("file:///etc/passwd", "concat://a", "s3://user:secret@host/x", "subfile://x"):
        with pytest.raises(ClipError, match="is no stream") as refused:
            url_of(url)
        assert "secret" not in str(refused.value)
