from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, OutputError
from vidcam.export.overlay import Overlay
from vidcam.export.strip import GROUND
from vidcam.export.text import text_width, write_text
from vidcam.export.tubes import SHOWN, save_tubes, with_boxes
from vidcam.results.explanation import Explanation
from vidcam.temporal.tubes import Tube
from vidcam.video.reader import Clip

BOX = np.array([192.0, 96.0, 288.0, 192.0])  # left, top, right, bottom


def _found(folder: Path, frames: int = 10) -> Explanation:
    clip = write_video(folder / "clip.mp4", [numbered(0, 288, 384)] * frames)
    return explanation(np.zeros((frames, 2, 2)), clip=clip, size=(288, 384), times=np.arange(frames) / 10)


def test_tubes_as_files(tmp_path: Path, decoded: Callable[[], int]) -> None:
    found = _found(tmp_path)
    tube = Tube("<b>waving", 0.75, 2, np.tile(BOX, (5, 1)))
    outputs = save_tubes(found, [tube], tmp_path / "out")
    assert decoded() == 10
    stored = json.loads(outputs.tubes.read_text(encoding="utf-8"))["tubes"]
    assert [(t["label"], t["score"], t["start_frame"], t["end_frame"], t["boxes"]) for t in stored] == [
        ("<b>waving", 0.75, 2, 7, tube.boxes.tolist())
    ]
    facts = json.loads(outputs.tubes.read_text(encoding="utf-8"))
    assert {k: v for k, v in facts.items() if k != "tubes"} == {
        "clip": found.clip, "size": [288, 384], "model": "m", "method": "gradcam++", "layer": "l",
    }  # fmt: skip
    assert (stored[0]["start_s"], stored[0]["end_s"]) == (0.2, 0.7)
    frames = [frame.pixels for frame in Clip(outputs.film)]
    assert len(frames) == 10
    for index, pixels in enumerate(frames):
        edge, outside = pixels[180, 192:195].max(), pixels[180, 300:310].max()
        assert (edge > 90) == (2 <= index < 7) and outside < 40
    with pytest.raises(OutputError, match="already holds"):
        save_tubes(found, [tube], tmp_path / "out")


def test_each_box_has_its_own_colour_and_moves_with_its_tube() -> None:
    found = explanation(np.zeros((3, 2, 2)), size=(288, 384))
    overlay = Overlay(found)
    moving = BOX + np.array([[0, 0, 0, 0], [40, 0, 40, 0], [80, 0, 80, 0]])
    tubes = [Tube("a", 0.5, 0, np.tile(BOX - 90, (3, 1))), Tube("b", 0.25, 1, moving[:2])]
    colours = matplotlib.colormaps["Set2"](np.arange(2), bytes=True)[:, :3]
    for frame in range(3):
        picture = with_boxes(overlay.draw(np.zeros((288, 384, 3), np.uint8), frame), overlay, tubes, frame)
        for number, tube in enumerate(tubes):
            if tube.start <= frame:
                left, top, right, bottom = tube.boxes[frame - tube.start].astype(int)
                middle = (top + bottom) // 2
                for x in (left, right - 1):
                    assert np.abs(picture[middle, x].astype(int) - colours[number]).max() <= 2
        assert (picture[144, 192] != 0).any() == (frame == 1), "the second tube begins at frame 1 and moves on"


@pytest.mark.parametrize(("size", "line", "text"), [((288, 384), 2, 12), ((900, 1600), 5, 44)])
def test_a_box_has_its_number_and_score_within_its_corner(size: tuple[int, int], line: int, text: int) -> None:
    overlay = Overlay(explanation(np.zeros((3, 2, 2)), size=size))
    tubes = [Tube("a", 0.5, 0, np.tile([0.0, 0, 9, 9], (1, 1))), Tube("b", 0.257, 1, np.tile(BOX, (2, 1)))]
    picture = with_boxes(np.zeros((*overlay.size, 3), np.uint8), overlay, tubes, 1)
    expected = np.zeros_like(picture)
    colour = tuple(int(c) for c in matplotlib.colormaps["Set2"](1, bytes=True)[:3])
    cv2.rectangle(expected, (192, 96), (287, 191), colour, line, cv2.LINE_AA)
    margin = round(text / 4)
    last = 192 + text_width("2  confidence 0.26", text) + 2 * margin - 1, 96 + text + 2 * margin - 1
    cv2.rectangle(expected, (192, 96), last, colour, -1)
    write_text(expected, "2  confidence 0.26", (192 + margin, 96 + margin + text // 2), text, GROUND, anchor="lm")
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("place", [(380.0, 280.0), (-20.0, -30.0), (5.0, 3.0)])
def test_a_label_is_dark_on_light_and_whole_wherever_its_box_begins(place: tuple[float, float]) -> None:
    left, top = place
    overlay = Overlay(explanation(np.ones((1, 2, 2)), size=(288, 384)))
    tube = Tube("a", 0.5, 0, np.array([[left, top, left + 20, top + 30]]))
    picture = with_boxes(overlay.draw(np.full((288, 384, 3), 250, np.uint8), 0), overlay, [tube], 0)
    colour = np.array(matplotlib.colormaps["Set2"](0, bytes=True)[:3], int)
    width, height, margin = text_width("1  confidence 0.50", 12) + 6, 18, 3
    x, y = max(0, min(int(left), 384 - width)), max(0, int(top))
    label = picture[y : y + height, x : x + width].astype(int)
    assert (np.abs(label[:margin] - colour).max(), np.abs(label[:, :margin] - colour).max()) == (0, 0)
    assert (np.abs(label - GROUND).max(2) < 30).sum() > 20, "its text is as dark as the strip"


def test_there_are_eight_colours() -> None:
    overlay = Overlay(explanation(np.zeros((1, 2, 2)), size=(288, 384)))
    tubes = [Tube("a", 0.5, 0, np.tile(BOX if n == 8 else [0.0, 0, 1, 1], (1, 1))) for n in range(9)]
    picture = with_boxes(np.zeros((*overlay.size, 3), np.uint8), overlay, tubes, 0)
    np.testing.assert_array_equal(picture[190, 240], matplotlib.colormaps["Set2"](0, bytes=True)[:3])


def test_the_best_tubes_are_drawn_and_all_are_stored(tmp_path: Path) -> None:
    found = _found(tmp_path, 2)
    places = [np.array([8.0 + 40 * n, 8.0, 38.0 + 40 * n, 200.0]) for n in range(SHOWN + 1)]
    outputs = save_tubes(found, [Tube("a", 0.5, 0, np.tile(p, (2, 1))) for p in places], tmp_path / "out")
    assert len(json.loads(outputs.tubes.read_text(encoding="utf-8"))["tubes"]) == SHOWN + 1
    row = next(iter(Clip(outputs.film))).pixels[150].astype(int)
    background = numbered(0, 288, 384)[150].astype(int)
    drawn = [np.abs(row[int(p[0]) : int(p[0]) + 3] - background[int(p[0])]).max() > 60 for p in places]
    assert drawn == [True] * SHOWN + [False]


def test_nothing_is_left_of_tubes_of_a_clip_that_changed(tmp_path: Path) -> None:
    found = _found(tmp_path)
    write_video(tmp_path / "clip.mp4", [numbered(0, 288, 384)] * 8)
    with pytest.raises(ClipError, match="8 of 10 frames match"):
        save_tubes(found, [], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
