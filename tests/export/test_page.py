from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.conftest import numbered, wait_until, write_video
from tests.export.conftest import assert_opens_with_a_loaded_film, localization, serious
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, OutputError
from vidcam.explainer import explain
from vidcam.export.page import View, write_report
from vidcam.models.preprocess import Preprocess
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import distinct, segments_of
from vidcam.video.reader import Clip, Frame
from vidcam.video.source import ArraySource

HOSTILE = "</script><script>window.hacked = 1</script> \"quoted\" 'too' 💃 שלום"
FRAMES, RATE = 40, 10
PREPROCESS = Preprocess(128, (96, 112), (0.43, 0.39, 0.38), (0.2, 0.2, 0.25), bgr=True)


def _explanations(path: Path) -> list[Explanation]:
    """Two classes of a clip of 40 frames: heat that wanders to the right, and heat that stays at the top left."""
    times = np.arange(FRAMES) / RATE
    wandering, staying = np.zeros((2, FRAMES, 4, 4), np.float32)
    wandering[np.arange(FRAMES), 2, np.arange(FRAMES) * 4 // FRAMES] = np.linspace(1, 3, FRAMES)
    staying[:, 0, 0] = 1
    found = []
    for index, (label, maps) in enumerate([(HOSTILE, wandering), ("stays", staying)]):
        scores = np.clip(np.linspace(-0.5, 1.5, FRAMES), 0.1, 0.9).astype(np.float32)
        found.append(
            explanation(
                maps,
                clip=path,
                size=(96, 128),
                target=ExplainedTarget(index, label, 0.6 - 0.2 * index),
                top=((HOSTILE, 0.6), ("stays", 0.4)),
                region=(16.0, 0.0, 112.0, 96.0),
                times=times,
                scores=scores,
                warnings=(f"{HOSTILE} is a note",),
            )
        )
    return found


def _clip(folder: Path, name: str = "clip.mp4", **options: Any) -> Path:
    return write_video(folder / name, [numbered(i, 96, 128) for i in range(FRAMES)], **options)


class _Texts(HTMLParser):
    """Every text of a page, by the element it is in; the elements that were seen."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = ""
        self.elements: list[str] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.inside = tag
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.inside, []).append(data)


def _data(page: Path) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert text is not None
    return json.loads(text[1])


def test_everything_is_in_the_page_and_text_is_text(tmp_path: Path) -> None:
    clip = _clip(tmp_path, "<img src=x onerror=alert(1)> \"'💃 שלום.mp4")
    page = write_report(_explanations(clip), tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.html"]
    read = _Texts()
    read.feed(page.read_text(encoding="utf-8"))
    assert read.texts["title"][0] == f"{clip.name} · vidcam" and read.texts["h1"][0] == clip.name
    assert HOSTILE in read.texts["span"] and read.elements.count("script") == 2 and "img" not in read.elements
    data = _data(page)
    assert [view["label"] for view in data["views"]] == [HOSTILE, "stays"]
    assert data["edges"] == pytest.approx([n / RATE for n in range(FRAMES + 1)])
    maps = np.frombuffer(base64.b64decode(data["views"][0]["maps"]), np.uint8).reshape(FRAMES, 4, 4)
    assert maps.max() == 255 and maps[0].max() == 85  # one scale over the whole clip
    assert set(data["thumbs"]) == {str(f) for view in data["views"] for f in view["strongest"]}
    films = re.findall(r'<video id="film" src="([^"]*)"', page.read_text(encoding="utf-8"))
    assert base64.b64decode(films[0].removeprefix("data:video/mp4;base64,")) == clip.read_bytes()


def test_the_strongest_frames_are_apart(tmp_path: Path) -> None:
    strongest = _data(write_report(_explanations(_clip(tmp_path)), tmp_path))["views"][0]["strongest"]
    assert strongest[-1] == FRAMES - 1 and len(strongest) == 6
    assert min(np.diff(strongest)) >= (FRAMES - 1) // 10


def test_the_strongest_frames_are_a_tenth_of_the_clip_apart_and_have_a_quarter_of_the_highest_evidence() -> None:
    times = np.arange(21.0) / 2  # a tenth of the clip is one second: two frames
    evidence = np.array([9, 10, 8, 7, 1, 2.5, 0, 2.6, 0, 0, 0, 5, 0, 5, 0, 0, 0, 0, 0, 4, 0.5])
    assert _view(evidence).strongest(times) == [1, 3, 7, 11, 13, 19]
    assert _view(np.where(evidence == 2.6, 2.5, evidence)).strongest(times) == [1, 3, 11, 13, 19]
    assert _view(np.full(21, 2.0)).strongest(times) == [0, 2, 4, 6, 8, 10], "six at most"
    assert _view(np.zeros(21)).strongest(times) == []
    assert _view(np.ones(1)).strongest(times[:1]) == [0]


def _view(evidence: np.ndarray) -> View:
    return View(
        ExplainedTarget(0, "a", 0.5),
        "probability 0.500",
        "how",
        evidence,
        evidence,
        (),
        np.ones((len(evidence), 1, 1)),
        1.0,
        1.0,
    )


def test_what_a_browser_does_not_play_is_turned_into_what_it_does(tmp_path: Path) -> None:
    clip = _clip(tmp_path, "clip.avi", codec="mpeg4", audio="mp2")
    page = write_report(_explanations(clip), tmp_path / "out")
    film = re.findall(r'src="data:video/mp4;base64,([^"]*)"', page.read_text(encoding="utf-8"))[0]
    (tmp_path / "film.mp4").write_bytes(base64.b64decode(film))
    made = Clip(tmp_path / "film.mp4")
    assert (made.codec, made.has_audio, made.width, made.height) == ("h264", True, 128, 96)
    assert [f.time for f in made] == pytest.approx([f.time for f in Clip(clip)])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("name", "codec", "expected"), [("a b.mp4", "libx264", "../a%20b.mp4"), ("c.avi", "mpeg4", "report.mp4")]
)
def test_a_large_film_is_referred_to(tmp_path: Path, name: str, codec: str, expected: str) -> None:
    page = write_report(_explanations(_clip(tmp_path, name, codec=codec)), tmp_path / "out", embedded=100)
    text = page.read_text(encoding="utf-8")
    assert f'src="{expected}"' in text and f"beside this page: {expected}" in text
    assert (tmp_path / "out" / "report.mp4").exists() == (expected == "report.mp4")


def test_a_localization_has_the_heat_curves_and_segments_of_its_classes(tmp_path: Path) -> None:
    found = localization(_clip(tmp_path), FRAMES, (96, 128))
    page = write_report(found, tmp_path / "out")
    data = _data(page)
    assert [view["label"] for view in data["views"]] == ["waving", "bowing"]
    assert [view["segments"] for view in data["views"]] == [[[0.0, 2.0, 0.8]], [[2.0, 4.0, 0.6]]]
    for view, maps, scores in zip(data["views"], found.maps, found.scores):
        shown = np.frombuffer(base64.b64decode(view["maps"]), np.uint8).reshape(maps.shape)
        np.testing.assert_allclose(shown, 255 * maps / maps.max(), atol=0.51)
        assert view["scores"] == pytest.approx(scores.tolist(), abs=1e-4)
        assert view["evidence"] == pytest.approx((scores / scores.max()).tolist(), abs=1e-4)
        assert view["bounded"] is True and view["grid"] == [3, 4]
    text = page.read_text(encoding="utf-8")
    assert text.index("highest score 0.800") < text.index("highest score 0.600") and "probability 0." not in text
    assert "gradcam++ at l" in text


def test_one_explanation_is_written_without_a_list(tmp_path: Path) -> None:
    found = _explanations(_clip(tmp_path))[0]
    pages = [write_report(given, tmp_path / name) for name, given in (("one", found), ("list", [found]))]
    assert pages[0].read_text(encoding="utf-8") == pages[1].read_text(encoding="utf-8")


def test_nothing_is_left_of_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    clip = _clip(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(_explanations(clip), tmp_path / "file")
    clip.unlink()
    with pytest.raises(ClipError, match="does not exist"):
        write_report(_explanations(clip), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_clip_that_changed(tmp_path: Path) -> None:
    found = _explanations(_clip(tmp_path))
    write_video(tmp_path / "clip.mp4", [numbered(i, 96, 128) for i in range(FRAMES - 10)])
    with pytest.raises(ClipError, match="has changed"):
        write_report(found, tmp_path / "out")
    write_video(tmp_path / "clip.mp4", [numbered(i, 64, 64) for i in range(FRAMES)])
    with pytest.raises(ClipError, match="has changed"):
        write_report(found, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_pictures_are_those_of_the_strongest_frames(tmp_path: Path) -> None:
    data = _data(write_report(_explanations(_clip(tmp_path)), tmp_path / "out"))
    assert len(data["thumbs"]) > 6
    for frame, picture in data["thumbs"].items():
        with Image.open(BytesIO(base64.b64decode(picture))) as image:
            assert image.size == (128, 96)
            brightness = np.asarray(image.convert("L"))[:, 8:56].mean()
        assert brightness == pytest.approx(20 + 8 * (int(frame) % 28), abs=3), frame


def test_a_page_tells_its_figures(tmp_path: Path) -> None:
    clip = _clip(tmp_path, sample_aspect_ratio=Fraction(3, 2))
    found = [
        replace(
            e, computation={"dtype": "float32", "agreement": 0.1234567, "none": None}, preprocess=asdict(PREPROCESS)
        )
        for e in _explanations(clip)
    ]
    page = write_report(found, tmp_path / "out")
    read = _Texts()
    read.feed(page.read_text(encoding="utf-8"))
    assert "m · 40 frames, 4.0 s" in read.texts["p"]
    assert [t for t in read.texts["span"] if t.startswith("probability")] == ["probability 0.600", "probability 0.400"]
    classes, cells = [[text for text in read.texts[element] if text.strip()] for element in ("th", "td")]
    assert cells[:2] == [HOSTILE, "stays"] and dict(zip(classes[2:], cells[2:], strict=True)) == {
        "model": "m", "weights": "none", "length": "40", "stride": "1", "sampling rate": "1", "dtype": "float32",
        "agreement": "0.12346", "frame rate": "0, assumed", "film": "0.0 MiB",
        "preprocessing": "shorter side to 128 pixels, central 112x96, BGR times 0.003922, mean 0.43, 0.39, 0.38, "
        "deviation 0.2, 0.2, 0.25",
    }  # fmt: skip
    assert [t.split()[-1].rstrip(",") for t in read.texts["span"] if t.startswith(" gradcam++ at l 3")] == ["3"]
    data = _data(page)
    assert (data["size"], data["aspect"]) == ([128, 96], 2.0)
    assert [view["region"] for view in data["views"]] == [[16.0, 0.0, 112.0, 96.0]] * 2
    for name in ("inferno", "viridis", "cividis", "magma", "plasma"):
        colours = np.frombuffer(base64.b64decode(data["colours"][name]), np.uint8).reshape(256, 3)
        np.testing.assert_allclose(colours, 255 * matplotlib.colormaps[name](np.arange(256))[:, :3], atol=1)
    for view in data["views"]:
        assert view["grid"] == [4, 4] and view["bounded"] is True


@pytest.mark.parametrize(("resize", "said"), [((128, 171), "to 171x128 pixels"), (128, "shorter side to 128 pixels")])
def test_a_localization_says_the_preprocessing(tmp_path: Path, resize: int | tuple[int, int], said: str) -> None:
    preprocess = Preprocess(resize, (112, 96), (104.0, 117.0, 128.5), (1.0,) * 3, scale=1.0)
    found = replace(localization(_clip(tmp_path), FRAMES, (96, 128)), preprocess=asdict(preprocess))
    read = _Texts()
    read.feed(write_report(found, tmp_path / "out").read_text(encoding="utf-8"))
    assert f"{said}, central 96x112, RGB times 1, mean 104, 117, 128.5, deviation 1, 1, 1" in read.texts["td"]


def test_a_note_after_which_a_report_means_nothing_comes_first_and_stands_out(tmp_path: Path) -> None:
    notes = ("the clip is short", "m has random weights: its explanations mean nothing", "another")
    found = [replace(e, warnings=notes) for e in _explanations(_clip(tmp_path))]
    page = write_report(found, tmp_path / "out").read_text(encoding="utf-8")
    shown = re.findall(r'<p class="(warning[^"]*)" dir="auto">(.*?)</p>', page)
    assert shown == [("warning caution", notes[1]), ("warning", notes[0]), ("warning", notes[2])]
    assert page.index("warning caution") < page.index("<video")


def test_it_opens_with_the_colours_of_the_film(tmp_path: Path) -> None:
    found = [replace(e, drawing=Drawing(colormap="cividis")) for e in _explanations(_clip(tmp_path))]
    page = write_report(found, tmp_path / "out").read_text(encoding="utf-8")
    assert re.findall(r"<option selected>(\w+)<", page) == ["cividis"] and page.count("<option>") == 4


def test_curves_and_segments_are_on_the_clock_of_the_film(tmp_path: Path) -> None:
    """The page's clock begins at 0 with the first frame, which lies at 2 s here."""
    clip = _clip(tmp_path, pts=[20 + n for n in range(FRAMES)])
    found = [replace(e, times=2 + e.times, clip=str(clip)) for e in _explanations(clip)]
    data = _data(write_report(found, tmp_path / "out"))
    assert data["edges"] == pytest.approx([n / RATE for n in range(FRAMES + 1)])
    view = data["views"][0]
    assert view["scores"] == pytest.approx(found[0].scores.tolist(), abs=1e-4)
    assert view["evidence"] == pytest.approx((found[0].evidence / found[0].evidence.max()).tolist(), abs=1e-4)
    best = distinct(segments_of(combined_curve(found[0].scores, found[0].evidence), found[0].times, HOSTILE))
    assert len(best) > 0
    assert view["segments"] == [pytest.approx([s.start - 2, s.end - 2, s.score], abs=1e-4) for s in best]
    assert all(0 <= start < end <= 4.001 for start, end, _ in view["segments"])


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.avi", "mpeg4")])
def test_the_clip_is_decoded_once(tmp_path: Path, decoded: Callable[[], int], name: str, codec: str) -> None:
    clip = _clip(tmp_path, name, codec=codec)
    write_report(_explanations(clip), tmp_path / "out")
    assert decoded() == FRAMES
    _explanations(clip)[0]._repr_html_()
    assert decoded() == 2 * FRAMES


def test_a_picture_is_in_the_page_whole(tmp_path: Path) -> None:
    pixels = np.full((300, 400, 3), 90, np.uint8)
    pixels[:, 200:] = 180
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    found = explanation(np.ones((1, 2, 2)), clip=tmp_path / "picture.png", size=(300, 400))
    text = write_report([found], tmp_path / "out").read_text(encoding="utf-8")
    (picture,) = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', text)
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels).mean() < 2


