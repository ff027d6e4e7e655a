from __future__ import annotations

import io
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.conftest import numbered, wait_until, write_video
from vidcam.app import Desk, Limits, served
from vidcam.demo import demo_clip
from vidcam.errors import ClipError, SettingsError

NAME = "<b>a 'clip' \"&amp;\".mp4"


def _ignored(share: float, what: str) -> None:
    pass


def _upload(folder: Path, name: str = NAME) -> Path:
    folder.mkdir(exist_ok=True)
    upload = folder / name
    upload.write_bytes(demo_clip().read_bytes())
    return upload


def _files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "results").mkdir()
    return Desk(tmp_path / "results", Limits(seconds=4))


def _explain(desk: Desk, upload: Path, target: str = "top") -> tuple[Path, Path]:
    return desk.explain("someone", upload, "playground-r2plus1d", target, "gradcam++", _ignored)


@pytest.mark.slow
def test_a_visitor_has_one_result_until_leaving(desk: Desk, tmp_path: Path) -> None:
    upload = _upload(tmp_path / "uploads")
    report, archive = _explain(desk, upload)
    assert upload.exists()
    names = {f"clip/{NAME}", "curve.csv", "curve.png", "explanation.npz", "overlay.mp4", "report.html", "summary.json"}
    assert {n for n in zipfile.ZipFile(archive).namelist() if not n.endswith("/")} == names
    other, _ = _explain(desk, upload, "jumping - waving")
    assert not report.exists() and other.exists() and len(list(desk.place.iterdir())) == 1
    desk.uploaded("someone", _upload(tmp_path / "more"))
    assert not upload.exists()
    desk.left("someone")
    assert _files(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no video"])
def test_a_broken_upload_gives_the_error_of_the_command_line(desk: Desk, tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    said = subprocess.run(
        [sys.executable, "-m", "vidcam.cli", "explain", broken.name], cwd=tmp_path, capture_output=True, text=True
    ).stderr
    with pytest.raises(ClipError) as caught:
        _explain(desk, broken)
    assert said.strip() == f"error: {caught.value}"
    assert list(desk.place.iterdir()) == []


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv"])  # Matroska does not say how many frames there are
def test_clips_that_are_too_long_are_refused(desk: Desk, tmp_path: Path, name: str) -> None:
    long = write_video(tmp_path / name, [numbered(i, 32, 32) for i in range(4 * 60 + 30)])
    with pytest.raises(SettingsError, match=rf"^{name} has more than 240 frames \(4 s at 60 a second\)"):
        _explain(desk, long)
    assert list(desk.place.iterdir()) == []


def test_pictures_that_are_too_large_are_refused(desk: Desk, tmp_path: Path) -> None:
    small = Desk(desk.place, Limits(pixels=32 * 31))
    with pytest.raises(ClipError, match=r"large\.mp4 has pictures of 32x32 pixels, and at most 992 are taken"):
        _explain(small, write_video(tmp_path / "large.mp4", [numbered(0, 32, 32)]))
    assert list(desk.place.iterdir()) == []


def test_who_leaves_while_a_clip_is_explained_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    upload = _upload(tmp_path / "uploads")

    def leaving(share: float, what: str) -> None:
        desk.left("someone")

    desk.explain("someone", upload, "playground-r2plus1d", "top", "gradcam++", leaving)
    assert _files(tmp_path) == []


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as listening, served("127.0.0.1", Limits(megabytes=1)) as app:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before the server has started waits
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = server.force_exit = True  # also with a page still open, after a test that failed
        thread.join()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """The page in a browser; what it complains of or asks others than this machine for fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    try:
        page.goto(address)
        page.get_by_role("button", name="Explain").wait_for()
        yield page
    finally:
        context.close()
    assert [c for c in complaints if not c.startswith(("data:", "blob:", address))] == []


def _arrived(page: Any) -> None:
    """Until an upload is complete: a link to it appears."""
    page.locator("a[download]").wait_for()


@pytest.mark.slow
def test_a_clip_is_dropped_and_its_overlay_plays(opened: Any, tmp_path: Path) -> None:
    opened.locator("input[type=file]").set_input_files(_upload(tmp_path))
    _arrived(opened)
    opened.get_by_role("button", name="Explain").click()
    opened.get_by_title("vidcam report").wait_for(timeout=60_000)
    report = opened.get_by_title("vidcam report").element_handle().content_frame()
    wait_until(report, "document.getElementById('film').readyState >= 2")
    report.locator("#play").click()
    wait_until(report, "document.getElementById('film').currentTime > 0.5")
    painted = """(() => { const c = document.getElementById('heat');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 == 3 && v > 99); })()"""
    wait_until(report, painted)
    with opened.expect_download() as download:
        opened.get_by_text("Download everything").click()
    content = Path(download.value.path()).read_bytes()
    assert "overlay.mp4" in zipfile.ZipFile(io.BytesIO(content)).namelist()
    place = report.url
    opened.close()
    waited = 0
    while (status := httpx.get(place, trust_env=False).status_code) == 200 and waited < 100:
        time.sleep(0.1)
        waited += 1
    assert status == 404, "what was made for a page that is closed is still there"


@pytest.mark.slow
def test_without_a_clip_there_is_nothing_to_explain(opened: Any) -> None:
    opened.get_by_role("button", name="Explain").click()
    opened.get_by_text("Drop a clip first.").wait_for()


@pytest.mark.slow
def test_what_cannot_be_explained_is_said(opened: Any, tmp_path: Path) -> None:
    broken = tmp_path / "<img src=x onerror=alert(1)>.mp4"
    broken.write_bytes(b"no video")
    opened.locator("input[type=file]").set_input_files(broken)
    _arrived(opened)
    opened.get_by_role("button", name="Explain").click()
    opened.get_by_text("is not a video that can be read").wait_for(timeout=30_000)
    assert opened.locator("img[src=x]").count() == 0


@pytest.mark.slow
def test_a_file_that_is_too_large_does_not_arrive(opened: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(2 * 2**20))
    opened.locator("input[type=file]").set_input_files(large)
    opened.get_by_text("maximum").first.wait_for()


def test_a_page_elsewhere_cannot_use_the_name_of_another(address: str) -> None:
    for host, expected in {"elsewhere.example": 400, "localhost": 200}.items():
        assert httpx.get(address, headers={"Host": host}, trust_env=False).status_code == expected


@pytest.mark.slow
def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        found = subprocess.run(
            [sys.executable, "-m", "vidcam.cli", "app", "--port", port], capture_output=True, text=True
        )
    assert found.returncode == 2 and f"cannot listen at 127.0.0.1:{port}" in found.stderr


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "vidcam.app")
    with pytest.raises(SettingsError, match=r"pip install 'vidcam\[app\]'"):
        import vidcam.app  # noqa: F401
