from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from tests.conftest import numbered, wait_until, write_video
from tests.export.conftest import serious
from tests.results.test_explanation import explanation
from vidcam.export.misclassifications import confusions, errors_page, save_errors, summarize
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.misclassification import Misclassification, Side
from vidcam.video.reader import Clip

HOSTILE = "<script>alert(1)</script> \"'"


def _error(clip: str, true: str, predicted: str, confidence: float) -> Misclassification:
    return Misclassification(clip, 0, Side(true, 0.1, 0.2, 0.3), Side(predicted, confidence, 0.4, 0.5), 0.2, None)


def test_the_most_frequent_confusion_comes_first_and_in_it_the_surest() -> None:
    errors = [
        _error("a", "x", "y", 0.95),
        _error("b", "x", "z", 0.6),
        _error("c", "x", "z", 0.8),
        _error("d", "z", "x", 0.9),
    ]
    found = confusions(errors)
    assert [(c.true, c.predicted, [e.clip for e in c.errors]) for c in found] == [
        ("x", "z", ["c", "b"]),
        ("x", "y", ["a"]),
        ("z", "x", ["d"]),
    ]
    assert found[0].probability == pytest.approx(0.7)


def test_what_it_sums_up_to() -> None:
    errors = [_error("a", "x", "y", 0.9), replace(_error("b", "x", "y", 0.7), kept=None, removed=None)]
    found = summarize(errors, 8)
    assert (found["errors"], found["accuracy"], found["probability_predicted"]) == (2, 0.75, pytest.approx(0.8))
    assert (found["restored_by_share"], found["restored_by_possible"]) == (pytest.approx(0.6), 0.5)
    assert summarize([], 8) == {"clips": 8, "errors": 0, "accuracy": 1}
    expected = {
        "clips": 8, "errors": 2, "accuracy": 0.75, "probability_true": 0.1, "probability_predicted": 0.8,
        "insertion_auc_true": 0.2, "insertion_auc_predicted": 0.4, "highest_confidence_true": 0.3,
        "highest_confidence_predicted": 0.5, "kept_share": 0.6, "kept_possible": 0.5, "removed_share": 1,
        "removed_possible": 0, "restored_by_share": 0.6, "restored_by_possible": 0.5,
    }  # fmt: skip
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


def test_a_page_tells_its_figures() -> None:
    errors = [_error("a", "x", "y", 0.9), replace(_error("b", "x", "y", 0.7), kept=None, removed=0.48)]
    page = errors_page(
        errors, {"b": "films/b 1/compare.mp4"}, {"b": "films/b 1/compare.html"}, clips=8, model="m", how="gradcam at l"
    )
    text = " ".join(re.sub("<[^>]*>", " ", page.split("<body>")[1]).split())
    assert "2 of 8 clips · gradcam at l" in text and "x y 2 0.800" in text
    first, second = text.split(" probability ")[-2:]
    assert "0.100 0.900 insertion 0.200 0.400 highest 0.300 0.500" in first
    assert "Showing 20 % of the window alone corrects the prediction; hiding a part does not." in first
    assert (
        "0.100 0.700" in second
        and "Hiding 48 % of the window corrects the prediction; showing a part alone does not." in second
    )
    assert page.count("Its film is not among") == 1 and 'src="films/b%201/compare.mp4"' in page
    assert page.count('href="films/b%201/compare.html"') == 1
    neither = errors_page([replace(errors[0], kept=None)], {}, {}, clips=8, model="m", how="h")
    assert "Neither showing nor hiding a part corrects the prediction." in neither
    both = errors_page([replace(errors[0], removed=0.48)], {}, {}, clips=8, model="m", how="h")
    assert "Showing 20 % of the window alone corrects the prediction; so does hiding 48 %." in both


@pytest.mark.slow
def test_clips_of_one_stem_have_films_of_their_own(tmp_path: Path) -> None:
    errors = [_error(name, "x", "y", 0.9 - n / 10) for n, name in enumerate(["a.mp4", "a.avi", "b.mp4"])]
    seen: list[tuple[int, int]] = []
    shown = {}
    for n, error in enumerate(errors):
        frames = [np.full((48, 64, 3), 60 + 60 * n, np.uint8)] * 2
        clip = write_video(tmp_path / f"{n}.mp4", frames)
        empty = explanation(np.zeros((2, 2, 2)), clip=clip, size=(48, 64))
        shown[error.clip] = [empty, replace(empty, method="other")]
    out = tmp_path / "out"
    page = save_errors(errors, 4, out, lambda e: shown[e.clip], "m", "h", 2, lambda *n: seen.append(n))
    films = re.findall(r'<video src="([^"]*)"', page.read_text(encoding="utf-8"))
    assert len(films) == 2 and seen == [(0, 2), (1, 2)]
    for n, film in enumerate(films):
        assert next(iter(Clip(out / film))).pixels[100, 100] == pytest.approx(60 + 60 * n, abs=4)
    save_errors(errors, 4, out, lambda e: shown[e.clip], "m", "h", 9, lambda *n: seen.append(n))
    assert seen[2:] == [(0, 3), (1, 3), (2, 3)]


