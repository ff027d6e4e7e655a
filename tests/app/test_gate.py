from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.app.server import Visitor, running
from vidcam.app import Limits
from vidcam.app.explainer import GONE
from vidcam.app.gate import address_with
from vidcam.app.listening import listening_at


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(Limits(megabytes=1)) as address:
        yield address


def _status(address: str, method: str, path: str, **headers: str) -> int:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, address + path, headers=names, trust_env=False).status_code


@pytest.mark.parametrize(
    "host",
    [
        "elsewhere.example",
        "elsewhere.example:7860",
        "",
        "127.0.0.1.elsewhere.example",
        "[::1]elsewhere.example:80",
        "127.0.0.1:7860.elsewhere.example",
        "localhost:1@elsewhere.example",
        "localhost:80/elsewhere",
        "localhost:",
    ],
)
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


@pytest.mark.slow
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
        event = {"data": [{"path": key}, None], "fn_index": 1, "session_hash": "known"}
        assert browser.post("/gradio_api/run/predict", json=event).status_code == 200
        other = Visitor(address, session="known")
        assert other.explain(key) == ("", GONE)


@pytest.mark.parametrize(
    "cookie", ['a="' + "\\a" * 7000 + '"', "a=b;" * 4000, 'a="' + "\\" * 60_000 + '"', "x" * 60_000]
)
def test_a_long_cookie_is_answered(address: str, cookie: str) -> None:
    """A cookie that took time in the square of its length would take minutes, and the client gives up after seconds."""
    assert _status(address, "GET", "/favicon.ico", Cookie=cookie) == (431 if len(cookie) > 16384 else 200)


def test_a_cookie_among_others_is_found(address: str) -> None:
    ours = httpx.get(address, trust_env=False).headers["set-cookie"].split(";")[0]
    for cookie in (ours, f"a=b; {ours}", f'a="{ours}; {ours};b', f"{ours}; x{ours}"):
        assert "set-cookie" not in httpx.get(address, headers={"Cookie": cookie}, trust_env=False).headers
    for cookie in (f"x{ours}", f"{ours}0", ours.replace("=", " =")):
        assert "set-cookie" in httpx.get(address, headers={"Cookie": cookie}, trust_env=False).headers


def test_a_query_of_many_fields_shows_no_token() -> None:
    with running(Limits(megabytes=1), "0.0.0.0", "secret") as address:
        assert _status(address, "GET", "/?" + "&".join(f"a{i}=1" for i in range(25))) == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_visit_from_elsewhere_replaces_no_cookie(address: str, site: str) -> None:
    for headers, status in (
        ({"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": site}, 200),
        ({"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "iframe"}, 403),
    ):
        answer = httpx.get(address, headers=headers, trust_env=False)
        assert answer.status_code == status and "set-cookie" not in answer.headers


@pytest.mark.slow
def test_a_link_elsewhere_opens_the_page_and_keeps_the_cookie(browser: Any) -> None:
    with running(Limits(megabytes=1), "0.0.0.0", "secret") as address:
        elsewhere = address.replace("127.0.0.1", "localhost")  # another site
        context = browser.new_context()
        page = context.new_page()
        kept = []
        for _ in range(2):
            page.goto(f"{elsewhere}/nowhere")
            page.set_content(f'<a href="{address}/?token=secret">link</a>')
            page.get_by_text("link").click()
            page.get_by_role("button", name="Explain").wait_for()
            cookies = [c["value"] for c in context.cookies() if c["domain"] == "127.0.0.1"]
            kept.append(cookies)
        assert len(kept[0]) == 1 and kept[0] == kept[1]
        context.close()


def test_addresses_of_both_kinds_are_written_as_a_browser_wants_them() -> None:
    assert address_with(None, "::1", 80) == "http://[::1]:80"
    assert address_with("a", "10.0.0.1", 80) == "http://10.0.0.1:80/?token=a"


def test_it_listens_at_either_kind_of_address() -> None:
    for host in ("127.0.0.1", "localhost", *(["::1"] if socket.has_ipv6 else [])):
        with listening_at(host, 0) as listening:
            listening.listen()
            socket.create_connection(listening.getsockname()[:2]).close()
