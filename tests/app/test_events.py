from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from vidcam.app.choice import samples
from vidcam.app.events import FILES, Events, PassThrough, Sessions, Streams, address_of
from vidcam.app.gate import VISITOR
from vidcam.app.jobs import Jobs
from vidcam.app.limits import Limits
from vidcam.app.uploads import Uploads

CHOSEN = ["model", "top", "method", "auto", "inferno"]
EXPLAIN = {"session_hash": "abc", "fn_index": 2, "data": [None, None, None, None, *CHOSEN]}


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    """What reaches Gradio."""
    return []


@pytest.fixture
def clips() -> list[Any]:
    """The clips in the requests that reach Gradio."""
    return []


@pytest.fixture
def client(seen: list[dict[str, Any]], clips: list[Any], tmp_path: Path) -> TestClient:
    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen.append({"path": scope["path"], "query": scope["query_string"].decode(), "headers": headers, "body": body})
        clips.append(scope[FILES].clip if FILES in scope else None)
        await JSONResponse({})(scope, receive, send)

    limits, sessions = Limits(), Sessions(b"secret")
    jobs = Jobs(lambda: [], limits)
    uploads = Uploads(tmp_path, limits)
    given = (gradio, sessions, uploads, ["model"], ["method"], jobs)
    routes = [
        Route("/join", Events(*given, queued=True), methods=["POST"]),
        Route("/run", Events(*given, queued=False), methods=["POST"]),
        Route("/data", Streams(gradio, sessions, lambda name: name == sessions.name({}, "known"))),
        Route("/beat/{session}", Streams(gradio, sessions, lambda name: False)),
        Route("/{path:path}", PassThrough(gradio)),
    ]
    return TestClient(Starlette(routes=routes))


def test_an_event_is_written_anew(client: TestClient, seen: list[dict[str, Any]]) -> None:
    sent = {
        **EXPLAIN,
        "data": [{"path": "/etc/passwd"}, "bowing", None, None, "model", "A - B", *CHOSEN[2:]],
        "trigger_id": 7,
    }
    answer = client.post("/join?x=1", json=sent, headers={"cookie": "a=b", "x-evil": "1", "user-agent": "me"})
    assert answer.status_code == 200
    (found,) = seen
    assert json.loads(found["body"]) == {
        "data": [None, "bowing", None, None, "model", "A - B", *CHOSEN[2:]],
        "fn_index": 2,
        "session_hash": Sessions(b"secret").name({}, "abc"),
    }
    assert found["query"] == "" and "x-evil" not in found["headers"] and "cookie" not in found["headers"]
    assert found["headers"]["user-agent"] == "me" and found["headers"]["content-length"] == str(len(found["body"]))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"fn_index": 3}, 400),
        ({"fn_index": 1}, 400),
        ({"fn_index": "2"}, 400),
        ({"session_hash": "a b"}, 400),
        ({"session_hash": "a" * 65}, 400),
        ({"data": [None, None, None, None, "other", "top", "method", "auto", "inferno"]}, 400),
        ({"data": [None, None, None, None, "model", "top", "other", "auto", "inferno"]}, 400),
        ({"data": [None, None, None, None, "model", "", "method", "auto", "inferno"]}, 400),
        ({"data": [None, None, None, None, "model", "x" * 201, "method", "auto", "inferno"]}, 400),
        ({"data": [None, None, None, None, "model", "a\nb", "method", "auto", "inferno"]}, 400),
        ({"data": [None, None, None, None, "model", "top", "method", "x" * 201, "inferno"]}, 400),
        ({"data": [None, None, None, None, "model", "top", "method", "auto", "jet"]}, 400),
        ({"data": [None, None, None, None, None, *CHOSEN[1:]]}, 400),
        ({"data": [None, "../bowing", None, None, *CHOSEN]}, 400),
        ({"data": [None, "/etc/passwd", None, None, *CHOSEN]}, 400),
        ({"data": [None, None, {"path": "/etc/passwd"}, None, *CHOSEN]}, 410),
        ({"data": [None, None, {"path": "A" * 22}, None, *CHOSEN]}, 410),
        ({"data": [None, None, None, {"path": "A" * 22}, *CHOSEN]}, 410),
        ({"data": [None, "model", "top"]}, 400),
        ({"data": "x"}, 400),
        ({"more": "x" * 70_000}, 413),
    ],
    ids=range(21),
)
def test_nothing_else_reaches_gradio(
    client: TestClient, seen: list[dict[str, Any]], changes: dict[str, Any], status: int
) -> None:
    assert client.post("/join", json={**EXPLAIN, **changes}).status_code == status
    assert client.post("/join", content=json.dumps(EXPLAIN), headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/run", json=EXPLAIN).status_code == 400
    assert seen == []


@pytest.mark.parametrize(
    ("number", "data", "passed"),
    [
        (0, ["model", None], ["model", None]),
        (0, ["model", "bowing"], ["model", "bowing"]),
        (0, ["other", None], None),
        (1, [{"path": "/etc/passwd"}, "model"], [None, "model"]),
        (1, [None, "other"], None),
        (3, ["bowing"], ["bowing"]),
        (3, ["/etc/passwd"], None),
        (3, [None], None),
        (4, [{"path": "/etc/passwd"}], [None]),
        (5, [{"path": "/etc/passwd"}], [None]),
        (6, [None], None),
    ],
)
def test_other_events_hold_what_the_page_offers(
    client: TestClient, seen: list[dict[str, Any]], number: int, data: list[Any], passed: list[Any] | None
) -> None:
    status = client.post("/run", json={**EXPLAIN, "fn_index": number, "data": data}).status_code
    assert status == (400 if passed is None else 200)
    assert [json.loads(s["body"])["data"] for s in seen] == ([] if passed is None else [passed])


def test_a_sample_is_the_clip_of_its_name(client: TestClient, clips: list[Any]) -> None:
    client.post("/join", json={**EXPLAIN, "data": [{"path": "/etc/passwd"}, "bowing", None, None, *CHOSEN]})
    (clip,) = clips
    assert clip.path == samples()["bowing"] and clip.name == "bowing.mp4" and clip.address != ""


def test_streams_are_those_of_sessions_that_have_messages(client: TestClient, seen: list[dict[str, Any]]) -> None:
    assert client.get("/data?session_hash=unknown").status_code == 404
    assert client.get("/data?session_hash=a/b").status_code == 404
    assert client.get("/data?session_hash=known").status_code == 200
    assert client.get("/beat/abc").status_code == 200
    name = Sessions(b"secret").name
    assert [s["query"] for s in seen] == [f"session_hash={name({}, 'known')}", ""]
    assert seen[1]["path"] == f"/gradio_api/heartbeat/{name({}, 'abc')}"


def test_paths_are_plain(client: TestClient, seen: list[dict[str, Any]]) -> None:
    assert client.get("/assets/a-1.js?x=1").status_code == 200 and seen[0]["query"] == ""
    for path in ("/a..b", "/a%20b", "/a%00"):
        assert client.get(path).status_code == 404
    assert len(seen) == 1


def test_a_session_is_a_cookie_and_a_hash_together() -> None:
    sessions = Sessions.new()
    names = {sessions.name({VISITOR: visitor}, given) for visitor in ("a", "b") for given in ("1", "2")}
    assert len(names) == 4 and sessions.name({VISITOR: "a"}, "1") == sessions.name({VISITOR: "a"}, "1")
    assert Sessions.new().name({VISITOR: "a"}, "1") not in names
    assert address_of({"client": ("10.0.0.1", 5)}) == "10.0.0.1" and address_of({"client": None}) == ""
