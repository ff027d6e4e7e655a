from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.loops import run
from vidcam.app import uploads as module
from vidcam.app.limits import Limits
from vidcam.app.uploads import Refused, Upload, Uploads

_TYPE = "multipart/form-data; boundary=b"


def _form(content: bytes, name: str = "clip.mp4") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: text/html\r\n\r\n'
    return head.encode() + content + b"\r\n--b--\r\n"


async def _chunks(body: bytes, size: int = 1000, pause: float = 0) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        await asyncio.sleep(pause)
        yield body[start : start + size]


def _receive(uploads: Uploads, body: bytes, kind: str = _TYPE, address: str = "here") -> Upload:
    return run(uploads.receive(_chunks(body), kind, address))


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path, Limits(megabytes=1, uploads=10, files=4, arriving=2))


def _refused(uploads: Uploads, body: bytes, kind: str = _TYPE) -> int:
    before = sorted(uploads.place.iterdir())
    with pytest.raises(Refused) as caught:
        _receive(uploads, body, kind)
    assert sorted(uploads.place.iterdir()) == before
    return caught.value.status


def test_an_upload_is_stored_under_a_random_name(uploads: Uploads) -> None:
    content = bytes(range(256)) * 100 + b"\r\n--c--\r\n"
    one, two = _receive(uploads, _form(content, "../a/evil.html")), _receive(uploads, _form(content))
    assert one.path.read_bytes() == two.path.read_bytes() == content
    assert one.key != two.key and len(one.key) == 22 and one.path == uploads.place / one.key
    assert one.name == "evil" and two.name == "clip.mp4" and one.size == len(content)


def test_a_session_has_one_upload_of_each_kind(uploads: Uploads) -> None:
    clip, weights, newer = (_receive(uploads, _form(b"x", name)) for name in ("a.mp4", "a.safetensors", "b.mp4"))
    assert uploads.claim(clip.key, "s") is clip and uploads.claim(weights.key, "s", kind="weights") is weights
    assert uploads.claim(newer.key, "s") is newer
    assert [u.path.exists() for u in (clip, weights, newer)] == [False, True, True]
    assert uploads.claim(weights.key, "s") is None, "a checkpoint is claimed as a clip"
    assert uploads.claim(weights.key, "other", kind="weights") is None


def test_malformed_uploads_are_refused(uploads: Uploads) -> None:
    assert _refused(uploads, b"") == 400
    assert _refused(uploads, b"no form") == 400
    assert _refused(uploads, _form(b"cut")[:-12]) == 400
    assert _refused(uploads, _form(b"x"), "text/plain") == 400
    assert _refused(uploads, _form(b"x"), "multipart/form-data") == 400
    assert _refused(uploads, _form(b"x")[:-4] + b"\r\n" + _form(b"y")) == 400
    assert _refused(uploads, _form(b"x", "n" * 9000)) == 400
    assert _refused(uploads, _form(b"x").replace(b'; filename="clip.mp4"', b"")) == 400


def test_one_file_one_address_and_all_together_are_bounded(uploads: Uploads) -> None:
    assert _refused(uploads, _form(bytes(2**20 + 1))) == 413
    for address in ("here", "here", "there", "there"):
        _receive(uploads, _form(bytes(2**20)), address=address)
        if address == "here":
            continue
        assert _refused(uploads, _form(b"x")) == 507  # half of the room is this address's
    with pytest.raises(Refused, match="no room"):
        _receive(uploads, _form(b"x"), address="elsewhere")
    uploads.forget("")
    for i in range(10):
        if i == 5:  # half of the places are this address's, however small its files
            assert _refused(uploads, _form(b"")) == 507
        _receive(uploads, _form(b""), address="here" if i < 5 else "there")
    with pytest.raises(Refused, match="no room"):
        _receive(uploads, _form(b""), address="elsewhere")


def test_few_arrive_at_the_same_time(uploads: Uploads) -> None:
    async def several() -> list[Upload | BaseException]:
        body = _form(bytes(3000))
        addresses = ("here", "here", "there", "here", "elsewhere")
        arriving = [uploads.receive(_chunks(body, pause=0.02), _TYPE, address) for address in addresses]
        return await asyncio.gather(*arriving, return_exceptions=True)

    found = run(several())
    assert [getattr(f, "status", 200) for f in found] == [200, 429, 200, 429, 429]


def test_an_upload_that_stops_is_deleted(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.05)
    with pytest.raises(Refused) as caught:
        run(uploads.receive(_chunks(_form(b"x"), pause=1), _TYPE, "here"))
    assert caught.value.status == 408 and list(uploads.place.iterdir()) == []


def test_an_upload_that_trickles_is_ended(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BEGINNING", 0.2)
    body = _form(bytes(20_000))
    with pytest.raises(Refused) as caught:
        run(uploads.receive(_chunks(body, size=100, pause=0.02), _TYPE, "here"))  # 5 kB/s
    assert caught.value.status == 408 and list(uploads.place.iterdir()) == []
    run(uploads.receive(_chunks(body, size=1000, pause=0.02), _TYPE, "here"))


def test_the_first_session_owns_an_upload_and_has_one(uploads: Uploads) -> None:
    one, two = _receive(uploads, _form(b"1")), _receive(uploads, _form(b"2"))
    assert uploads.claim(one.key, "a") is one and uploads.claim(one.key, "b") is None
    assert uploads.claim("nothing", "a") is None
    assert uploads.claim(two.key, "a") is two and uploads.named(one.key) is None and not one.path.exists()
    uploads.forget("a")
    assert list(uploads.place.iterdir()) == []


def test_old_uploads_are_deleted(uploads: Uploads) -> None:
    unclaimed, claimed = _receive(uploads, _form(b"1")), _receive(uploads, _form(b"2"))
    uploads.claim(claimed.key, "a")
    for upload in (unclaimed, claimed):
        upload.used -= module.UNCLAIMED + 1
    uploads.sweep()
    assert not unclaimed.path.exists() and claimed.path.exists()
    claimed.used -= module.UNUSED
    uploads.sweep()
    assert not claimed.path.exists()