def test_the_film_of_the_page_has_the_frames_of_the_clip(tmp_path: Path) -> None:
    clip = _clip(tmp_path, "clip.avi", codec="mpeg4")
    write_report(_explanations(clip), tmp_path / "out", embedded=0)
    for frame, shown in zip(Clip(clip), Clip(tmp_path / "out" / "report.mp4"), strict=True):
        assert np.abs(frame.pixels.astype(int) - shown.pixels).mean() < 3 and frame.time == pytest.approx(shown.time)


class Late(ArraySource):
    """Frames in memory that begin at 2 s."""

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            late = round(2 / self.time_base)
            yield replace(frame, time=frame.time + 2, pts=frame.pts + late)

    def reopened(self) -> Late:
        return Late(self.frames, float(self.frame_rate), self.name)


def test_the_film_of_frames_in_memory_begins_with_them_and_that_of_a_file_keeps_its_times(tmp_path: Path) -> None:
    source = Late([numbered(i, 96, 128) for i in range(FRAMES)], RATE)
    found = [replace(e, times=2 + e.times, source=source, clip=source.name) for e in _explanations(tmp_path / "none")]
    write_report(found, tmp_path / "array", embedded=0)
    times = [f.time for f in Clip(tmp_path / "array" / "report.mp4")]
    assert times == pytest.approx([n / RATE for n in range(FRAMES)])
    clip = _clip(tmp_path, "clip.mkv", codec="ffv1", pixel_format="bgra", pts=[20 + n for n in range(FRAMES)])
    found = [replace(e, times=2 + e.times) for e in _explanations(clip)]
    write_report(found, tmp_path / "file", embedded=0)
    times = [f.time for f in Clip(tmp_path / "file" / "report.mp4")]
    assert times == pytest.approx([2 + n / RATE for n in range(FRAMES)])