def test_names_are_text() -> None:
    page = errors_page([_error(HOSTILE, HOSTILE, "y", 0.9)], {}, {}, clips=3, model=HOSTILE, how="m at l")
    assert page.count("<script>") == 1 and "<script>alert" not in page and page.count("&lt;script&gt;") >= 3


@pytest.mark.slow
def test_a_page_with_films_of_the_worst_errors(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [numbered(i, 48, 64) for i in range(6)])
    errors = [_error("3 a.mp4", "waving", "bowing", 0.9), _error("b.mp4", "waving", "bowing", 0.6)]
    asked: list[str] = []

    def explained(error: Misclassification) -> list[Explanation]:
        asked.append(error.clip)
        return [
            explanation(np.ones((6, 2, 2)), clip=clip, size=(48, 64), target=ExplainedTarget(n, side.label, 0.5))
            for n, side in enumerate((error.true, error.predicted))
        ]

    for _ in range(2):  # a film that is there stays
        page = save_errors(errors, 4, tmp_path / "out", explained, "m", "gradcam++ at l", 1)
        (film,) = re.findall(r'<video src="([^"]*)"', page.read_text(encoding="utf-8"))
        assert film == "films/3%20a.mp4/compare.mp4" and asked == ["3 a.mp4"]
    assert len(list(Clip(page.parent / unquote(film)))) == 6


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errors")
    clip = write_video(folder / "clip.mp4", [numbered(i, 96, 128) for i in range(20)])
    shown = [explanation(np.ones((20, 2, 2)), clip=clip, size=(96, 128), method=method) for method in ("a", "b")]
    errors = [_error("clip.mp4", "waving", "bowing", 0.9)]
    return save_errors(errors, 4, folder / "out", lambda error: shown, "m", "gradcam++ at l", 1)


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Any]:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(written.as_uri())
    wait_until(page, "document.querySelector('video').readyState >= 2")
    yield page
    page.close()
    assert complaints == []


@pytest.mark.slow
def test_a_film_has_its_controls_below_it(opened: Any) -> None:
    """The strip of the film, with names and curves, is not covered."""
    film, controls = opened.locator("video"), opened.locator(".film .bar")
    assert film.get_attribute("controls") is None
    box = film.bounding_box()
    assert controls.bounding_box()["y"] >= box["y"] + box["height"]
    opened.get_by_role("slider", name="time").fill("0.5")
    wait_until(opened, "Math.abs(document.querySelector('video').currentTime - 1) < 0.1")
    wait_until(opened, "document.querySelector('input[type=range]').getAttribute('aria-valuetext') === '1.00 s'")
    opened.get_by_role("button", name="Play").click()
    wait_until(opened, "document.querySelector('video').currentTime > 1.3")
    opened.get_by_role("button", name="Pause").click()
    assert opened.evaluate("document.querySelector('video').paused")


@pytest.mark.slow
def test_a_link_opens_both_maps_with_a_divider(opened: Any) -> None:
    opened.get_by_role("link", name="Both maps over one frame").click()
    opened.get_by_role("slider", name="Divider between left and right").wait_for()


@pytest.mark.slow
def test_the_errors_page_is_printed_dark_on_white_with_clips_whole(browser: Any, written: Path) -> None:
    film = written.parent / "films" / "clip.mp4" / "compare.mp4"
    errors = [_error(f"clip {k}.mp4", f"a class of a long name {k // 2}", "bowing", 0.9) for k in range(12)]
    films = {error.clip: film.relative_to(written.parent).as_posix() for error in errors}
    many = written.with_name("many.html")
    many.write_text(errors_page(errors, films, {}, clips=20, model="m", how="gradcam++ at l"), encoding="utf-8")
    page = browser.new_context(color_scheme="dark").new_page()
    page.goto(many.as_uri())
    wait_until(page, "[...document.querySelectorAll('video')].every((video) => video.readyState >= 2)")
    for paper in ("A4", "Letter"):
        pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper)))
        assert 3 <= pages <= 6, f"12 films on {pages} pages of {paper}"
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 702, "height": 1031})  # A4 less its margins, in CSS pixels
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(style.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(style.format("body", "color")) == "rgb(27, 27, 36)"
    assert float(page.evaluate(style.format("td", "fontSize"))[:-2]) > 11, "smaller than 8 points"
    assert page.evaluate(style.format("article", "breakInside")) == "avoid"
    assert not page.get_by_role("button").first.is_visible() and not page.locator(".seek").first.is_visible()
    film_box, text_box = (page.locator(name).first.bounding_box() for name in ("article video", "article table"))
    assert film_box["x"] + film_box["width"] <= text_box["x"], "figures are not beside the film"
    assert page.evaluate("document.documentElement.scrollWidth") <= 702
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_errors_page_is_accessible(browser: Any, written: Path, scheme: str, width: int) -> None:
    assert serious(browser, written, scheme, width) == []
