from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcam.temporal.segments import Segment, SegmentRule, contrast, distinct, frame_edges, segments_of, soft_nms

TIMES = np.arange(100) / 10


def _plateaus(*stretches: tuple[int, int, float]) -> np.ndarray:
    curve = np.zeros(100)
    for start, end, height in stretches:
        curve[start:end] = height
    return curve


def test_a_plateau_is_one_segment_with_its_own_height_as_score() -> None:
    (found,) = segments_of(_plateaus((20, 50, 0.8)), TIMES, "a")
    assert (found.start, found.end, found.label) == (2.0, 5.0, "a")
    assert found.score == pytest.approx(0.8)


def test_two_plateaus_apart_are_two_and_close_ones_are_one() -> None:
    apart = segments_of(_plateaus((10, 30, 0.8), (50, 80, 0.6)), TIMES, "a")
    assert [(s.start, s.end) for s in apart] == [(1, 3), (5, 8)]
    close = segments_of(_plateaus((10, 30, 0.8), (32, 50, 0.8)), TIMES, "a", SegmentRule(gap=0.25))
    assert [(s.start, s.end) for s in close] == [(1, 5)]


def test_hysteresis_holds_a_segment_through_a_dip() -> None:
    curve = _plateaus((10, 40, 1.0))
    curve[20:30] = 0.46
    rule = SegmentRule(levels=(0.5,), hold=0.9, gap=0)
    assert [(s.start, s.end) for s in segments_of(curve, TIMES, "a", rule)] == [(1, 4)]
    strict = SegmentRule(levels=(0.5,), hold=1.0, gap=0)
    assert len(segments_of(curve, TIMES, "a", strict)) == 2


def test_short_and_faint_stretches_are_dropped() -> None:
    assert segments_of(_plateaus((10, 12, 1.0)), TIMES, "a", SegmentRule(shortest=0.25)) == []
    assert segments_of(_plateaus((10, 40, 0.05)), TIMES, "a", SegmentRule(floor=0.1)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_that_are_no_scores_count_for_nothing(value: float) -> None:
    curve = _plateaus((20, 50, 0.8))
    curve[70:90] = value
    assert [(s.start, s.end) for s in segments_of(curve, TIMES, "a")] == [(2.0, 5.0)]
    assert segments_of(np.full(100, value), TIMES, "a") == []


def test_clips_of_one_frame_and_of_even_height() -> None:
    assert segments_of(np.ones(1), np.array([3.0]), "a", SegmentRule(shortest=0)) == [Segment(3.0, 3.04, "a", 1.0)]
    (found,) = segments_of(np.full(100, 0.7), TIMES, "a")
    assert (found.start, found.end, found.score) == (0.0, 10.0, pytest.approx(0.7))


def test_contrast_by_hand() -> None:
    curve, edges = _plateaus((40, 60, 0.9), (60, 100, 0.3)), frame_edges(TIMES)
    assert contrast(curve, edges, 40, 60) == pytest.approx(0.9 - 0.15)  # half of what surrounds it is at 0.3
    assert contrast(curve, edges, 0, 40) == 0.0


def test_soft_nms_lowers_what_overlaps_and_leaves_the_rest() -> None:
    best, same, apart = Segment(0, 10, "a", 0.9), Segment(0, 10, "a", 0.8), Segment(20, 30, "a", 0.5)
    half = Segment(0, 5, "a", 0.6)
    kept = soft_nms([same, half, apart, best], sigma=0.5)
    assert kept[0] == best and kept[1] == apart
    scores = {(s.start, s.end): s.score for s in kept[2:]}
    assert scores[0, 10] == pytest.approx(0.8 * np.exp(-2) * np.exp(-0.5))
    assert scores[0, 5] == pytest.approx(0.6 * np.exp(-0.5))


def test_people_are_shown_the_best_of_what_overlaps() -> None:
    best, inside, other, apart = (
        Segment(0, 10, "a", 0.9),
        Segment(2, 5, "a", 0.5),
        Segment(2, 5, "b", 0.4),
        Segment(10, 12, "a", 0.1),
    )
    assert distinct([apart, other, inside, best]) == [best, other, apart]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=80), st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_segments_lie_in_the_clip_and_come_best_first(values: list[float], seed: int) -> None:
    steps = np.random.default_rng(seed).uniform(0.01, 0.2, len(values))
    times = 5 + np.cumsum(steps)
    edges = frame_edges(times)
    found = segments_of(np.array(values), times, "a")
    assert all(edges[0] <= s.start < s.end <= edges[-1] for s in found)
    assert all(a.score >= b.score for a, b in pairwise(found))
    assert all(s.score >= SegmentRule().least and s.end - s.start >= SegmentRule().shortest for s in found)
