from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import OutputError
from vidcam.export.overlay import Overlay
from vidcam.export.results import write_explanations
from vidcam.export.slides import SlideOutputs, copies_of, frames_at, frames_of_highlights, highlights
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.video.reader import Clip
from vidcam.video.source import ArraySource

FRAMES, RATE, SIZE = 30, 10, (288, 384)


def _found(folder: Path, drawing: Drawing, **changes: Any) -> Explanation:
    """Three seconds; the score and the heat are high from 1 s to 2 s."""
    clip = write_video(folder / "clip.mp4", [numbered(i, *SIZE) for i in range(FRAMES)])
    inside = (np.arange(FRAMES) >= 10) & (np.arange(FRAMES) < 20)
    maps = np.zeros((FRAMES, 3, 4))
    maps[inside, 1, 2] = 2.0
    scores = np.where(inside, 0.9, 0.05).astype(np.float32)
    return explanation(maps, clip=clip, size=SIZE, scores=scores, drawing=drawing, **changes)


def _expected(found: Explanation, frame: int, size: tuple[int, int]) -> np.ndarray:
    """A frame of the overlay in another size, (height, width, 3)."""
    pixels = next(f.pixels for f in found.opened() if f.index == frame)
    drawn = Overlay(found).draw(pixels, frame)
    return cv2.resize(drawn, size[::-1], interpolation=cv2.INTER_AREA)


def test_frames_of_a_rate() -> None:
    times = np.arange(50) / 25
    assert frames_at(times, 5) == {5 * k: 200 * k for k in range(10)}
    assert frames_at(times, 60)[1] == 50 and sorted(frames_at(times, 60)) == list(range(50)), "no frame is shown twice"
    assert frames_at(times + 7, None) == {k: 40 * k for k in range(50)}
    assert frames_at(np.array([3.0]), 10) == {0: 0}
    uneven = frames_at(np.array([0.0, 0.04, 1.0, 1.01, 2.0]), 2)
    assert uneven == {0: 0, 1: 500, 2: 1000, 3: 1500, 4: 2000}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gif", "webp"])
