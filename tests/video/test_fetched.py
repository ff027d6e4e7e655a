from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.conftest import numbered, write_video
from tests.corpus.conftest import served
from vidcam.errors import ClipError
from vidcam.video.fetched import FetchedClip
from vidcam.video.reader import Clip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The files of the folder "served" at a URL with user and password, and the requests for their content so far."""
    requests: list[str] = []
    (tmp_path / "served").mkdir()

    def answer(request: BaseHTTPRequestHandler) -> None:
        path = tmp_path / "served" / request.path.partition("?")[0].lstrip("/")
        data = path.read_bytes() if path.is_file() else b""
        request.send_response(200 if path.is_file() else 404)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command == "GET":
            requests.append(request.path)
            request.wfile.write(data)

    with served(answer) as host:
        yield f"http://ann:S3CR3T@{host}", requests


@pytest.fixture
def clip(tmp_path: Path, server: tuple[str, list[str]]) -> str:
    """The URL of a clip of 24 frames."""
    write_video(tmp_path / "served" / "clip.mp4", [numbered(i, 48, 64) for i in range(24)], audio="aac")
    return f"{server[0]}/clip.mp4?token=S3CR3T"


def test_a_fetched_clip_is_the_file(tmp_path: Path, place: Path, clip: str) -> None:
    found, file = FetchedClip(clip), Clip(tmp_path / "served" / "clip.mp4")
    assert found.name.endswith("/clip.mp4?…") and found.file is None and found.sound is not None
    assert (found.width, found.height, found.frame_rate) == (64, 48, file.frame_rate)
    assert [f.pixels.tobytes() for f in found] == [f.pixels.tobytes() for f in file]
    part = FetchedClip(clip, start=0.5, end=1.05)
    assert [round(f.time, 3) for f in part] == [round(f.time, 3) for f in Clip(file.path, start=0.5, end=1.05)]
    assert (part.reopened().start, part.reopened().end) == (0.5, 1.05)


def test_another_reading_fetches_nothing(place: Path, server: tuple[str, list[str]], clip: str) -> None:
    found = FetchedClip(clip)
    assert len(server[1]) == 1
    again = found.reopened().reopened()
    assert len(list(again)) == len(list(found)) == 24 and len(server[1]) == 1
    assert again.name == found.name and again.file is None


@pytest.mark.slow
def test_the_temporary_folder_is_gone_with_the_last_copy(place: Path, clip: str) -> None:
    found = FetchedClip(clip)
    again = found.reopened()
    (folder,) = place.iterdir()
    del found
    gc.collect()
    assert folder.exists() and len(list(again)) == 24
    del again
    gc.collect()
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_a_clip_that_cannot_be_fetched_or_read_leaves_nothing_and_tells_no_secret(
    tmp_path: Path, place: Path, server: tuple[str, list[str]], clip: str
) -> None:
    (tmp_path / "served" / "text.mp4").write_text("no video")
    (tmp_path / "served" / "empty.mp4").touch()
    url = server[0]

    def cases() -> Iterator[tuple[str, Callable[[], object]]]:
        yield "cannot be fetched", lambda: FetchedClip(f"{url}/gone.mp4?token=S3CR3T")
        yield "text.mp4", lambda: FetchedClip(f"{url}/text.mp4?token=S3CR3T")
        yield "empty.mp4", lambda: FetchedClip(f"{url}/empty.mp4?token=S3CR3T")
        yield "more than 0 MiB", lambda: FetchedClip(clip, most=100)
        yield "has no frame from 100 to inf s", lambda: list(FetchedClip(clip, start=100))

    for message, read in cases():
        with pytest.raises(ClipError, match=message) as raised:
            read()
        text = str(raised.value)
        assert "S3CR3T" not in text and "ann:" not in text and str(place) not in text and "vidcam-" not in text, text
        del raised
        gc.collect()
        assert list(place.iterdir()) == []


def test_a_file_that_is_gone_is_named_by_its_url(place: Path, clip: str) -> None:
    found = FetchedClip(clip)
    found.path.unlink()
    for read in (found.reopened, lambda: list(found)):
        with pytest.raises(ClipError) as raised:
            read()
        assert str(place) not in str(raised.value) and "/clip.mp4?…" in str(raised.value)


def test_a_full_temporary_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: str, small_disk: Callable[[str, str], Path]
) -> None:
    place = small_disk("small", "size=4k")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with pytest.raises(ClipError, match="cannot be kept in the temporary folder") as raised:
        FetchedClip(clip)
    assert str(place) not in str(raised.value) and "S3CR3T" not in str(raised.value)
    del raised
    gc.collect()
    assert list(place.iterdir()) == []
