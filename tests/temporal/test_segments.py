from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcam.temporal.segments import Segment, SegmentParams, contrast, distinct, frame_edges, segments_of, soft_nms

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
    close = segments_of(_plateaus((10, 30, 0.8), (32, 50, 0.8)), TIMES, "a", SegmentParams(gap=0.25))
    assert [(s.start, s.end) for s in close] == [(1, 5)]


def test_hysteresis_holds_a_segment_through_a_dip() -> None:
    curve = _plateaus((10, 40, 1.0))
    curve[20:30] = 0.46
    params = SegmentParams(levels=(0.5,), hold=0.9, gap=0)
    assert [(s.start, s.end) for s in segments_of(curve, TIMES, "a", params)] == [(1, 4)]
    strict = SegmentParams(levels=(0.5,), hold=1.0, gap=0)
    assert len(segments_of(curve, TIMES, "a", strict)) == 2


def test_short_and_faint_stretches_are_dropped() -> None:
    assert segments_of(_plateaus((10, 12, 1.0)), TIMES, "a", SegmentParams(shortest=0.25)) == []
    assert segments_of(_plateaus((10, 40, 0.05)), TIMES, "a", SegmentParams(floor=0.1)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_that_are_no_scores_count_for_nothing(value: float) -> None:
    curve = _plateaus((20, 50, 0.8))
    curve[70:90] = value
    assert [(s.start, s.end) for s in segments_of(curve, TIMES, "a")] == [(2.0, 5.0)]
    assert segments_of(np.full(100, value), TIMES, "a") == []


def test_clips_of_one_frame_and_of_even_height() -> None:
    assert segments_of(np.ones(1), np.array([3.0]), "a", SegmentParams(shortest=0)) == [Segment(3.0, 3.04, "a", 1.0)]
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
        Segment(2, 5, "b", 0.48),
        Segment(10, 12, "a", 0.45),
    )
    noise = Segment(20, 25, "c", 0.07)
    assert distinct([apart, noise, other, inside, best]) == [best, other, apart]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=80), st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_segments_lie_in_the_clip_and_come_best_first(values: list[float], seed: int) -> None:
    steps = np.random.default_rng(seed).uniform(0.01, 0.2, len(values))
    times = 5 + np.cumsum(steps)
    edges = frame_edges(times)
    found = segments_of(np.array(values), times, "a")
    assert all(edges[0] <= s.start < s.end <= edges[-1] for s in found)
    assert all(a.score >= b.score for a, b in pairwise(found))
    assert all(s.score >= SegmentParams().least and s.end - s.start >= SegmentParams().shortest for s in found)


@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_a_curve_of_another_scale_is_cut_alike(scale: float) -> None:
    rng = np.random.default_rng(2)
    curve = np.convolve(rng.random(130), np.ones(31) / 31, "valid") ** 4
    curve /= curve.max()
    params = SegmentParams(floor=0.01, least=0.0)
    one, other = (segments_of(k * curve, TIMES, "a", params) for k in (1, scale))
    assert len(one) > 1 and [(s.start, s.end) for s in one] == [(s.start, s.end) for s in other]
    np.testing.assert_allclose([s.score * scale for s in one], [s.score for s in other])


def test_what_is_exactly_at_a_bound_is_kept() -> None:
    plateau = _plateaus((20, 24, 0.5))
    one = SegmentParams(levels=(1.0,), hold=1.0, floor=0.5, shortest=0.0, least=0.5)
    assert [(s.start, s.end) for s in segments_of(plateau, TIMES, "a", one)] == [(2.0, 2.4)]
    times = np.arange(100) / 8
    assert len(segments_of(_plateaus((8, 12, 1.0)), times, "a", SegmentParams(shortest=0.5))) == 1
    assert len(segments_of(_plateaus((8, 12, 1.0)), times, "a", SegmentParams(shortest=0.51))) == 0
    apart = _plateaus((8, 16, 1.0), (20, 28, 1.0))
    assert len(segments_of(apart, times, "a", SegmentParams(gap=0.5, levels=(0.5,)))) == 2
    assert len(segments_of(apart, times, "a", SegmentParams(gap=0.51, levels=(0.5,)))) == 1
    low_first = _plateaus((8, 16, 0.48), (20, 28, 1.0))
    assert len(segments_of(low_first, times, "a", SegmentParams(gap=0, levels=(0.5,)))) == 1
    assert segments_of(-plateau, TIMES, "a") == segments_of(np.zeros(100), TIMES, "a", SegmentParams(floor=0)) == []
    dips = plateau - _plateaus((24, 60, 3.0))
    assert segments_of(dips, TIMES, "a")[0].score == pytest.approx(0.5)


def test_contrast_is_with_a_quarter_of_the_length_on_both_sides() -> None:
    curve, edges = np.array([9, 1, 2, 8, 8, 8, 8, 3, 5, 7.0]), np.arange(11.0)
    assert contrast(curve, edges, 3, 7) == pytest.approx(8 - (2 + 3) / 2)
    wide = np.concatenate([[6.0], [4, 1], np.full(8, 8.0), [3, 5], [7]])
    assert contrast(wide, np.arange(15.0), 3, 11) == pytest.approx(8 - (4 + 1 + 3 + 5) / 4)
    assert contrast(wide, 10 + np.arange(15.0), 3, 11) == pytest.approx(8 - (4 + 1 + 3 + 5) / 4)
    assert contrast(curve, edges, 0, 1) == pytest.approx(9 - 1)
    assert contrast(curve, edges, 1, 2) == 0.0  # less than around it
    assert contrast(curve, edges, 9, 10) == pytest.approx(7 - 5)
    assert contrast(curve[:1], edges[:2], 0, 1) == 9.0


def test_edges_of_two_frames_and_of_one() -> None:
    assert frame_edges(np.array([1.0, 1.5])).tolist() == [1.0, 1.5, 2.0]
    assert frame_edges(np.array([1.0])).tolist() == [1.0, 1.04]


def test_contrast_at_the_very_beginning_and_curves_of_no_frame() -> None:
    curve = np.array([1.0, 9, 2, 2, 2])
    assert contrast(curve, np.arange(6.0), 1, 2) == pytest.approx(9 - (1 + 2) / 2)
    assert segments_of(np.zeros(0), np.zeros(0), "a") == []


def test_contrast_of_frames_that_are_far_apart_is_still_with_the_next_one() -> None:
    edges = np.array([0.0, 100, 101, 201, 301])  # a quarter of a second reaches into no neighbour
    assert contrast(np.array([0.25, 1.0, 0.5, 0.0]), edges, 1, 2) == pytest.approx(1 - (0.25 + 0.5) / 2)