def test_a_film_with_an_odd_side_is_made_even_and_its_pictures_are_thumbnails(tmp_path: Path) -> None:
    ramp = np.linspace(0, 150, 301 * 483).reshape(301, 483, 1).astype(np.uint8)  # from the top to the bottom
    frames = [np.repeat(40 + 15 * i + ramp, 3, axis=2) for i in range(4)]
    path = write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pixel_format="bgra")
    found = explanation(np.ones((4, 2, 2)), clip=path, size=(301, 483))
    data = _data(write_report([found], tmp_path / "out", embedded=0))
    film = Clip(tmp_path / "out" / "report.mp4")
    assert (film.height, film.width) in ((300, 482), (300, 484), (302, 482), (302, 484))
    for frame, pixels in zip(film, frames, strict=True):
        scaled = cv2.resize(pixels, (film.width, film.height), interpolation=cv2.INTER_AREA)
        assert np.abs(frame.pixels.astype(int) - scaled).max() < 8
    for index, picture in data["thumbs"].items():
        with Image.open(BytesIO(base64.b64decode(picture))) as image:
            assert image.size in ((240, 149), (240, 150))
            scaled = cv2.resize(frames[int(index)], image.size, interpolation=cv2.INTER_AREA)
            assert np.abs(np.asarray(image).astype(int) - scaled).max() < 8


