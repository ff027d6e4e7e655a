from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcam.metrics.localization import (
    ACTIVITYNET_TIOU,
    THUMOS_TIOU,
    Detection,
    Truth,
    average_precision,
    average_recall,
    boundary_errors,
    hit_rate,
    mean_average_precision,
    time_auc,
)
from vidcam.temporal.segments import tiou


def _slow_average_precision(truths: list[Truth], detections: list[Detection], threshold: float) -> float:
    """ActivityNet's protocol, written out: no arrays, one threshold, areas by rectangles from the right."""
    order = [detections[i] for i in np.argsort([d.score for d in detections])[::-1]]
    taken: set[int] = set()
    points, true = [], 0
    for rank, d in enumerate(order, 1):
        overlaps = []
        for i, t in enumerate(truths):
            if t.video == d.video:
                shared = max(0.0, min(t.end, d.end) - max(t.start, d.start))
                overlaps.append((shared / ((t.end - t.start) + (d.end - d.start) - shared), i))
        free = [(o, i) for o, i in overlaps if o >= threshold and i not in taken]
        if free:
            taken.add(max(free)[1])
            true += 1
        points.append((true / len(truths), true / rank))
    area, best, right = 0.0, 0.0, points[-1][0] if points else 0.0
    for k in range(len(points) - 1, -1, -1):
        recall, precision = points[k]
        area += (right - recall) * best
        best, right = max(best, precision), recall
    return area + right * best


_times = st.tuples(st.floats(0, 20), st.floats(0.1, 8)).map(lambda p: (p[0], p[0] + p[1]))
_truths = st.lists(st.builds(lambda v, t: Truth(v, "a", *t), st.sampled_from("xyz"), _times), min_size=1, max_size=6)
_scores = st.sampled_from([0.1, 0.25, 0.5, 0.5, 0.9]) | st.floats(0, 1)
_detections = st.lists(st.builds(lambda v, t, s: Detection(v, "a", *t, s), st.sampled_from("wxyz"), _times, _scores))


@given(_truths, _detections)
@settings(max_examples=150, deadline=None)
def test_against_the_protocol_written_out(truths: list[Truth], detections: list[Detection]) -> None:
    found = average_precision(truths, detections, THUMOS_TIOU)
    expected = [_slow_average_precision(truths, detections, t) for t in THUMOS_TIOU]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_by_hand() -> None:
    truths = [Truth("v", "a", 0, 10), Truth("v", "a", 20, 30), Truth("w", "b", 0, 1)]
    detections = [
        Detection("v", "a", 0, 10, 0.9),  # right
        Detection("v", "a", 1, 10, 0.8),  # the same again: false
        Detection("v", "a", 20, 26, 0.7),  # tIoU 0.6
        Detection("u", "a", 0, 10, 0.6),  # a video without truth
        Detection("v", "c", 0, 10, 1.0),  # a class without truth
    ]
    found = mean_average_precision(truths, detections, [0.5, 0.75])
    assert found.labels == ("a", "b")
    np.testing.assert_allclose(found.average_precision, [[0.5 + 0.5 * 2 / 3, 0.5], [0, 0]])
    np.testing.assert_allclose(found.mean, [5 / 12, 0.25])
    assert found.average == pytest.approx(1 / 3)


def test_perfect_detections_and_none() -> None:
    truths = [Truth(v, c, i, i + 1.0) for v in "vw" for c in "ab" for i in range(3)]
    perfect = mean_average_precision(truths, [Detection(*t, 0.5) for t in truths])
    assert perfect.average == 1.0
    assert mean_average_precision(truths, []).average == 0.0


def test_segments_that_touch_or_are_apart_do_not_overlap() -> None:
    assert tiou(0, 1, np.array([1.0, 5.0, 0.5]), np.array([2.0, 6.0, 1.5])).tolist() == [0, 0, pytest.approx(1 / 3)]


def test_overlap_of_segments_by_hand() -> None:
    overlaps = tiou(2, 5, np.array([3.0, 1.0, 2.0, 0.0]), np.array([7.0, 6.0, 5.0, 2.5]))
    assert overlaps.tolist() == pytest.approx([2 / 5, 3 / 5, 1, 0.5 / 5])


def test_segments_of_no_length_or_reversed_overlap_nothing() -> None:
    starts, ends = np.array([1.0, 0.0, 3.0, 4.0]), np.array([1.0, 0.0, 1.0, 1.0])
    for start, end in ((1, 1), (0, 0), (0, 2), (1, 4), (4, 1)):
        assert tiou(start, end, starts, ends).tolist() == [0, 0, 0, 0]
    assert tiou(2, 2, 2, 2) == 0 and tiou(0, 3, 3, 0) == 0
    empty = Detection("v", "a", 0, 0, 0.9)
    assert average_precision([Truth("v", "a", 0, 0)], [empty], [0.1]).tolist() == [0]


