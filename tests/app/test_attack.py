"""A visitor who wants the files of the server's user, against a server as it runs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.app.server import CHOICE, EXPLAIN, Visitor, running
from vidcam.app import Limits
from vidcam.app.explainer import GONE
from vidcam.playground.demo import demo_clip

REQUESTS = 500
SECRET = b"canary-7c1f0b9e"


class Canaries:
    """A clip and a text outside of every folder of the page, that only the server's user may read."""

    def __init__(self, folder: Path) -> None:
        self.clip, self.text, self.pipe = folder / "canary.mp4", folder / "canary.txt", folder / "pipe"
        shutil.copyfile(demo_clip(), self.clip)
        with self.clip.open("ab") as clip:
            clip.write(SECRET)
        self.text.write_bytes(SECRET * 20)
        os.mkfifo(self.pipe)
        for path in (self.clip, self.text):
            path.chmod(0o600)
        content = self.clip.read_bytes()
        self._parts = [SECRET, content[-4096:-64], content[2000:6000]]

    def leaked(self, answer: bytes) -> int:
        """Bytes of the canaries in an answer, or in an archive that it is."""
        answers = [answer]
        if answer.startswith(b"PK"):
            with zipfile.ZipFile(BytesIO(answer)) as archive:
                answers += [archive.read(name) for name in archive.namelist()]
        return sum(len(part) for a in answers for part in self._parts if part in a)


class Attacker:
    """Crafted requests, the same with every run."""

    def __init__(self, address: str, canaries: Canaries, stolen: list[str], victim: str) -> None:
        self._random = random.Random(20)
        self._address, self._stolen, self._victim = address, stolen, victim
        self._files = [str(canaries.clip), str(canaries.text), str(canaries.pipe), "/dev/zero", "/etc/passwd"]
        self.http = httpx.Client(base_url=address, trust_env=False, timeout=10, follow_redirects=True)

    def path(self) -> str:
        file = self._random.choice(self._files)
        return self._random.choice(
            [
                file,
                "../" * 12 + file[1:],
                quote(file, safe=""),
                quote(quote(file, safe=""), safe=""),
                f"file://{file}",
                f"/proc/self/root{file}",
                "/proc/self/environ",
                "/proc/self/fd/3",
                f"{file}\0.mp4",
                f"{self._address}/gradio_api/file={file}",
                f"./{file}",
                f"concat:{file}",
                *self._stolen,
                f"{self._stolen[0]}/..{file}",
            ]
        )

    def payload(self, depth: int = 0) -> Any:
        path = self.path()
        whole = {"path": path, "meta": {"_type": "gradio.FileData"}}
        shapes: list[Any] = [
            path,
            whole,
            {**whole, "url": path, "orig_name": path, "size": -1, "mime_type": "text/html"},
            {**whole, "is_stream": True},
            {"path": [path], "meta": {"_type": "gradio.FileData"}},
            {"path": whole},
            {"url": path, "meta": {"_type": "gradio.FileData"}},
            [whole],
            None,
            {"video": whole, "subtitles": whole},
            1e308,
            "\ud800",
        ]
        if depth < 3:
            shapes += [[self.payload(depth + 1), whole], {"value": self.payload(depth + 1), "__type__": "update"}]
        return self._random.choice(shapes)

    def body(self) -> str:
        pick = self._random.choice
        data = pick(
            [
                [self.payload(), None, None, None, *CHOICE],
                [None, self.payload(), None, *CHOICE],
                [None, self._files[0], None, *CHOICE],
                [None, "bowing", self.payload(), *CHOICE],
                [self.payload(), None, self.payload(), *CHOICE],
                [self.payload(), "../bowing", None, *CHOICE],
                [self.payload()],
                [self.payload() for _ in range(4)],
                [None, self.payload(), "top", "gradcam++"],
                *([None, "bowing", None, *CHOICE[:k], self._files[1], *CHOICE[k + 1 :]] for k in range(len(CHOICE))),
                [self._files[1]],
                [self.payload(), "playground-r2plus1d"],
                self.payload(),
                [],
            ]
        )
        body: dict[str, Any] = {
            "data": data,
            "fn_index": pick([0, 1, EXPLAIN, EXPLAIN, EXPLAIN, 3, 4, 5, 6, -1, 99, "2", None, [2], True, 2.0]),
            "session_hash": pick(
                ["attacker", "other", self._victim, [self._victim], {"a": 1}, None, "a/../b", "x" * 99]
            ),
        }
        for key in self._random.sample(
            ["event_data", "trigger_id", "event_id", "batched", "simple_format", "request"], 2
        ):
            body[key] = pick([None, 1, True, self.payload(), "attacker"])
        text = json.dumps(body)
        return pick([text] * 20 + [text[:-1], "[" * 20_000, "nul", "", text.replace(":", "\0", 1)])

    def ask(self) -> httpx.Response:
        """One crafted request."""
        pick, path = self._random.choice, quote(self.path(), safe=pick_safe(self._random))
        route = pick(
            ["queue/join"] * 6
            + ["run/predict"] * 2
            + ["api/predict", "call/explained", "call/v2/explained", "run/explained", "component_server", "cancel"]
            + ["process_recording", "upload", "vibe-edit", "reset", "login", "stream/x"]
            + ["GET"] * 6
        )
        if route == "GET":
            url = pick(
                [
                    f"/gradio_api/file={path}",
                    f"/file={path}",
                    f"/gradio_api/file/{path}",
                    f"/gradio_api/proxy={path}",
                    f"/static/{path}",
                    f"/assets/{path}",
                    f"/svelte/{path}",
                    f"/results/{path}",
                    f"/samples/{path}.mp4",
                    f"/samples/{path}",
                    f"/results/{self._victim}/{path}",
                    f"/gradio_api/stream/a/b/c/playlist-file?path={path}",
                    f"/?deep_link={path}",
                    f"/config?page={path}",
                    f"/gradio_api/upload_progress?upload_id={path}",
                    f"/gradio_api/custom_component/{path}/client/a/b",
                    f"/gradio_api/queue/data?session_hash={path}",
                    f"/gradio_api/queue/data?session_hash={self._victim}",
                ]
            )
            return self.http.get(url, headers={"Range": "bytes=0-99"} if self._random.random() < 0.2 else {})
        if route == "upload":
            files = {pick(["files", "file", "x"]): (self.path().replace("\0", ""), b"not a video", "text/html")}
            return self.http.post("/gradio_api/upload", files=files, data=pick([{}, {"path": path}]))
        body = self.body().encode("utf-8", "surrogatepass")
        kind = pick(["application/json"] * 9 + ["text/plain"])
        return self.http.post(f"/gradio_api/{route}", content=body, headers={"Content-Type": kind})


