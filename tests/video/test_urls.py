from __future__ import annotations

import re
import string
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.corpus.conftest import served, serving
from vidcam.corpus.job import failure_record, manifest_columns
from vidcam.corpus.manifest import Entry
from vidcam.errors import ClipError, OutputError
from vidcam.video.urls import fetch, is_url, redacted, unsigned, without_secrets

secrets = st.text(string.ascii_letters + string.digits + "-_%.:@!/+=", min_size=1).map(lambda s: f"S3CR3T{s}")


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("HTTPS://user:pw@host/a.mp4", "HTTPS://host/a.mp4"),
        ("https://user@host/a.mp4", "https://host/a.mp4"),
        ("https://user:p/w@host/a.mp4", "https://host/a.mp4"),
        ("https://user:p@w:x@host/a.mp4?q=1", "https://host/a.mp4?…"),
        ("https://user:p::w@host/a.mp4", "https://host/a.mp4"),
        ("https://user:p?w@host/a.mp4", "https://…"),  # or is it the query that holds an @?
        ("https://host/a.mp4?mail=a@b&token=1", "https://…"),
        ("https://host/a.mp4;sig=1", "https://host/a.mp4;…"),
        ("https://host/a.mp4#access_token=1", "https://host/a.mp4#…"),
        ("http:/user:pw@host/a.mp4?q=1", "http:/host/a.mp4?…"),
        ("http:user:pw@host/a.mp4", "host/a.mp4"),
        ("user:pw@host:a.mp4", "host:a.mp4"),
        ("//user:pw@host/a.mp4", "//host/a.mp4"),
        (" https://user:pw@host/a.mp4", " https://host/a.mp4"),
        ("see https://user:pw@host/a.mp4", "host/a.mp4"),
        ("http://[bad/a.mp4", "http://[bad/a.mp4"),
        (
            "zip://a.mp4::ZIP://b.zip::simplecache::s3://u:p@c/d.zip",
            "zip://a.mp4::ZIP://b.zip::simplecache::s3://c/d.zip",
        ),
        ("filecache::https://u:p@host/x::y", "filecache::https://host/x::y"),
        ("dir/caf\udce9\x1b[1m.mp4", "dir/caf\\xe9\\x1b[1m.mp4"),
        ("a?b#c@d.mp4", "a?b#c@d.mp4"),
        ("https://user:pw@host:80/a/b.mp4?sig=1#x", "https://host:80/a/b.mp4?…"),
        ("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
        ("zip://a.mp4::https://u:p@host/x.zip?k=1", "zip://a.mp4::https://host/x.zip?…"),
        ("simplecache::s3://bucket/a b.mp4", "simplecache::s3://bucket/a b.mp4"),
        ("https://user%3Apw%40host/a.mp4", "https://…"),
        ("https://user%253Apw%2540host/a.mp4", "https://…"),
        ("https://user%3Apw@host/a.mp4", "https://host/…"),
        ("https%3A//user:pw@host/a.mp4", "https://…"),
        ("https%253A%252F%252Fuser%253Apw%2540host/a.mp4", "https://…"),
        ("https://host/a.mp4%3Ftoken=1", "https://host/…"),
        ("https://host/a.mp4%25253btoken=1", "https://host/…"),
        ("https://host/a.mp4%23token=1", "https://host/…"),
        ("https://host/a.mp4&token=1", "https://host/a.mp4&…"),
        ("https://host/this&that/a%20b.mp4", "https://host/this&that/a%20b.mp4"),
        ("ftp://user:pw\n@host/a.mp4", "ftp://host/a.mp4"),
        ("zip://a%3Ftoken=1::https://host/x.zip", "…::https://host/…"),
        ("data:video/mp4;base64,AAAA", "data:…"),
        ("simplecache::DATA:,AAAA", "simplecache::data:…"),
    ],
)
def test_what_is_written_down(path: str, written: str) -> None:
    assert redacted(path) == written


