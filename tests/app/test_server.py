from __future__ import annotations

import io
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import save_file

from tests.app.server import CHOICE, Visitor, running
from tests.conftest import numbered, wait_until, write_video
from vidcam.app import Limits
from vidcam.app.explainer import GONE
from vidcam.app.progress import STEPS
from vidcam.errors import SettingsError
from vidcam.models.registry import load_model
from vidcam.playground.demo import demo_clip


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(Limits(megabytes=1, seconds=4)) as address:
        yield address


def _gone(visitor: Visitor, place: str) -> bool:
    for _ in range(100):
        with suppress(httpx.RemoteProtocolError):  # deleted while it was sent
            if visitor.http.get(place).status_code == 404:
                return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_visitor_has_one_result_until_leaving(address: str) -> None:
    visitor = Visitor(address)
    with visitor.http.stream("GET", f"/gradio_api/heartbeat/{visitor.session}"):
        key = visitor.brought(demo_clip(), "a clip's & name.mp4")
        place, error = visitor.explain(key)
        assert error == ""
        archive = zipfile.ZipFile(io.BytesIO(visitor.http.get(f"{place}/vidcam.zip").content))
        names = {"curve.csv", "curve.png", "explanation.npz", "overlay.mp4", "report.html", "summary.json"}
        assert set(archive.namelist()) == names | {"clip/a clip's & name.mp4"}
        assert archive.read("clip/a clip's & name.mp4") == demo_clip().read_bytes()
        other, error = visitor.explain(key, ["playground-r2plus1d", "jumping - waving", *CHOICE[2:]])
        assert error == "" and visitor.http.get(f"{place}/report.html").status_code == 404
        assert visitor.http.get(f"{other}/report.html").status_code == 200
        newer = visitor.brought(demo_clip())
        assert visitor.explain(newer)[1] == ""
        assert visitor.http.get(f"/gradio_api/file={key}").status_code == 404
    assert _gone(visitor, f"/gradio_api/file={newer}")


@pytest.mark.slow
def test_two_visitors_with_the_same_file_have_a_copy_each(address: str) -> None:
    one, two = Visitor(address), Visitor(address)
    first, second = one.brought(demo_clip()), two.brought(demo_clip())
    assert first != second
    assert one.explain(first)[1] == ""
    assert one.explain(one.brought(b"no video"))[1] != ""  # which deletes the one before it
    assert one.http.get(f"/gradio_api/file={first}").status_code == 404
    assert two.explain(second)[1] == ""