def pick_safe(chance: random.Random) -> str:
    return chance.choice(["", "/", "/%"])


@contextlib.contextmanager
def _watched(address: str) -> Iterator[list[int]]:
    """The statuses of the page, which is asked for again and again while the block runs."""
    statuses: list[int] = []
    over = threading.Event()

    def watch() -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not over.wait(0.2):
                statuses.append(client.get(f"{address}/").status_code)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_no_request_gets_a_file_that_was_not_uploaded(tmp_path: Path) -> None:
    canaries = Canaries(tmp_path)
    with running(Limits(megabytes=1)) as address:
        victim = Visitor(address)
        victim.http.get("/")  # a browser, with a cookie: its session hash alone is worth nothing
        private = victim.brought(canaries.clip, "private.mp4")
        assert victim.explain(private)[1] == ""  # from now on it is the victim's
        attacker = Attacker(address, canaries, [f"{private}x", private[:-1]], victim.session)
        leaked, statuses = 0, []
        with _watched(address) as seen:
            for _ in range(REQUESTS):
                answer = attacker.ask()
                leaked += canaries.leaked(answer.content)
                assert b"vidcam-app-" not in answer.content
                statuses.append(answer.status_code)
            for session in ("attacker", "other"):
                said = attacker.http.get("/gradio_api/queue/data", params={"session_hash": session})
                leaked += canaries.leaked(said.content)
                assert b"vidcam-app-" not in said.content and b"results/" not in said.content
        assert leaked == 0
        assert 500 not in statuses, "a request raised"
        assert len(seen) > 3 and set(seen) == {200}, "others wait for the attacker"
        assert {p.name for p in tmp_path.iterdir()} == {"canary.mp4", "canary.txt", "pipe"}
        honest = Visitor(address)
        assert honest.explain(honest.brought(demo_clip()))[1] == ""
        attacker.http.close()


@pytest.mark.slow
def test_an_upload_of_somebody_else_is_not_explained(tmp_path: Path) -> None:
    canaries = Canaries(tmp_path)
    with running(Limits(megabytes=1)) as address:
        victim, attacker = Visitor(address), Visitor(address)
        key = victim.brought(canaries.clip)
        event = {"data": [{"path": key}, None], "fn_index": 1, "session_hash": victim.session}
        victim.http.post("/gradio_api/run/predict", json=event).raise_for_status()
        for payload in (key, {"path": key}, {"path": f"./{key}"}, {"path": [key]}, [{"path": key}]):
            assert attacker.explain(payload) == ("", GONE)


@pytest.mark.slow
def test_uploads_in_parallel_are_bounded(tmp_path: Path) -> None:
    limits = Limits(megabytes=1, files=4, arriving=4)
    with running(limits) as address, _watched(address) as seen, ThreadPoolExecutor(24) as pool:
        content = bytes(2**20 - 1000)
        statuses = list(pool.map(lambda _: Visitor(address).upload(content).status_code, range(48)))
        (place,) = {Path(p) for p in (os.environ["GRADIO_TEMP_DIR"],)}
        stored = sum(p.stat().st_size for p in (place.parent / "uploads").iterdir())
    assert statuses.count(200) == 2 and set(statuses) <= {200, 429, 507}
    assert stored <= 2 * 2**20 and set(seen) == {200}


@pytest.mark.slow
def test_a_clip_that_is_also_a_page_is_never_served_as_one(tmp_path: Path) -> None:
    script = b"<script>document.title = 'owned'</script>"
    content = demo_clip().read_bytes()
    clip = content + (8 + len(script)).to_bytes(4, "big") + b"free" + script
    with running(Limits(megabytes=1)) as address:
        visitor = Visitor(address)
        key = visitor.brought(clip, "evil.html")
        place, error = visitor.explain(key)
        assert error == ""
        for url in (f"/gradio_api/file={key}", f"/{place}/clip/evil"):
            answer = visitor.http.get(url)
            assert answer.status_code == 200 and answer.content == clip
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["content-disposition"].startswith("attachment")
            assert answer.headers["x-content-type-options"] == "nosniff"
        for name in ("clip/evil.html", "clip", "clip/../report.html", "../uploads", "curve.csv/x", ".vidcam-x"):
            assert visitor.http.get(f"/{place}/{name.replace('..', '%2e%2e')}").status_code == 404
        policy = visitor.http.get(f"/{place}/report.html").headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts allow-downloads;") and "allow-same-origin" not in policy
        archive = zipfile.ZipFile(BytesIO(visitor.http.get(f"/{place}/vidcam.zip").content))
        texts = [archive.read(name) for name in archive.namelist()]
        assert not any(b"vidcam-app-" in text or b"/tmp/" in text for text in texts)