def test_a_value_has_its_unit_and_no_probability_and_no_segments(tmp_path: Path) -> None:
    (found, _) = _explanations(_clip(tmp_path))
    scores = np.linspace(-3e-7, 4e6, found.frames)
    found = replace(found, target=ExplainedTarget(0, "age", None, 29.45098, "years"), top=(), scores=scores)
    page = write_report([found], tmp_path / "out")
    (view,) = _data(page)["views"]
    assert (view["bounded"], view["unit"], view["segments"]) == (False, "years", [])
    np.testing.assert_allclose(view["scores"], scores, rtol=1e-5)
    text = page.read_text(encoding="utf-8")
    assert "value 29.45 years" in text and "Predictions" not in text and "probability 2" not in text


@pytest.mark.parametrize("spare", [0, -1])
def test_a_film_is_embedded_up_to_the_largest_size(tmp_path: Path, spare: int) -> None:
    clip = _clip(tmp_path)
    page = write_report(_explanations(clip), tmp_path / "out", embedded=clip.stat().st_size + spare)
    assert ('src="data:video/mp4' in page.read_text(encoding="utf-8")) == (spare == 0)
    made = _clip(tmp_path, "clip.avi", codec="mpeg4")
    write_report(_explanations(made), tmp_path / "made", embedded=0)
    size = (tmp_path / "made" / "report.mp4").stat().st_size
    write_report(_explanations(made), tmp_path / "made2", embedded=size + spare)
    assert (tmp_path / "made2" / "report.mp4").exists() == (spare == -1)


