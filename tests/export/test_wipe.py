from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import numbered, wait_until, write_video
from tests.export.conftest import assert_opens_with_a_loaded_film, serious
from tests.results.test_explanation import explanation
from vidcam.export.compare import compare
from vidcam.results.explanation import ExplainedTarget, Explanation

FRAMES, RATE = 20, 10
HOSTILE = "</script><b>waving"


def _explanations(clip: Path) -> list[Explanation]:
    """Two classes of one unit: heat on the whole left half, growing, and a quarter of it on the right; a method of another unit."""
    left, right = np.zeros((2, FRAMES, 4, 4), np.float32)
    left[..., :2] = np.linspace(1, 4, FRAMES)[:, None, None]
    right[..., 2:] = 1
    common = {"clip": clip, "size": (96, 128), "times": np.arange(FRAMES) / RATE, "warnings": ("a note",)}
    scores = np.linspace(0.1, 0.9, FRAMES).astype(np.float32)
    one = explanation(left, target=ExplainedTarget(0, HOSTILE, 0.5), scores=scores, **common)
    two = explanation(right, target=ExplainedTarget(1, "bowing", 0.2), scores=1 - scores, **common)
    return [one, two, replace(one, method="layercam", maps=100 * one.maps, evidence=100 * one.evidence)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wipe")
    clip = write_video(folder / "clip.mp4", [numbered(i, 96, 128) for i in range(FRAMES)])
    return compare(_explanations(clip), folder / "out").page


def _data(page: Path) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert text is not None
    return json.loads(text[1])


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(written.as_uri())
    wait_until(page, "document.getElementById('film').readyState >= 2")
    page.wait_for_timeout(200)
    yield page
    page.close()
    assert complaints == []


def _shown(page: Any, side: str, x: float, y: float = 0.5) -> int:
    """The opacity of the heat of a side at a place of the picture, 0 where it is clipped."""
    return int(
        page.evaluate(
            """([side, x, y]) => { const c = document.getElementById(side);
            const share = parseFloat(document.getElementById("picture").style.getPropertyValue("--wipe")) / 100;
            if (side === "left" ? x > share : x < share) return 0;
            return c.getContext("2d").getImageData(x * c.width, y * c.height, 1, 1).data[3]; }""",
            [side, x, y],
        )
    )


def test_both_sides_of_one_unit_have_one_scale(written: Path) -> None:
    one, two, other = _data(written)["panes"]
    assert [pane["end"] for pane in (one, two, other)] == ["4", "4", "400"]
    assert one["unit_of_heat"] == two["unit_of_heat"] != other["unit_of_heat"]
    for pane, found, peak in zip((one, two, other), _explanations(written), (4, 4, 400)):
        maps = np.frombuffer(base64.b64decode(pane["maps"]), np.uint8).reshape(found.maps.shape)
        np.testing.assert_allclose(maps, found.maps / peak * 255, atol=0.51)
        assert pane["how"] == f"{found.target.named()} · {found.method} at l of m"
        assert pane["scores"] == pytest.approx(found.scores.tolist(), abs=1e-4)
    assert "<b>waving" not in written.read_text(encoding="utf-8") and "a note" in written.read_text(encoding="utf-8")


def test_a_picture_and_a_clip_that_no_browser_plays(tmp_path: Path) -> None:
    Image.fromarray(numbered(3, 96, 128)).save(tmp_path / "picture.png")
    one = explanation(np.ones((1, 2, 2)), clip=tmp_path / "picture.png", size=(96, 128))
    page = compare([one, replace(one, method="other")], tmp_path / "out").page.read_text(encoding="utf-8")
    assert 'src="data:image/jpeg;base64,' in page and 'id="play"' not in page
    clip = write_video(tmp_path / "clip.avi", [numbered(i, 96, 128) for i in range(FRAMES)], codec="mpeg4")
    outputs = compare(_explanations(clip), tmp_path / "film")
    assert 'src="data:video/mp4;base64,' in outputs.page.read_text(encoding="utf-8") and not outputs.clip.exists()


@pytest.mark.slow
def test_it_opens_at_the_strongest_heat_with_each_side_on_its_own_half(opened: Any) -> None:
    assert opened.locator("#clock").inner_text() == f"{(FRAMES - 1) / RATE:.2f} s, frame {FRAMES - 1}"
    assert opened.locator("#left-now").inner_text() == "score 0.90, evidence 2"
    assert opened.locator("#right-now").inner_text() == "score 0.10, evidence 0.5"
    assert _shown(opened, "left", 0.2) == pytest.approx(0.7 * 255, abs=3)
    assert _shown(opened, "right", 0.8) == pytest.approx(0.7 * 255 / 4, abs=3), (
        "a quarter of the heat of the other class"
    )
    assert _shown(opened, "left", 0.8) == _shown(opened, "right", 0.2) == 0
    clips = [opened.evaluate(f"getComputedStyle(document.getElementById('{s}')).clipPath") for s in ("left", "right")]
    assert [re.sub(r"\s", "", clip) for clip in clips] == ["inset(0px50%0px0px)", "inset(0px0px0px50%)"]


@pytest.mark.slow
def test_a_film_that_is_loaded_before_the_script_runs(browser: Any, written: Path) -> None:
    assert_opens_with_a_loaded_film(browser, written, "#wipe")


@pytest.mark.slow
def test_the_divider_is_a_slider_for_keys(opened: Any) -> None:
    wipe = opened.get_by_role("slider", name="Divider between left and right")
    wipe.focus()
    for key, expected in (
        ("ArrowLeft", 49),
        ("PageUp", 59),
        ("PageDown", 49),
        ("End", 100),
        ("ArrowRight", 100),
        ("Home", 0),
    ):
        opened.keyboard.press(key)
        assert wipe.get_attribute("aria-valuenow") == str(expected), key
    assert wipe.get_attribute("aria-valuetext").startswith("0 % of the picture show </script><b>waving")
    assert _shown(opened, "left", 0.2) == 0


@pytest.mark.slow
def test_the_divider_follows_the_pointer(opened: Any) -> None:
    box = opened.locator("#picture").bounding_box()
    at = [box["x"] + share * box["width"] for share in (0.5, 0.8, 0.25)]
    opened.mouse.move(at[0], box["y"] + 50)
    opened.mouse.down()
    opened.mouse.move(at[1], box["y"] + 90)
    assert opened.locator("#wipe").get_attribute("aria-valuenow") == "80"
    handle = opened.locator("#wipe").bounding_box()
    assert handle["x"] + handle["width"] / 2 == pytest.approx(at[1], abs=2)
    opened.mouse.up()
    opened.mouse.move(at[2], box["y"] + 90)
    assert opened.locator("#wipe").get_attribute("aria-valuenow") == "80", "the pointer was let go"
    opened.mouse.click(at[2], box["y"] + 90)
    assert opened.locator("#wipe").get_attribute("aria-valuenow") == "25"


@pytest.mark.slow
def test_other_sides_times_and_scales(opened: Any) -> None:
    assert "one scale of colours" in opened.locator("#scales").inner_text()
    opened.locator("#right-pane").select_option(index=2)
    assert opened.locator("#right-end").inner_text() == "400" and "of its own" in opened.locator("#scales").inner_text()
    opened.get_by_role("slider", name="time").fill("5")
    wait_until(opened, "document.getElementById('clock').textContent === '0.50 s, frame 5'")
    assert opened.locator("#right-how").inner_text() == "probability 0.500 · layercam at l of m"
    opened.get_by_role("button", name="One frame on").click()
    assert opened.locator("#clock").inner_text() == "0.60 s, frame 6"
    opened.get_by_label("heat", exact=True).fill("0")
    assert _shown(opened, "left", 0.2) == 0


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_compare_page_is_accessible(browser: Any, written: Path, scheme: str, width: int) -> None:
    assert serious(browser, written, scheme, width) == []
