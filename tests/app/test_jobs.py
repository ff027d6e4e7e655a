from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from tests.app.loops import run
from tests.app.server import CHOICE, EXPLAIN, Visitor, running
from vidcam.app.events import Events, Sessions
from vidcam.app.jobs import Files, Job, Jobs
from vidcam.app.limits import Limits
from vidcam.app.uploads import Refused, Upload, Uploads
from vidcam.playground.demo import demo_clip


def test_an_address_has_half_of_the_places() -> None:
    waiting = [Job("a", "here"), Job("b", "here"), Job("c", "there")]
    jobs = Jobs(lambda: waiting, Limits(waiting=6))
    with jobs.joining("d", "here"), pytest.raises(Refused, match="network address"), jobs.joining("e", "here"):
        pass
    with jobs.joining("e", "here"), jobs.joining("d", "there"):
        pass


def test_a_session_has_one_place_also_on_its_way() -> None:
    jobs = Jobs(lambda: [Job("a", "here", Files(Upload("k", Path(), "here")))], Limits())
    with jobs.joining("b", "here") as job:
        job.files = Files(*(Upload(key, Path(), "here") for key in "lwn"))
        assert jobs.uploads() == {"k", "l", "w", "n"}
        for session in ("a", "b"):
            with pytest.raises(Refused, match="wait for it"), jobs.joining(session, "there"):
                pass
    assert jobs.uploads() == {"k"}
    with jobs.joining("b", "here"):
        pass


async def _post(events: Events, key: str, number: int) -> int:
    """The status of an answer."""
    body = json.dumps(
        {
            "data": [key, None, None, None, *CHOICE] if number == EXPLAIN else [key, None],
            "fn_index": number,
            "session_hash": "s",
        }
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1),
    }
    statuses: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: Any) -> None:
        if "status" in message:
            statuses.append(message["status"])

    await events(scope, receive, send)
    return statuses[0]


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    yield Uploads(tmp_path, Limits())


def _stored(uploads: Uploads, number: int) -> Upload:
    key = f"{number:022}"
    upload = uploads._uploads[key] = Upload(key, uploads.place / key, "192.0.2.1", complete=True)
    upload.path.write_bytes(b"clip")
    return upload


def test_of_many_at_once_one_is_taken_and_none_harms_it(uploads: Uploads) -> None:
    queue: list[Job] = []
    stored = [_stored(uploads, i) for i in range(6)]
    jobs = Jobs(lambda: queue, Limits())

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        asked = json.loads((await receive())["body"])
        if asked["fn_index"] == EXPLAIN:
            queue.append(Job(asked["session_hash"], "192.0.2.1", scope["vidcam.files"]))
        await JSONResponse({})(scope, receive, send)

    kinds = (CHOICE[:1], ["gradcam++"])
    joins = Events(gradio, Sessions(), uploads, *kinds, jobs, True)
    drops = Events(gradio, Sessions(), uploads, *kinds, jobs, False)

    async def ask() -> None:
        found = await asyncio.gather(*(_post(joins, u.key, EXPLAIN) for u in stored))
        assert found == [200, 429, 429, 429, 429, 429]
        assert [u.path.exists() for u in stored] == [True] * 6
        assert await _post(drops, stored[1].key, 1) == 200 and await _post(drops, stored[2].key, 1) == 200
        assert [u.path.exists() for u in stored[:3]] == [True, False, True], "the clip that waits is gone"
        assert await _post(joins, stored[3].key, EXPLAIN) == 429 and stored[2].path.exists()
        queue.clear()
        assert await _post(drops, stored[3].key, 1) == 200
        assert [u.path.exists() for u in stored[:4]] == [False, False, False, True]

    run(ask())


def test_a_clip_that_waits_is_not_old(uploads: Uploads) -> None:
    one, two = _stored(uploads, 1), _stored(uploads, 2)
    for upload in (one, two):
        upload.used -= 10_000
    uploads.sweep({one.key})
    assert one.path.exists() and not two.path.exists()
    assert time.monotonic() - one.used < 10  # its time begins when its job is over


@pytest.mark.slow
def test_what_waits_is_explained_whatever_comes_later() -> None:
    with running(Limits(megabytes=1)) as address, ExitStack() as held:
        first, second = Visitor(address), Visitor(address)
        for visitor in (first, second):
            held.enter_context(visitor.http.stream("GET", f"/gradio_api/heartbeat/{visitor.session}"))
        first.join(
            [{"path": first.brought(demo_clip())}, None, None, None, CHOICE[0], "top5", *CHOICE[2:]]
        ).raise_for_status()
        keys = [second.brought(demo_clip()) for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            joined = list(
                pool.map(lambda key: second.join([{"path": key}, None, None, None, *CHOICE]).status_code, keys)
            )
        assert sorted(joined) == [200, 429, 429, 429, 429, 429]
        many = [Visitor(address).join([None, None, None, None, *CHOICE]).status_code for _ in range(12)]
        assert many == [200] * 2 + [429] * 10  # half of the eight places
        other = Visitor(address)
        other.http = held.enter_context(
            httpx.Client(base_url=address, transport=httpx.HTTPTransport(local_address="127.0.0.2"))
        )
        assert other.join([None, None, None, None, *CHOICE]).status_code == 200
        newer = second.brought(demo_clip())
        event = {"data": [{"path": newer}, None], "fn_index": 1, "session_hash": second.session}
        second.http.post("/gradio_api/run/predict", json=event).raise_for_status()
        (last,) = [m for m in second.messages() if m["msg"] == "process_completed"]
        assert last["success"], last