def test_the_size_of_a_film_is_told_in_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 96, 128, 3), np.uint8)
    clip = write_video(tmp_path / "clip.mp4", list(noise), options={"crf": "1"})
    page = write_report(_explanations(clip), tmp_path / "out").read_text(encoding="utf-8")
    assert clip.stat().st_size > 2**19 and f">{clip.stat().st_size / 2**20:.1f} MiB<" in page


def test_a_film_that_is_there_is_not_replaced_by_that_of_the_page(tmp_path: Path) -> None:
    clip = _clip(tmp_path, "clip.mp4", codec="mpeg4")  # no browser plays it
    before = clip.read_bytes()
    write_report(_explanations(clip), tmp_path, embedded=0)
    assert clip.read_bytes() == before and (tmp_path / "report.mp4").exists()


def test_a_notebook_shows_the_page_in_a_frame(tmp_path: Path) -> None:
    shown = _explanations(_clip(tmp_path, "clip.avi", codec="mpeg4"))[0]._repr_html_()
    frame = _Texts()
    frame.feed(shown)
    assert frame.elements == ["iframe"]
    page = html.unescape(re.findall(r'srcdoc="([^"]*)"', shown)[0])
    assert page.startswith("<!doctype html>") and 'src="data:video/mp4;base64,' in page


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return write_report(_explanations(_clip(folder, "<b>clip.mp4")), folder / "out")


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Any]:
    """The page in a browser; whatever it complains of or asks the network for fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(written.as_uri())
    wait_until(page, "document.getElementById('film').readyState >= 2")
    yield page
    context.close()
    assert [c for c in complaints if not c.startswith(("data:", written.as_uri()))] == []


def _heat(page: Any) -> np.ndarray:
    """The pixels of the heat, (H, W, 4)."""
    page.wait_for_timeout(80)
    height, width, values = page.evaluate(
        """() => { const c = document.getElementById('heat');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let s = ''; for (let i = 0; i < d.length; i += 32768) s += String.fromCharCode(...d.subarray(i, i + 32768));
        return [c.height, c.width, btoa(s)]; }"""
    )
    return np.frombuffer(base64.b64decode(values), np.uint8).reshape(height, width, 4)


def _frame(page: Any) -> int:
    """The frame that is seen, by the clip's own brightness."""
    page.wait_for_timeout(150)
    level = page.evaluate(
        """() => { const v = document.getElementById('film'), c = document.createElement('canvas');
        [c.width, c.height] = [128, 96]; const x = c.getContext('2d'); x.drawImage(v, 0, 0, 128, 96);
        return x.getImageData(20, 48, 1, 1).data[0]; }"""
    )
    return round((level - 20) / 8)