def test_a_film_for_a_slide_has_the_pictures_size_and_rate_that_were_asked_for(tmp_path: Path, name: str) -> None:
    found = _found(tmp_path, Drawing(format=name, film_width=200, film_rate=5))
    found.save(tmp_path / "out")
    height = 2 * round(Overlay(found).size[0] * 200 / 384 / 2)
    with Image.open(tmp_path / "out" / f"overlay.{name}") as film:
        assert film.size == (200, height) and film.info["loop"] == 0, "it repeats without end"
        pictures, times = [], []
        for picture in ImageSequence.Iterator(film):
            pictures.append(np.asarray(picture.convert("RGB")).astype(int))
            times.append(picture.info.get("duration"))
    assert len(pictures) == 15 and set(times[1:]) == {200}
    for k in (1, 7, 12):
        soft = [
            cv2.GaussianBlur(p.astype(np.float32), (0, 0), 2)
            for p in (pictures[k], _expected(found, 2 * k, (height, 200)))
        ]
        assert np.abs(soft[0] - soft[1]).mean() < 4
    hot, cold = pictures[7][: height // 2].sum(2), pictures[2][: height // 2].sum(2)
    assert (hot - cold).max() > 200, "heat from 1 s to 2 s"


@pytest.mark.slow
def test_a_webm_has_all_frames_at_their_times(tmp_path: Path) -> None:
    found = _found(tmp_path, Drawing(format="webm"))
    outputs = found.save(tmp_path / "out")
    film = Clip(tmp_path / "out" / "overlay.webm")
    frames = list(film)
    assert film.codec == "vp9" and (film.height, film.width) == Overlay(found).size
    np.testing.assert_allclose([f.time for f in frames], np.arange(FRAMES) / RATE, atol=0.002)
    for ours, theirs in zip(frames[::7], list(Clip(outputs.overlay))[::7]):
        assert np.abs(ours.pixels.astype(int) - theirs.pixels).mean() < 6


@pytest.mark.slow
def test_highlights_are_the_strong_segments_one_after_the_other(tmp_path: Path) -> None:
    found = _found(tmp_path, Drawing(highlights=True))
    (segment,) = highlights(found)
    assert segment.start == pytest.approx(1, abs=0.11) and segment.end == pytest.approx(2, abs=0.11)
    found.save(tmp_path / "out")
    frames = list(Clip(tmp_path / "out" / "highlights.mp4"))
    wanted = frames_of_highlights(found)
    assert [round(1000 * f.time) for f in frames] == list(wanted.values()) == [100 * k for k in range(len(wanted))]
    for frame, index in zip(frames, wanted):
        assert np.abs(frame.pixels.astype(int) - _expected(found, index, Overlay(found).size)).mean() < 4


def test_segments_follow_each_other_without_a_gap() -> None:
    strong = np.isin(np.arange(60) // 10, (1, 4))
    maps = np.where(strong, 1.0, 0.0)[:, None, None] * np.ones((60, 2, 2))
    found = explanation(maps, scores=np.where(strong, 0.9, 0.0).astype(np.float32))
    assert [(round(s.start), round(s.end)) for s in highlights(found)] == [(1, 2), (4, 5)]
    frames = frames_of_highlights(found)
    assert list(frames) == [*range(10, 20), *range(40, 50)] and list(frames.values()) == [100 * k for k in range(20)]


@pytest.mark.slow
def test_highlights_of_a_value_are_cut_from_the_evidence_and_of_no_heat_there_are_none(tmp_path: Path) -> None:
    value = ExplainedTarget(0, "age", None, 30.0, "years")
    maps = np.zeros((20, 2, 2))
    maps[4:9] = 3.0
    assert [(s.start, s.end) for s in highlights(explanation(maps, target=value))] == [
        (pytest.approx(0.4), pytest.approx(0.9))
    ]
    cold = _found(tmp_path, Drawing(highlights=True, format="gif"), evidence=np.zeros(FRAMES, np.float32))
    cold.save(tmp_path / "out")
    assert not SlideOutputs.within(tmp_path / "out").highlights.exists()
    outputs = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["outputs"]
    assert "highlights" not in outputs and outputs["gif"].endswith("overlay.gif")


def test_nothing_more_is_written_than_asked_for_and_nothing_is_replaced(tmp_path: Path) -> None:
    found = _found(tmp_path, Drawing())
    found.save(tmp_path / "out")
    assert not [p for p in vars(SlideOutputs.within(tmp_path / "out")).values() if p.exists()]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "overlay.gif").write_text("mine")
    with pytest.raises(OutputError, match=r"already holds overlay\.gif"):
        write_explanations([found], tmp_path / "other")


def test_a_film_of_an_earlier_explanation_does_not_stay_beside_a_new_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("overlay.gif", "highlights.mp4", "mine.gif"):
        (out / name).write_text("earlier")
    _found(tmp_path, Drawing()).save(out, overwrite=True)
    assert not (out / "overlay.gif").exists() and not (out / "highlights.mp4").exists() and (out / "mine.gif").exists()


def test_films_for_slides_are_small_if_nothing_else_is_said() -> None:
    clip = ArraySource(np.zeros((4, 400, 1280, 3), np.uint8), 25.0)
    for drawing, widths in (
        (Drawing(format="webm,gif,webp"), [1280, 640, 640]),
        (Drawing(format="webm,gif", film_width=800), [800, 800]),
    ):
        overlay = Overlay(explanation(np.ones((4, 2, 2)), size=(400, 1280), drawing=drawing))
        copies = copies_of(overlay, Path("out"), clip)
        assert [copy.size[1] for copy in copies] == widths
        assert [float(copy.frame_rate) for copy in copies] == [25, 10, 10][: len(copies)]


def test_a_picture_has_the_grid_alone() -> None:
    wanted = SlideOutputs.within(Path("out")).wanted(Drawing(format="gif,png", highlights=True), image=True)
    assert wanted == {"png": Path("out/strongest.png")}
