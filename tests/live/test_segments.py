from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.live.segments import OnlineParams, OnlineSegment, OnlineSegments
from vidcam.temporal.segments import SegmentParams, segments_of


def _read(curve: np.ndarray, step: float, params: OnlineParams) -> list[OnlineSegment]:
    segments, closed = OnlineSegments(params), []
    for index, value in enumerate(curve):
        closed += segments.update({"wave": float(value)}, index * step, 0.5)
    return closed + segments.end(len(curve) * step)


@given(st.lists(st.sampled_from([0.0, 0.2, 0.45, 0.5, 0.7, 1.0]), min_size=2, max_size=60))
def test_segments_are_those_of_a_whole_curve_cut_at_the_same_level(values: list[float]) -> None:
    step, curve = 0.25, np.array([1.0, *values])  # the peak is 1, so that shares of it are values
    found = _read(curve, step, OnlineParams(level=0.5, hold=0.8, gap=0.2, shortest=0.0))
    params = SegmentParams(levels=(0.5,), hold=0.8, gap=0.2, shortest=0.0, least=0.0)
    whole = segments_of(curve, np.arange(len(curve)) * step, "wave", params)
    assert sorted((s.start, s.end) for s in found) == sorted((s.start, s.end) for s in whole)


def test_a_segment_is_open_from_its_shortest_length_on_and_says_how_late_that_was() -> None:
    segments = OnlineSegments(OnlineParams(gap=0.2, shortest=0.3))
    opened = []
    for tenth in range(6):
        segments.update({"wave": 0.8}, tenth / 10, delay=1.0)
        opened.append([(s.start, s.end, round(s.opened_after, 6)) for s in segments.open])
    assert opened == [[], [], [], *[[(0.0, None, 1.3)]] * 3]


def test_short_gaps_are_bridged_and_short_stretches_are_dropped() -> None:
    params = OnlineParams(gap=0.25, shortest=0.25)
    curve = np.array([0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0.0])
    (one,) = _read(curve, 0.1, params)
    assert np.allclose([one.start, one.end, one.score], [0.1, 0.7, 4 / 6])


def test_a_class_that_is_not_given_counts_as_absent() -> None:
    segments = OnlineSegments(OnlineParams(gap=0.1, shortest=0.0))
    segments.update({"wave": 1.0}, 0.0, 0.0)
    assert [s.label for s in segments.open] == ["wave"]
    segments.update({}, 0.1, 0.0)
    (closed,) = segments.update({}, 0.2, 0.0)
    assert closed.end == 0.1 and not segments.open


@given(st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.7, 1.0]), max_size=40))
def test_the_score_is_the_mean_of_the_curve_over_the_segment_gaps_included(values: list[float]) -> None:
    segments = OnlineSegments(OnlineParams(gap=3, shortest=1))
    closed = []
    for second, value in enumerate(values):
        closed += segments.update({"wave": value}, float(second), 0.0)
        for found in segments.open:
            assert found.score == pytest.approx(np.mean(values[int(found.start) : second + 1]))
    for found in [*closed, *segments.end(float(len(values)))]:
        assert found.end is not None
        assert found.score == pytest.approx(np.mean(values[int(found.start) : int(found.end)]))


def test_a_stretch_that_never_reaches_the_level_is_not_opened() -> None:
    segments = OnlineSegments(OnlineParams(level=0.5, hold=0.7, gap=0.2, shortest=0.2))
    for tenth in range(10):
        assert segments.update({"wave": 0.4}, tenth / 10, 0.0) == [] and segments.open == ()
    assert segments.end(1.0) == []


def test_a_stretch_is_opened_where_the_stream_ends_if_it_has_lasted() -> None:
    segments = OnlineSegments(OnlineParams(gap=0.2, shortest=0.3))
    for tenth in range(3):
        segments.update({"wave": 0.8}, tenth / 10, 0.0)
    (one,) = segments.end(0.3)
    assert (one.start, one.end) == (0.0, 0.3) and one.opened_after == pytest.approx(0.3)