def _click_curve(page: Any, share: float) -> None:
    box = page.locator("#curve").bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.03, 0.4, 0.68])
def test_a_click_on_the_curve_goes_there(opened: Any, share: float) -> None:
    _click_curve(opened, share)
    wanted = share * FRAMES
    assert abs(_frame(opened) % 28 - int(wanted) % 28) <= 1
    assert f"frame {int(wanted)}" in opened.locator("#clock").inner_text()


@pytest.mark.slow
def test_a_film_that_is_loaded_before_the_script_runs(browser: Any, written: Path) -> None:
    assert_opens_with_a_loaded_film(browser, written, "#strip button")


@pytest.mark.slow
def test_it_opens_at_the_frame_with_the_strongest_heat(opened: Any) -> None:
    assert _frame(opened) % 28 == (FRAMES - 1) % 28
    assert f"frame {FRAMES - 1}" in opened.locator("#clock").inner_text() and _heat(opened)[..., 3].max() > 100


@pytest.mark.slow
def test_the_heat_is_that_of_the_film_between_the_cells(opened: Any, written: Path) -> None:
    _click_curve(opened, 0.95)
    opened.locator("#blend").fill("100")
    heat = _heat(opened)[..., 3].astype(np.float32) / 255
    expected = _explanations(written)[0].heatmap(int(0.95 * FRAMES))
    expected = cv2.resize(expected, heat.shape[::-1], interpolation=cv2.INTER_LINEAR)
    inside = slice(
        int(0.14 * heat.shape[1]), int(0.86 * heat.shape[1])
    )  # the edge of the region is softened by the browser
    assert np.abs(heat - expected)[:, inside].max() < 0.06 and np.abs(heat - expected)[:, inside].mean() < 0.01


