from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from vidcam.live.frame import LiveFrame
from vidcam.live.lines import segment_lines, window_lines
from vidcam.live.segments import OnlineSegment
from vidcam.live.step import Step
from vidcam.live.window import ExplainedWindow
from vidcam.video.windows import Windowing

_SEGMENT = OnlineSegment("wave", 1.0, None, 0.75, 1.25)
_WINDOW = ExplainedWindow(
    2, 0, 0.5, 1.5, Windowing(4, 2), np.array([[0.1, 0.2, 0.0], [0.6, 0.1, 0.0]], np.float32), {}, {}, 0.0421
)
_FRAME = LiveFrame(7, 2, 1.25, 0.0, 0.0, 10.0, np.zeros((2, 2, 3), np.uint8))
_STEP = Step(_FRAME, "wave", 0.6, None, None, 0.25, 1.0, (_SEGMENT,), (), (_WINDOW,), 0.9)


def test_a_window_is_a_line_with_its_best_classes_and_what_is_shown() -> None:
    (line,) = window_lines(_STEP, ["wave", "bow", "nod"], probabilities=True)
    assert json.loads(json.dumps(line)) == line
    assert line["scores"][:2] == [{"label": "wave", "score": 0.6}, {"label": "bow", "score": 0.2}]
    assert (line["begins"], line["ends"], line["stretch"], line["network_s"]) == (0.5, 1.5, 2, 0.042)
    assert (line["time"], line["delay"], line["label"], line["score"]) == (1.25, 0.9, "wave", 0.6)
    assert line["segments"] == [{"label": "wave", "start": 1.0, "end": None, "score": 0.75, "opened_after": 1.25}]


def test_values_keep_the_order_of_the_network() -> None:
    (line,) = window_lines(_STEP, ["wave", "bow", "nod"], probabilities=False)
    assert [entry["label"] for entry in line["scores"]] == ["wave", "bow", "nod"]


def test_a_step_without_a_new_window_has_no_line_and_ended_segments_have_their_own() -> None:
    assert not list(window_lines(replace(_STEP, windows=()), ["wave", "bow", "nod"], probabilities=True))
    (line,) = segment_lines([replace(_SEGMENT, end=2.0)])
    assert line["event"] == "segment" and line["end"] == 2.0
