from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vidcam.live.causal import CausalExplanation
from vidcam.live.frame import LiveFrame
from vidcam.live.ring import PlacedFrame
from vidcam.live.step import Step
from vidcam.live.window import ExplainedWindow
from vidcam.models.registry import Model, load_model
from vidcam.video.windows import Windowing

_WINDOWING = Windowing(4, 2, rate=10.0)
_NOTHING, _WAVING, _BOWING = "nothing", "waving", "bowing"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("playground-r2plus1d", "none")


def _frame(index: int, stretch: int = 0) -> PlacedFrame:
    return PlacedFrame(
        LiveFrame(index, stretch, index / 10, index / 10, index / 10, 10.0, np.zeros((8, 8, 3), np.uint8)),
        index,
        _WINDOWING,
    )


def _window(model: Model, start: int, heat: float = 1.0, stretch: int = 0, **scores: float) -> ExplainedWindow:
    curves = np.zeros((1, len(model.labels)), np.float32)
    for label, score in scores.items():
        curves[0, model.labels.index(label)] = score
    keys = np.argsort(-curves[0])[:2].tolist()
    maps = {k: np.full((2, 3, 3), heat * curves[0, k], np.float32) for k in keys}
    return ExplainedWindow(stretch, start, 0.0, 0.0, _WINDOWING, curves, maps, {k: curves[:, k] for k in keys}, 0.1)


def _steps(model: Model, scores: list[dict[str, float]], target: int | None = None) -> list[Step]:
    """Return the steps of a stream whose windows have these scores."""
    causal = CausalExplanation(model, target, "" if target is None else model.labels[target])
    windows = [_window(model, 2 * i, **given) for i, given in enumerate(scores)]
    return [causal.step(_frame(i), windows, i / 10 + 1.0) for i in range(2 * len(scores))]


def test_the_shown_class_and_its_heat_follow_the_stream(model: Model) -> None:
    steps = _steps(model, [{_NOTHING: 0.9, _WAVING: 0.1}] * 5 + [{_WAVING: 0.9, _NOTHING: 0.1}] * 8)
    labels = [step.label for step in steps]
    assert labels[0] == _NOTHING and labels[-1] == _WAVING and sum(a != b for a, b in pairwise(labels)) == 1
    last = steps[-1]
    assert last.score == pytest.approx(0.9) and last.heat is not None and np.allclose(last.heat, 0.9)
    assert last.evidence == pytest.approx(0.9) and last.delay == pytest.approx(1.0)


def test_the_background_has_no_segment_and_others_open_and_close(model: Model) -> None:
    scores = [{_NOTHING: 0.9}] * 4 + [{_WAVING: 0.9}] * 6 + [{_NOTHING: 0.9}] * 6
    steps = _steps(model, scores)
    assert {s.label for step in steps for s in step.segments} == {_WAVING}
    (closed,) = [s for step in steps for s in step.closed]
    assert closed.end is not None and 0.7 <= closed.start <= 1.0 and 1.9 <= closed.end <= 2.3
    assert closed.opened_after == pytest.approx(0.3 + 1.0, abs=0.11)  # its shortest length, and the delay of a frame


def test_a_fixed_class_is_shown_whatever_else_is_seen(model: Model) -> None:
    bowing = model.labels.index(_BOWING)
    steps = _steps(model, [{_WAVING: 0.9, _BOWING: 0.05}] * 6, bowing)
    assert {step.label for step in steps} == {_BOWING} and steps[3].score == pytest.approx(0.05)
    assert not any(step.segments or step.closed for step in steps)


def test_a_new_stretch_closes_what_was_open(model: Model) -> None:
    causal = CausalExplanation(model, None, "")
    windows = [_window(model, 2 * i, **{_WAVING: 0.9}) for i in range(5)]
    for index in range(8):
        causal.step(_frame(index), windows, 0.0)
    later = _window(model, 0, stretch=1, **{_NOTHING: 0.9})
    step = causal.step(_frame(8, stretch=1), [later], 0.0)
    assert [(s.label, s.end) for s in step.closed] == [(_WAVING, 0.7)] and not step.segments
    assert step.windows == (later,)


def test_a_frame_without_a_window_has_no_score_and_says_so(model: Model) -> None:
    step = CausalExplanation(model, None, "").step(_frame(0), [], 3.0)
    assert step.scores is None and step.heat is None and step.score is None and step.label == "" and step.delay == 3.0


def test_each_window_is_given_once(model: Model) -> None:
    steps = _steps(model, [{_WAVING: 0.9}] * 3)
    assert [len(step.windows) for step in steps] == [3, 0, 0, 0, 0, 0]


def test_a_segment_has_the_same_score_whether_its_class_was_asked_for_or_not(model: Model) -> None:
    scores = [{_WAVING: 0.9}] * 4 + [{_WAVING: 0.2}] * 2 + [{_WAVING: 0.9}] * 4 + [{_NOTHING: 0.9}] * 4
    of_top, of_target = (
        [s for step in _steps(model, scores, target) for s in step.closed]
        for target in (None, model.labels.index(_WAVING))
    )
    (one,) = of_top
    assert of_target == of_top and one.score < 0.89
