from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.app.server import Visitor, running
from vidcam.app import Limits
from vidcam.app.gate import address_with


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(Limits(megabytes=1)) as address:
        yield address


def _status(address: str, method: str, path: str, **headers: str) -> int:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, address + path, headers=names, trust_env=False).status_code


@pytest.mark.parametrize("host", ["elsewhere.example", "elsewhere.example:7860", "", "127.0.0.1.elsewhere.example"])
def test_a_page_elsewhere_cannot_use_the_name_of_another(address: str, host: str) -> None:
    assert _status(address, "GET", "/", Host=host) == 400


def test_loopback_names_are_its_own(address: str) -> None:
    for host in ("localhost", "127.0.0.1:7860", "[::1]:7860"):
        assert _status(address, "GET", "/", Host=host) == 200


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_other_origins_are_refused(address: str, origin: str) -> None:
    visitor = Visitor(address)
    for method, path in (
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/queue/join"),
        ("GET", f"/gradio_api/queue/data?session_hash={visitor.session}"),
        ("OPTIONS", "/gradio_api/upload"),
    ):
        assert _status(address, method, path, Origin=origin) == 403
    assert _status(address, "POST", "/gradio_api/upload", Sec_Fetch_Site="cross-site") == 403
    assert _status(address, "POST", "/gradio_api/upload", Origin=address) == 400  # no form, but let in


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=https://elsewhere.example",
        "/gradio_api/call/explained",
        "/gradio_api/run/explained",
        "/gradio_api/api/predict",
        "/gradio_api/component_server",
        "/gradio_api/process_recording",
        "/gradio_api/stream/x",
        "/gradio_api/dev/reload",
        "/gradio_api/vibe-edit",
        "/gradio_api/cancel",
        "/gradio_api/reset",
        "/gradio_api/deep_link",
        "/gradio_api/openapi.json",
        "/gradio_api/custom_component/a/client/b/c",
        "/monitoring",
        "/login",
        "/pwa_icon",
        "/svelte/x.js",
        "/static/%2e%2e/config",
        "/assets/%2e%2e/index.html",
        "/results/x/report.html",
        "/docs",
    ],
)
def test_other_routes_are_closed(address: str, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert _status(address, method, path) in (404, 405)


def test_every_answer_has_the_headers(address: str) -> None:
    for path in ("/", "/nowhere", "/config", "/theme.css"):
        headers = httpx.get(address + path, trust_env=False).headers
        assert (
            headers["x-content-type-options"] == "nosniff" and "frame-ancestors" in headers["content-security-policy"]
        )
        assert "access-control-allow-origin" not in headers


def test_no_page_tells_a_path_of_the_server(address: str) -> None:
    for path in ("/", "/config", "/gradio_api/info"):
        text = httpx.get(address + path, trust_env=False).text
        assert "/tmp/" not in text and "vidcam-app-" not in text and "site-packages" not in text


def test_a_body_that_is_too_long_is_refused(address: str) -> None:
    body = b'{"data": [' + b"0," * 40_000 + b"0]}"
    answer = httpx.post(
        f"{address}/gradio_api/queue/join",
        content=body,
        headers={"Content-Type": "application/json"},
        trust_env=False,
    )
    assert answer.status_code == 413


def test_in_a_network_a_token_is_asked_for() -> None:
    with running(Limits(megabytes=1), "0.0.0.0", "secret-ü") as address, httpx.Client(trust_env=False) as client:
        for path in ("/", "/config", "/gradio_api/startup-events"):
            assert client.get(address + path).status_code == 401
            assert client.get(address + path, params={"token": "wrong"}).status_code == 401
        for method, path in (("POST", "/gradio_api/upload"), ("POST", "/gradio_api/queue/join")):
            assert _status(address, method, path) == 401
        assert _status(address, "GET", "/config", Authorization="Bearer secret") == 401
        first = client.get(address_with("secret-ü", "127.0.0.1", int(address.rsplit(":", 1)[1])))
        assert first.status_code == 200
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "secret" not in cookie
        assert client.get(address + "/config").status_code == 200
        forged = cookie.split(";")[0][:-1] + ("0" if cookie.split(";")[0][-1] != "0" else "1")
        assert _status(address, "GET", "/config", Cookie=forged) == 401
    with running(Limits(megabytes=1), "0.0.0.0") as address:  # there always is one
        assert _status(address, "GET", "/") == 401


def test_the_session_of_another_browser_is_another_session(address: str) -> None:
    with httpx.Client(base_url=address, trust_env=False) as browser:
        browser.get("/")
        key = browser.post("/gradio_api/upload", files={"files": ("a.mp4", b"no video")}).json()[0]
        event = {"data": [{"path": key}], "fn_index": 1, "session_hash": "known"}
        assert browser.post("/gradio_api/run/predict", json=event).status_code == 200
        other = Visitor(address, session="known")
        assert other.explain(key) == ("", "Drop a clip first.")