def test_recall_of_the_best_proposals() -> None:
    truths = [Truth("v", "a", 0, 10), Truth("v", "b", 20, 30), Truth("w", "a", 0, 1)]
    detections = [Detection("v", "b", 0, 10, 0.9), Detection("v", "a", 20, 28, 0.5)]
    assert average_recall(truths, detections, 1, [0.5]) == pytest.approx(1 / 3)
    assert average_recall(truths, detections, 2, [0.5, 0.9]) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert average_recall([], detections, 2) == 0.0


def test_peaks_and_boundaries() -> None:
    truths = [Truth("v", "a", 2, 4), Truth("v", "b", 6, 8), Truth("w", "a", 0, 1)]
    assert hit_rate(truths, [("v", "a", 3), ("v", "a", 4.5), ("v", "b", 3), ("w", "a", 1)]) == 0.5
    detections = [Detection("v", "a", 2.5, 4.25, 0.9), Detection("v", "a", 2, 4, 0.1), Detection("v", "b", 0, 1, 1)]
    errors = boundary_errors(truths, detections)
    assert (errors.onset.tolist(), errors.offset.tolist()) == ([0.5], [0.25])
    assert errors.found == pytest.approx(1 / 3)


def test_an_overlap_of_exactly_the_threshold_counts() -> None:
    truth, half = Truth("v", "a", 0, 4), Detection("v", "a", 0, 2, 0.9)
    assert average_precision([truth], [half], [0.5, 0.51]).tolist() == [1.0, 0.0]
    assert average_recall([truth], [half], 1, [0.5]) == 1.0 and average_recall([truth], [half], 1, [0.51]) == 0.0
    assert boundary_errors([truth], [half], 0.5).found == 1.0 and boundary_errors([truth], [half], 0.51).found == 0.0
    assert boundary_errors([], [half]).found == 0.0


def test_of_many_proposals_the_best_scored_are_taken() -> None:
    truth = Truth("v", "a", 10, 12)
    good, bad = Detection("v", "b", 10, 12, 0.9), Detection("v", "b", 0, 1, 0.1)
    for order in ([good, bad], [bad, good]):
        assert average_recall([truth], order, 1) == 1.0
    late, early = Detection("v", "a", 11, 12, 0.9), Detection("v", "a", 10, 11, 0.1)
    for order in ([late, early], [early, late]):
        assert boundary_errors([truth], order).onset.tolist() == [1.0]


def test_peaks_at_the_ends_of_a_truth_hit_it_and_no_peak_hits_nothing() -> None:
    truth = Truth("v", "a", 1, 2)
    assert hit_rate([truth], [("v", "a", 1.0)]) == hit_rate([truth], [("v", "a", 2.0)]) == 1.0
    assert hit_rate([truth], [("v", "a", 0.99), ("v", "b", 1.5), ("w", "a", 1.5), ("v", "a", 2.01)]) == 0.0
    assert hit_rate([truth], []) == 0.0


def test_the_thresholds_are_told_with_the_figures() -> None:
    found = mean_average_precision([Truth("v", "a", 0, 1)], [], [0.3, 0.7])
    assert found.tiou == (0.3, 0.7) and found.mean.tolist() == [0, 0]


def test_a_detection_whose_nearest_truth_is_taken_has_the_next() -> None:
    truths = [Truth("v", "a", 0, 10), Truth("v", "a", 0, 8)]
    first, second = Detection("v", "a", 0, 10, 0.9), Detection("v", "a", 0, 9.9, 0.8)
    assert average_precision(truths, [first, second], [0.5]).tolist() == [1.0]


def test_boundaries_are_those_of_the_best_scored_detection() -> None:
    detections = [Detection("v", "a", 1, 5, 0.9), Detection("v", "a", 2, 6, 0.2), Detection("v", "a", 0, 4, 0.5)]
    found = boundary_errors([Truth("v", "a", 0, 4)], detections)
    assert (found.onset.tolist(), found.offset.tolist(), found.found) == ([1], [1], 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_time_auc_is_the_share_of_pairs_in_the_right_order(frames: list[tuple[int, bool]]) -> None:
    evidence, acting = (np.array(column) for column in zip(*frames))
    pairs = [(a > b) + (a == b) / 2 for a in evidence[acting] for b in evidence[~acting]]
    assert time_auc(evidence, acting) == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_the_thresholds_of_the_benchmarks() -> None:
    assert pytest.approx((0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)) == ACTIVITYNET_TIOU
    assert pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)) == THUMOS_TIOU
