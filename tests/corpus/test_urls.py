from __future__ import annotations

import string
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.corpus.conftest import served, serving
from vidcam.corpus.urls import fetched, is_url, shown, unsigned, without_secrets
from vidcam.errors import ClipError, OutputError

secrets = st.text(string.ascii_letters + string.digits + "-_%.:@!/+=", min_size=1).map(lambda s: f"S3CR3T{s}")


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("a?b#c@d.mp4", "a?b#c@d.mp4"),
        ("https://user:pw@host:80/a/b.mp4?sig=1#x", "https://host:80/a/b.mp4?…"),
        ("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
        ("zip://a.mp4::https://u:p@host/x.zip?k=1", "zip://a.mp4::https://host/x.zip?…"),
        ("simplecache::s3://bucket/a b.mp4", "simplecache::s3://bucket/a b.mp4"),
    ],
)
def test_what_is_written_down(path: str, written: str) -> None:
    assert shown(path) == written


@given(user=st.text(string.ascii_letters), password=secrets, query=secrets)
def test_no_secret_is_written_down(user: str, password: str, query: str) -> None:
    password = password.replace("/", "")
    url = f"https://{user}:{password}@host/clip.mp4?token={query}&b=2"
    assert "S3CR3T" not in shown(url)
    for text in (
        f"404, message='Not Found', url='{url}'",
        f"Cannot connect to {url}",
        f"GET {url}: (host https://{user}:{password}@host)",
        f"GET /clip.mp4?token={query}&b=2 gave 403",
        f"bad password {password} for the user",
    ):
        assert "S3CR3T" not in without_secrets(text, url), text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://h/a.mp4?X-Amz-Signature=1&X-Amz-Date=2", "https://h/a.mp4?X-Amz-Signature=3", True),
        ("https://h/a.mp4?se=1&sig=2&sv=3", "https://h/a.mp4?se=4&sig=5", True),
        ("https://u:p@h/a.mp4", "https://v:q@h/a.mp4", True),
        ("https://h/a.mp4?id=1&Signature=2&Expires=3", "https://h/a.mp4?id=1", True),
        ("https://h/a.mp4?id=1", "https://h/a.mp4?id=2", False),
        ("https://h/a.mp4?st=1", "https://h/a.mp4?st=2", False),
        ("https://h/a.mp4", "http://h/a.mp4", False),
        ("a.mp4?id=1", "a.mp4", False),
    ],
)
def test_a_url_that_is_signed_anew_names_the_same_clip(one: str, other: str, same: bool) -> None:
    assert (unsigned(one) == unsigned(other)) is same


def test_what_is_a_url() -> None:
    assert is_url("s3://a/b") and is_url("filecache::s3://a/b") and is_url("https://a")
    assert not is_url("a.mp4") and not is_url("/a:b.mp4") and not is_url("file:///a.mp4")


def test_fetching(tmp_path: Path, clip_path: Path) -> None:
    with serving(clip_path.parent) as host:
        (tmp_path / "to").mkdir()
        path = fetched(f"http://{host}/{clip_path.name}?token=abc", tmp_path / "to", 2**20)
        assert path.read_bytes() == clip_path.read_bytes() and path.name == clip_path.name
        with pytest.raises(ClipError, match=rf"http://{host}/clip\.mp4\?… has more than 0 MiB"):
            fetched(f"http://{host}/clip.mp4?token=abc", tmp_path / "to", 100)
        with pytest.raises(ClipError, match=r"http://127.0.0.1:\d+/gone.mp4\?… cannot be fetched") as raised:
            fetched(f"http://{host}/gone.mp4?token=S3CR3T", tmp_path / "to", 100)
        assert "S3CR3T" not in str(raised.value)
    with pytest.raises(ClipError, match=r"nothing://x cannot be fetched \(ValueError: Protocol not known"):
        fetched("nothing://x", tmp_path, 100)
    with pytest.raises(ClipError, match=r"http://127\.0\.0\.1:9/a\.mp4 cannot be fetched"):
        fetched("http://127.0.0.1:9/a.mp4", tmp_path, 100)


@pytest.mark.parametrize("name", ["..%2F..%2Fescaped", "%2e%2e/x", "...", "a b.mp4", "x" * 300])
def test_a_fetched_file_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "3")
        request.end_headers()
        request.wfile.write(b"abc" if request.command == "GET" else b"")

    (tmp_path / "to").mkdir()
    with served(answer) as host:
        assert fetched(f"http://{host}/{name}", tmp_path / "to", 100).parent == tmp_path / "to"
    assert [p.name for p in tmp_path.iterdir()] == ["to"]


def test_a_stream_without_an_end_is_left(tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while request.command == "GET":
            try:
                request.wfile.write(b"\0" * 2**16)
            except OSError:
                return
            time.sleep(0.001)

    with served(answer) as host, pytest.raises(ClipError, match="has more than 3 MiB"):
        fetched(f"http://{host}/endless", tmp_path, 3 << 20)


def test_a_full_disk_is_not_the_clips_fault(tmp_path: Path, small_disk: Callable[[str, str], Path]) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(2**21))
    place = small_disk("small", "size=1m")
    with serving(tmp_path) as host, pytest.raises(OutputError, match="is the disk full"):
        fetched(f"http://{host}/large.mp4", place, 2**30)