@given(user=st.text(string.ascii_letters), password=secrets, query=secrets)
def test_no_secret_is_written_down(user: str, password: str, query: str) -> None:
    password = password.replace("/", "")
    url = f"https://{user}:{password}@host/clip.mp4?token={query}&b=2"
    assert "S3CR3T" not in redacted(url)
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
        ("https://h/a.mp4?se=1&sig=2&sv=3", "https://h/a.mp4?se=4&sig=5&sv=3", True),
        ("https://h/a.mp4?se=1&sig=2&sv=3", "https://h/a.mp4?se=4&sig=2", False),
        ("https://h/a.mp4?Key-Pair-Id=1&Signature=2&Policy=3", "https://h/a.mp4", True),
        ("https://h/a.mp4?AWSAccessKeyId=1&Signature=2&Expires=3&x", "https://h/a.mp4?x", True),
        ("https://h/a.mp4?GoogleAccessId=1&Signature=2&Expires=3", "https://h/a.mp4", True),
        ("https://h/a.mp4?X-Goog-Signature=1&X-Goog-Date=2", "https://h/a.mp4?X-Goog-Signature=3", True),
        ("https://h/a.mp4?token=clip1", "https://h/a.mp4?token=clip2", False),
        ("https://h/a.mp4?policy=clip1", "https://h/a.mp4?policy=clip2", False),
        ("https://h/a.mp4;sig=1", "https://h/a.mp4;sig=2", False),
        ("abfs://one@acct/a.mp4", "abfs://two@acct/a.mp4", False),
        ("github://org:one@main/a.mp4", "github://org:two@main/a.mp4", False),
        ("zip://a@c.mp4::https://h/x.zip", "zip://b@c.mp4::https://h/x.zip", False),
        ("file://a@h/x.mp4", "file://b@h/x.mp4", False),
        ("local://a@h/x.mp4", "local://b@h/x.mp4", False),
        ("//a@h/x.mp4", "//b@h/x.mp4", False),
        ("a;sig=1/x://b.mp4", "a;sig=2/x://b.mp4", False),
        ("a@https://b.mp4", "c@https://b.mp4", False),
        ("https://u:p@h/a.mp4", "https://v:q@h/a.mp4", True),
        ("https://h/a.mp4?id=1&Signature=2&Expires=3", "https://h/a.mp4?id=1", False),
        ("https://h/a.mp4?id=1", "https://h/a.mp4?id=2", False),
        ("https://h/a.mp4?st=1", "https://h/a.mp4?st=2", False),
        ("https://h/a.mp4", "http://h/a.mp4", False),
        ("a.mp4?id=1", "a.mp4", False),
    ],
)
def test_a_url_that_is_signed_anew_names_the_same_clip(one: str, other: str, same: bool) -> None:
    assert (unsigned(one) == unsigned(other)) is same


NASTY = "/?#@:;&=%+ \\'\"<>[]{}*!$,()|~^`.\n\t\u00fc\u4e2d"
nasty = st.text(st.sampled_from(string.ascii_letters + string.digits + NASTY), min_size=1, max_size=12)
FORMS = [
    "https://{user}:{password}@host/clip.mp4",
    "https://{user}@host/clip.mp4",
    "HTTPS://{user}:{password}@host/clip.mp4?token={query}&b=2",
    "http:/{user}:{password}@host/clip.mp4",
    "http:{user}:{password}@host/clip.mp4",
    "//{user}:{password}@host/clip.mp4?sig={query}",
    "s3://{user}:{password}@host/clip.mp4;sig={query}",
    "https://host/clip.mp4;sig={query}",
    "https://host/clip.mp4;sig={query}/x?Signature={user}",
    "https://host/clip.mp4?X-Amz-Signature={query}&x=1#{user}",
    "https://host/clip.mp4?mail=a@b&token={query}",
    "https://host/clip.mp4#access_token={query}",
    "zip://clip.mp4::https://{user}:{password}@host/x.zip?sig={query}",
    "simplecache::zip://a.mp4::ftp://{user}:{password}@host/x.zip",
    " ftp://{user}:{password}@host/clip.mp4",
]