@pytest.mark.slow
def test_the_heat_is_where_it_was_stored_and_follows_the_controls(opened: Any) -> None:
    _click_curve(opened, 0.95)
    heat = _heat(opened)
    height, width = heat.shape[:2]
    y, x = np.unravel_index(heat[..., 3].argmax(), (height, width))
    assert x / width == pytest.approx((16 + 3.5 / 4 * 96) / 128, abs=0.06)
    assert y / height == pytest.approx(2.5 / 4, abs=0.1)
    assert heat[:, : int(0.12 * width), 3].max() == 0, "outside the region that the network sees there is no heat"
    opened.locator("#blend").fill("20")
    assert 0 < _heat(opened)[..., 3].max() < 0.4 * heat[..., 3].max()
    opened.locator("#blend").fill("0")
    assert _heat(opened)[..., 3].max() == 0
    opened.locator("#blend").fill("70")
    opened.locator("#colours").select_option("viridis")
    assert (_heat(opened)[..., :3] != heat[..., :3]).any()
    assert opened.locator("#scale").is_visible() and opened.locator("#end").inner_text() == "3"
    opened.get_by_role("radio", name="stays").check()
    assert opened.locator("#end").inner_text() == "1"
    other = _heat(opened)
    y, x = np.unravel_index(other[..., 3].argmax(), (height, width))
    assert x < 0.4 * width and y < 0.3 * height


@pytest.mark.slow
def test_every_number_has_its_name(opened: Any, written: Path) -> None:
    """Of the clip a probability, of a frame a score and its evidence, of a segment a confidence."""
    found = _explanations(written)[0]
    assert opened.locator(".view").first.inner_text().splitlines()[1].startswith("probability 0.600")
    _click_curve(opened, 0.7)
    index = int(0.7 * FRAMES)
    assert opened.locator("#score").inner_text() == f"score {found.scores[index]:.2f}"
    assert opened.locator("#evidence").inner_text() == f"evidence {found.evidence[index]:.3g}"
    strongest = _data(written)["views"][0]["strongest"]
    assert opened.locator("#strip button").all_inner_texts() == [
        f"{i / RATE:.2f} s · evidence {found.evidence[i]:.3g}, score {found.scores[i]:.2f}" for i in strongest
    ]
    curve = combined_curve(found.scores, found.evidence)
    assert opened.locator("#segments button").all_inner_texts() == [
        f"{s.start:.2f} to {s.end:.2f} s · confidence {s.score:.3f}"
        for s in distinct(segments_of(curve, found.times, HOSTILE))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "scheme"), [(96, 128, "light"), (256, 96, "dark"), (64, 256, "light")])