@pytest.mark.slow
def test_an_upload_belongs_to_the_session_that_names_it_first(address: str) -> None:
    owner, other = Visitor(address), Visitor(address)
    key = owner.brought(b"no video")
    assert "is not a video" in owner.explain(key)[1]
    assert other.explain(key) == ("", GONE)
    assert "is not a video" in owner.explain(key)[1]


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no video"])
def test_a_broken_upload_gives_the_error_of_the_command_line(address: str, tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    said = subprocess.run(
        [sys.executable, "-m", "vidcam.cli", "explain", broken.name], cwd=tmp_path, capture_output=True, text=True
    ).stderr
    visitor = Visitor(address)
    assert said.strip() == f"error: {visitor.explain(visitor.brought(content, broken.name))[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["long.mp4", "long.mkv"])  # Matroska does not say how many frames there are
def test_clips_that_are_too_long_are_refused(address: str, tmp_path: Path, name: str) -> None:
    long = write_video(tmp_path / name, [numbered(i, 32, 32) for i in range(4 * 60 + 30)])
    visitor = Visitor(address)
    error = visitor.explain(visitor.brought(long, name))[1]
    assert error.startswith(f"{name} has more than 240 frames (4 s at 60 a second)")


@pytest.mark.slow
def test_limits_of_pictures_time_and_memory(tmp_path: Path) -> None:
    large = write_video(tmp_path / "large.mp4", [numbered(0, 32, 32)])
    for limits, expected in (
        (Limits(pixels=32 * 31), "large.mp4 has pictures of 32x32 pixels, and at most 992 are allowed"),
        (Limits(work_seconds=0.2), "large.mp4 took more than 0.2 s to explain and was ended"),
        (Limits(memory=2**20), "large.mp4 took more than 1 MiB of memory and was ended"),
    ):
        with running(limits) as address:
            visitor = Visitor(address)
            assert expected in visitor.explain(visitor.brought(large, "large.mp4"))[1]


@pytest.mark.slow
def test_who_leaves_ends_the_work_and_leaves_nothing(address: str) -> None:
    long, next_one = Visitor(address), Visitor(address)
    with long.http.stream("GET", f"/gradio_api/heartbeat/{long.session}"):
        key = long.brought(demo_clip())
        long.join([{"path": key}, None, None, None, CHOICE[0], "top5", *CHOICE[2:]]).raise_for_status()
        busy = long.join([{"path": key}, None, None, None, *CHOICE])
        assert busy.status_code == 429 and busy.json() == {"detail": "A clip of yours is being explained; wait for it."}
    assert _gone(long, f"/gradio_api/file={key}")
    assert next_one.explain(next_one.brought(b""))[1].startswith("clip.mp4 is empty")


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """The page in a browser; what it complains of or asks others than this machine for fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    page.on("response", lambda answer: complaints.append(f"{answer.status} {answer.url}") if answer.status > 399 else 0)
    try:
        page.goto(address)
        page.get_by_role("button", name="Explain").wait_for()
        yield page
    finally:
        context.close()
    assert [c for c in complaints if not c.startswith(("data:", "blob:", address))] == []


DROP = "#vidcam-clip input[type=file]"


def _choose(page: Any, network: str) -> None:
    page.get_by_label("Network").click()
    with page.expect_response(lambda answer: "run/predict" in answer.url):  # which sets the class to "top"
        page.get_by_role("option", name=network, exact=True).click()
    page.wait_for_timeout(200)


def _arrived(page: Any) -> None:
    """Until an upload is complete: a link to it appears."""
    page.locator("a[download]").wait_for()


@pytest.mark.slow
def test_a_clip_is_dropped_and_its_overlay_plays(opened: Any) -> None:
    opened.locator(DROP).set_input_files(demo_clip())
    _arrived(opened)
    _choose(opened, CHOICE[0])
    opened.get_by_role("button", name="Explain").click()
    opened.get_by_title("vidcam report").wait_for(timeout=60_000)
    report = opened.get_by_title("vidcam report").element_handle().content_frame()
    wait_until(report, "document.getElementById('film').readyState >= 2")
    wait_until(opened, "!document.querySelector('iframe').style.height.endsWith('rem')")
    report.locator("#play").click()
    wait_until(report, "document.getElementById('film').currentTime > 0.5", 40)
    painted = """(() => { const c = document.getElementById('heat');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 == 3 && v > 99); })()"""
    wait_until(report, painted, 40)
    assert report.evaluate("document.documentElement.scrollHeight <= innerHeight"), "the report has to be scrolled"
    assert report.evaluate("origin") == "null", "the report is of the page's own origin"
    with opened.expect_download() as download:
        # By key: after a click into a sandboxed frame, Chromium may lose one that Playwright sends while it scrolls.
        opened.get_by_text("Download everything").press("Enter")
    assert download.value.suggested_filename == "jumping-jack-vidcam.zip"
    content = Path(download.value.path()).read_bytes()
    assert "overlay.mp4" in zipfile.ZipFile(io.BytesIO(content)).namelist()
    place = report.url
    opened.close()
    with httpx.Client(trust_env=False) as client:
        for _ in range(100):
            if (status := client.get(place).status_code) == 404:
                break
            time.sleep(0.1)
    assert status == 404, "what was made for a page that is closed is still there"


@pytest.mark.slow
def test_a_film_too_large_for_the_report_plays_from_beside_it(browser: Any) -> None:
    free = 25 * 2**20  # an MP4 may have a part that means nothing
    clip = demo_clip().read_bytes() + free.to_bytes(4, "big") + b"free" + bytes(free - 8)
    with running(Limits()) as address:
        visitor = Visitor(address)
        place, error = visitor.explain(visitor.brought(clip, "jump (1).mp4"))
        assert error == ""
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{address}/{place}/report.html")
        wait_until(page, "document.getElementById('film').readyState >= 2")
        assert page.evaluate("document.getElementById('film').currentSrc").endswith("/clip/jump%20%281%29.mp4")
        assert complaints == []
        page.close()
        ranged = visitor.http.get(f"{place}/clip/jump (1).mp4", headers={"Range": "bytes=0-99"})
        assert ranged.status_code == 206 and ranged.content == clip[:100]


@pytest.mark.slow
def test_another_model_has_other_classes(opened: Any) -> None:
    _choose(opened, "r2plus1d_18")
    opened.wait_for_timeout(500)
    opened.get_by_label("Class").click()
    opened.get_by_role("option", name="abseiling", exact=True).wait_for()


@pytest.mark.slow
def test_without_a_clip_or_a_network_there_is_nothing_to_explain(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("Choose a network first.").wait_for()
    _choose(page, CHOICE[0])
    page.get_by_role("button", name="Explain").click()
    page.get_by_text(GONE).wait_for()
    page.close()


@pytest.mark.slow
def test_a_sample_is_shown_and_explained_by_the_network_that_knows_it(opened: Any) -> None:
    assert opened.get_by_label("Network").input_value() == ""
    opened.get_by_label("waving").check()
    wait_until(opened, "document.querySelector('#vidcam-preview video').readyState >= 2")
    assert opened.locator("#vidcam-preview video").evaluate("v => v.currentSrc").endswith("/samples/waving.mp4")
    wait_until(opened, "document.querySelector('input[aria-label=Network]').value === 'playground-r2plus1d'")
    assert opened.get_by_role("note").count() == 0
    opened.get_by_role("button", name="Explain").click()
    seen: set[str] = set()
    for _ in range(600):
        seen |= set(opened.locator(".progress-level-inner").all_inner_texts())
        if opened.get_by_title("vidcam report").count():
            break
        opened.wait_for_timeout(20)
    words = {text.split(" - ")[0] for text in seen}
    assert words and all(text.startswith(tuple(STEPS.values())) for text in words), words
    report = opened.get_by_title("vidcam report").element_handle().content_frame()
    wait_until(report, "document.getElementById('film').readyState >= 2")
    assert report.locator("h1").inner_text() == "waving.mp4" and opened.get_by_role("note").count() == 0


@pytest.mark.slow
def test_a_bundled_network_says_what_it_is_before_it_explains_another_clip(opened: Any) -> None:
    opened.get_by_label("bowing").check()
    wait_until(opened, "document.querySelector('input[aria-label=Network]').value === 'playground-r2plus1d'")
    opened.locator(DROP).set_input_files(demo_clip())
    _arrived(opened)
    wait_until(opened, "document.querySelector('input[aria-label=Network]').value === ''")
    assert not opened.get_by_label("bowing").is_checked(), "the sample is explained in place of the clip"
    _choose(opened, "playground-c3d")
    note = opened.get_by_role("note")
    note.wait_for()
    assert "playground-c3d was trained on rendered figures" in note.inner_text()
    _choose(opened, "r3d_18")
    note.wait_for(state="detached")


@pytest.mark.slow
def test_the_preview_of_a_file_stays_on_the_visitors_machine(opened: Any, tmp_path: Path) -> None:
    opened.locator(DROP).set_input_files(demo_clip())
    _arrived(opened)
    wait_until(opened, "document.querySelector('#vidcam-preview video')?.readyState >= 2")
    assert opened.locator("#vidcam-preview video").evaluate("v => v.currentSrc").startswith("blob:")
    opened.get_by_label("kicking").check()
    wait_until(opened, "document.querySelector('#vidcam-preview video').currentSrc.endsWith('/samples/kicking.mp4')")
    opened.locator("a[download]").wait_for(state="detached")
    page = tmp_path / "page.mp4"
    page.write_text("<script>document.title = 'owned'</script>")
    opened.locator(DROP).set_input_files(page)
    opened.get_by_text("This browser does not play the file").wait_for()
    assert opened.title() == "vidcam"
    opened.get_by_label("Clear").first.click()
    wait_until(opened, "document.getElementById('vidcam-preview').children.length === 0")


@pytest.mark.slow
def test_the_preview_and_the_report_are_of_the_clip_that_is_chosen(opened: Any, tmp_path: Path) -> None:
    explain, report = opened.get_by_role("button", name="Explain"), opened.get_by_title("vidcam report")
    preview = opened.locator("#vidcam-preview video")
    opened.get_by_label("waving").check()
    wait_until(opened, "document.querySelector('input[aria-label=Network]').value === 'playground-r2plus1d'")
    (tmp_path / "large.mp4").write_bytes(bytes(257 << 20))
    opened.locator(DROP).set_input_files(tmp_path / "large.mp4")
    opened.get_by_text("exceed the maximum allowed size").first.wait_for()
    opened.wait_for_timeout(500)
    assert opened.get_by_label("waving").is_checked()
    assert preview.get_attribute("src") == "samples/waving.mp4", "the file was refused; the sample would be explained"
    explain.click()
    report.wait_for(timeout=60_000)
    opened.get_by_label("bowing").check()
    report.wait_for(state="detached", timeout=5000)
    explain.click()
    report.wait_for(timeout=60_000)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    opened.locator(DROP).set_input_files(tmp_path / "broken.mp4")
    _arrived(opened)
    report.wait_for(state="detached", timeout=5000)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_accessible(browser: Any, address: str, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.get_by_label("squatting").check()
    page.get_by_role("button", name="More settings").click()
    wait_until(page, "document.querySelector('#vidcam-preview video').readyState >= 2")
    _choose(page, "playground-gru")
    found = Axe().run(page).response["violations"]
    assert [
        (v["id"], n["html"][:200], n["failureSummary"][:300])
        for v in found
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@pytest.mark.slow
def test_weights_of_a_visitor_and_those_that_are_gone(address: str, tmp_path: Path) -> None:
    visitor, other = Visitor(address), Visitor(address)
    key = visitor.brought(demo_clip())
    weights = visitor.brought(b"no weights", "mine.safetensors")
    visitor.http.post(
        "/gradio_api/run/predict", json={"data": [{"path": weights}], "fn_index": 4, "session_hash": visitor.session}
    )
    said = visitor.explain(key, weights={"path": weights})[1]
    assert said.startswith("weights file mine.safetensors cannot be read as plain parameters")
    answer = other.join([{"path": other.brought(demo_clip())}, None, {"path": weights}, None, *CHOICE])
    assert answer.status_code == 410 and "drop them again" in answer.text, "the weights of somebody else"
    assert visitor.explain(key)[1] == ""
    assert visitor.http.get("/samples/..%2f..%2fREADME.mp4").status_code == 404
    assert visitor.http.get("/samples/bowing.mp4").headers["content-type"] == "video/mp4"


@pytest.mark.slow
def test_a_network_of_ones_own_is_explained_at_a_layer_of_the_list(browser: Any, tmp_path: Path) -> None:
    state = load_model("playground-r2plus1d").network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "mine.safetensors")
    (tmp_path / "names.txt").write_text("".join(f"mine {i}\n" for i in range(11)))
    with running(Limits()) as address:
        page = browser.new_page()
        page.goto(address)
        explain, report = page.get_by_role("button", name="Explain"), page.get_by_title("vidcam report")
        page.get_by_label("waving").check()
        wait_until(page, "document.querySelector('input[aria-label=Network]').value === 'playground-r2plus1d'")
        page.get_by_role("button", name="More settings").click()
        assert page.get_by_label("Layer").input_value() == "auto (layer3)"
        page.get_by_label("Layer").click()
        page.get_by_role("option", name="layer2", exact=True).click()
        page.locator("#vidcam-weights input[type=file]").set_input_files(tmp_path / "mine.safetensors")
        page.locator("#vidcam-weights a[download]").wait_for()
        explain.click()
        report.wait_for(timeout=60_000)
        shown = report.element_handle().content_frame().locator("body").inner_text()
        first = report.get_attribute("src")
        assert "layer2" in shown and shown.count("hold no class labels") == 1
        assert page.get_by_role("note").count() == 0, "the page repeats what the report says"
        page.locator("#vidcam-labels input[type=file]").set_input_files(tmp_path / "names.txt")
        page.locator("#vidcam-labels a[download]").wait_for()
        page.get_by_label("Class", exact=True).fill("mine 3")
        page.get_by_label("Class", exact=True).press("Enter")
        explain.click()
        page.locator(f"iframe:not([src='{first}'])").wait_for(timeout=60_000)
        shown = report.element_handle().content_frame().locator("body").inner_text()
        assert "mine 3" in shown and "hold no class labels" not in shown
        page.close()


@pytest.mark.slow
def test_what_cannot_be_explained_is_said(opened: Any, tmp_path: Path) -> None:
    broken = tmp_path / "<img src=x onerror=alert(1)>.mp4"
    broken.write_bytes(b"no video")
    opened.locator(DROP).set_input_files(broken)
    _arrived(opened)
    _choose(opened, CHOICE[0])
    opened.get_by_role("button", name="Explain").click()
    opened.get_by_text("is not a video that can be read").wait_for(timeout=30_000)
    assert opened.locator("img[src=x]").count() == 0


@pytest.mark.slow
def test_the_report_before_is_not_shown_beside_an_error(opened: Any) -> None:
    explain, report = opened.get_by_role("button", name="Explain"), opened.get_by_title("vidcam report")
    opened.get_by_label("waving").check()
    wait_until(opened, "document.querySelector('input[aria-label=Network]').value === 'playground-r2plus1d'")
    explain.click()
    report.wait_for(timeout=60_000)
    opened.get_by_label("Class").fill("flying")
    opened.get_by_label("Class").press("Enter")
    explain.click()
    opened.get_by_text("is not one of the model's").wait_for(timeout=30_000)
    report.wait_for(state="detached", timeout=5000)


@pytest.mark.slow
def test_a_file_that_is_too_large_does_not_arrive(opened: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(2 * 2**20))
    opened.locator(DROP).set_input_files(large)
    opened.get_by_text("maximum").first.wait_for()


@pytest.mark.slow
def test_a_refusal_is_shown_as_it_is_written(browser: Any) -> None:
    with running(Limits(megabytes=1, uploads=1)) as address:
        page = browser.new_page()
        page.goto(address)
        _choose(page, CHOICE[0])
        page.get_by_label("Class").fill("x" * 300)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Explain").click()
        page.get_by_text("A class has 1 to 200 characters.").wait_for()
        Visitor(address).brought(b"")
        page.locator(DROP).set_input_files(demo_clip())
        page.get_by_text("There is no room for another clip now").first.wait_for()
        page.close()


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
    monkeypatch.delitem(sys.modules, "vidcam.app.server")
    monkeypatch.delattr("vidcam.app.server")
    with pytest.raises(SettingsError, match=r"pip install 'vidcam\[app\]'"):
        from vidcam.app import serve  # noqa: F401