@given(st.sampled_from(FORMS), nasty, nasty, nasty)
def test_no_form_of_a_url_gives_its_secrets_away(form: str, user: str, password: str, query: str) -> None:
    given = {
        "user": f"US3R{user}US3R",
        "password": f"S3CR3T{password}S3CR3T",
        "query": f"T0K3N{query}T0K3N",
    }
    url, present = form.format(**given), [value for name, value in given.items() if f"{{{name}}}" in form]
    entry = Entry(path=url)
    spelled = {v for s in present for v in (s, quote(s), quote(s, safe=""), unquote(s), quote(quote(s, safe="")))}
    told = [redacted(url), entry.id, unsigned(url)]
    for text in ("{}", "no file {}", "url='{}'", "({})", "{}: broken"):
        for spelling in (url, quote(url), quote(url, safe=""), unquote(url), quote(quote(url)), *present):
            record = failure_record(entry, "ClipError", text.format(spelling))
            told += [str(record), record["error"], record["clip"]]
    with pytest.raises(ClipError) as raised, TemporaryDirectory() as folder:
        fetch(re.sub("(?i)(https?|ftp|s3)(?=:)", "nothing", form).format(**given), Path(folder), 100)
    told.append(str(raised.value))
    for written in told:
        assert not any(secret in written for secret in spelled)
        written.encode()


@given(st.text())
def test_any_text_can_be_written_down(text: str) -> None:
    for path in (text, f"http://{text}", f"{text}::{text}"):
        redacted(path).encode()
        unsigned(path)
        without_secrets(text, path).encode()
        assert redacted(redacted(path)) == redacted(path)


@given(st.lists(st.sampled_from(["a", "/", "?", "#", ";", "@", "=", "&", "::", ":"]), max_size=6).map("".join))
def test_urls_that_differ_in_more_than_what_signs_them_have_other_names(rest: str) -> None:
    assert unsigned(f"s3://b/1{rest}") != unsigned(f"s3://b/2{rest}")
    assert unsigned(f"s3://b/{rest}/1.mp4") != unsigned(f"s3://b/{rest}/2.mp4")


parts = st.text(st.sampled_from("ab/?#;@=&:%.1"), max_size=5) | st.sampled_from(
    ["token=a", "sig=1", "sv=1", "?Signature=1&Expires=2", "&Policy=3", "u@", "X-Amz-Date=1"]
)
schemes = st.sampled_from(
    ["", "//", "file://", "s3://", "abfs://", "zip://", "local://", "github://", "zip://a::s3://", "data:"]
)


@given(schemes, st.lists(parts, max_size=4).map("".join), schemes, st.lists(parts, max_size=4).map("".join))
def test_what_has_neither_user_nor_signature_is_named_by_all_of_it(s: str, one: str, t: str, other: str) -> None:
    if not any("http" in path for path in (one, other)):
        assert (unsigned(s + one) == unsigned(t + other)) is (s + one == t + other)


words = st.text(st.sampled_from("ab1./"), max_size=4)
pairs = st.lists(st.tuples(st.sampled_from(["id", "token", "policy", "se", "expires", "x-amz-id"]), words), max_size=3)


@given(words, pairs, words, words, pairs, words)
def test_http_urls_that_differ_outside_their_signature_have_other_names(
    path: str, query: list[tuple[str, str]], fragment: str, path2: str, query2: list[tuple[str, str]], fragment2: str
) -> None:
    def url(user: str, path: str, query: list[tuple[str, str]], fragment: str, signature: str) -> str:
        asked = "&".join([*(f"{name}={value}" for name, value in query), f"X-Amz-Signature={signature}"])
        return f"https://{user}@host/{path}?{asked}#{fragment}"

    same = (path, query, fragment) == (path2, query2, fragment2)
    one, other = url("a:b", path, query, fragment, "1"), url("c", path2, query2, fragment2, "2")
    assert (unsigned(one) == unsigned(other)) is same