def test_a_report_is_printed_on_one_page(browser: Any, tmp_path: Path, height: int, width: int, scheme: str) -> None:
    clip = write_video(tmp_path / "clip.mp4", [numbered(i, height, width) for i in range(FRAMES)])
    found = [replace(e, size=(height, width), region=(0.0, 0.0, width, height)) for e in _explanations(clip)]
    many = [replace(e, target=ExplainedTarget(k, f"class {k}", 0.1)) for k, e in enumerate(found * 15)]
    notes = tuple(f"note {k} is long enough to fill a line of the page, or nearly so" for k in range(8))
    many[0] = replace(many[0], warnings=notes)
    page = browser.new_context(color_scheme=scheme).new_page()
    page.goto(write_report(many, tmp_path / "out").as_uri())
    wait_until(page, "document.getElementById('film').readyState >= 2")
    for paper in ("A4", "Letter"):
        assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper))) == 1, paper
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1046})  # A4 less its margins, in CSS pixels
    boxes = {name: page.locator(name).bounding_box() for name in ("#picture", "#scale", "#curve", "#strip", "details")}
    tops = [box["y"] for box in boxes.values()]
    assert tops == sorted(tops) and boxes["details"]["y"] + boxes["details"]["height"] < 1046
    assert boxes["#picture"]["width"] / boxes["#picture"]["height"] == pytest.approx(width / height, rel=0.02)
    assert boxes["#picture"]["height"] > 100 and page.locator(".view:visible").count() == 1
    assert not page.locator("#play").is_visible() and page.locator(".warning:visible").count() == 9
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize(("count", "length", "shown"), [(12, 250, 12), (60, 52, 37), (40, 300, 13), (2, 6000, 0)])
def test_long_notes_leave_the_report_on_one_page(
    browser: Any, tmp_path: Path, count: int, length: int, shown: int
) -> None:
    texts = [f"note {k}" for k in range(count - 1)] + ["m has random weights: its explanations mean nothing"]
    notes = [f"{text} {'and its answer means little here ' * 200}"[:length].strip() for text in texts]
    one, other = _explanations(_clip(tmp_path))
    page = browser.new_page()
    page.goto(write_report([replace(one, warnings=tuple(notes)), replace(other, warnings=())], tmp_path).as_uri())
    assert page.locator(".warning:visible").count() == count and not page.locator(".paper").is_visible()
    for paper in ("A4", "Letter"):
        assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper))) == 1, paper
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1046})
    assert page.locator(".warning:visible").count() == shown
    if shown:
        assert "caution" in page.locator(".warning").first.get_attribute("class"), (
            "what changes everything is not first"
        )
    said = page.locator(".paper").all_inner_texts()
    assert said == ([f"and {count - shown} more on the page, not in print"] if shown < count else [])
    page.close()


@pytest.mark.slow
def test_keys_and_a_stretch_that_is_repeated(opened: Any) -> None:
    _click_curve(opened, 0.5)
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")
    assert "frame 22" in opened.locator("#clock").inner_text()
    opened.keyboard.press("ArrowLeft")
    assert "frame 21" in opened.locator("#clock").inner_text()
    box = opened.locator("#curve").bounding_box()
    opened.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 60)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 60)
    opened.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 60)
    opened.mouse.up()
    assert opened.locator("#whole").is_visible()
    opened.locator("#play").click()
    for _ in range(6):
        opened.wait_for_timeout(200)
        assert 0.7 <= opened.evaluate("document.getElementById('film').currentTime") <= 1.4
    opened.locator("#whole").click()
    assert not opened.locator("#whole").is_visible()
    wait_until(opened, "document.getElementById('film').currentTime > 1.5")


@pytest.mark.slow
def test_names_run_nothing(opened: Any) -> None:
    assert opened.evaluate("window.hacked") is None
    assert opened.locator(".view .name").first.inner_text() == HOSTILE


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_stands_in_anyones_way(browser: Any, written: Path, scheme: str, width: int) -> None:
    assert serious(browser, written, scheme, width) == []


@pytest.mark.slow
def test_the_report_of_a_stretch_has_the_stretch_as_its_film(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", [numbered(i, 48, 64) for i in range(30)], codec="mpeg4")
    found = explain(Clip(path, start=1.0, end=2.0))
    write_report([found], tmp_path, embedded=0)
    assert [f.time for f in Clip(tmp_path / "report.mp4")] == pytest.approx(np.arange(10) / 10)