@pytest.mark.slow
@pytest.mark.parametrize("link", ["simplecache", "filecache", "blockcache", "cached", "filecache::simplecache"])
def test_links_that_cache_leave_nothing_behind(
    tmp_path: Path, clip_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with serving(clip_path.parent) as host:
        for folder in (tmp_path / "one", tmp_path / "two"):  # what fsspec keeps of the first is gone for the second
            folder.mkdir()
            path = fetch(f"{link}::http://{host}/{clip_path.name}?token=S3CR3T", folder, 2**20)
            assert path.read_bytes() == clip_path.read_bytes() and list(folder.iterdir()) == [path]
    assert not list((tmp_path / "tmp").iterdir()) and tempfile.gettempdir() == str(tmp_path / "tmp")


def test_a_url_in_the_column_of_targets_is_written_down_without_its_secrets() -> None:
    for target in ("https://u:S3CR3T@h/x?token=S3CR3T", "see https://u:S3CR3T@h/x", "https://u:S3CR3T\n@h/x"):
        entry = Entry(path="a.mp4", target=target)
        record = failure_record(entry, "TargetError", f"label {target!r} is not one of the model's 3 classes; {target}")
        assert "S3CR3T" not in str(record) and "h/x" in record["target"]
    assert manifest_columns(Entry(path="a.mp4", target="cooking: a - b"))["target"] == "cooking: a - b"


def test_what_is_a_url() -> None:
    assert is_url("HTTP://a") and is_url("S3://a/b") and not is_url("FILE:///a.mp4") and not is_url("/a::b.mp4")
    assert is_url("s3://a/b") and is_url("filecache::s3://a/b") and is_url("https://a")
    assert not is_url("a.mp4") and not is_url("/a:b.mp4") and not is_url("file:///a.mp4")


def test_fetching(tmp_path: Path, clip_path: Path) -> None:
    with serving(clip_path.parent) as host:
        (tmp_path / "to").mkdir()
        path = fetch(f"http://{host}/{clip_path.name}?token=abc", tmp_path / "to", 2**20)
        assert path.read_bytes() == clip_path.read_bytes() and path.name == clip_path.name
        with pytest.raises(ClipError, match=rf"http://{host}/clip\.mp4\?… has more than 0 MiB"):
            fetch(f"http://{host}/clip.mp4?token=abc", tmp_path / "to", 100)
        assert fetch(f"HTTP://{host}/{clip_path.name}", tmp_path / "to", 2**20)
        with pytest.raises(
            ClipError, match=r"http://127.0.0.1:\d+/gone.mp4\?… cannot be fetched \(FileNotFound"
        ) as raised:
            fetch(f"http://{host}/gone.mp4?token=S3CR3T", tmp_path / "to", 100)
        assert "S3CR3T" not in str(raised.value)
    with pytest.raises(ClipError, match=r"nothing://x cannot be fetched \(ValueError\); is it there"):
        fetch("nothing://x", tmp_path, 100)
    with pytest.raises(ClipError, match=r"http://127\.0\.0\.1:9/a\.mp4 cannot be fetched \(.*Error"):
        fetch("http://127.0.0.1:9/a.mp4", tmp_path, 100)
    with pytest.raises(ClipError, match=r"http://\[bad/a\.mp4 cannot be fetched \("):
        fetch("http://[bad/a.mp4", tmp_path, 100)


def test_the_status_of_a_refusal_is_told_and_nothing_else(tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(403, "S3CR3T")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with served(answer) as host, pytest.raises(ClipError) as raised:
        fetch(f"http://US3R@{host}/a.mp4?sig=S3CR3T", tmp_path, 100)
    assert str(raised.value) == (
        f"http://{host}/a.mp4?… cannot be fetched (FileNotFoundError: HTTP status 403); is it there?"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["..%2F..%2Fescaped", "%2e%2e/x", "...", "a b.mp4", "x" * 300, "%F0%9F%98%80" * 80, "😀" * 100]
)
def test_a_fetched_file_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "3")
        request.end_headers()
        request.wfile.write(b"abc" if request.command == "GET" else b"")

    (tmp_path / "to").mkdir()
    with served(answer) as host:
        assert fetch(f"http://{host}/{name}", tmp_path / "to", 100).parent == tmp_path / "to"
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
        fetch(f"http://{host}/endless", tmp_path, 3 << 20)


def test_a_full_disk_is_not_the_clips_fault(tmp_path: Path, small_disk: Callable[[str, str], Path]) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(2**21))
    place = small_disk("small", "size=1m")
    with serving(tmp_path) as host, pytest.raises(OutputError, match="is the disk full"):
        fetch(f"http://{host}/large.mp4", place, 2**30)
