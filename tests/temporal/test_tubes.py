from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vidcam.errors import SettingsError
from vidcam.temporal.tubes import Tube, TubeParams, _linked, box_iou, tubes_of

REGION = (10.0, 20.0, 170.0, 100.0)  # of maps of 8 by 16 cells: 10 pixels a cell


def _maps(frames: int = 12) -> np.ndarray:
    return np.zeros((frames, 8, 16), np.float32)


def test_two_that_are_apart_are_two_tubes_and_one_that_wanders_is_one() -> None:
    maps = _maps()
    maps[2:10, 1:4, 1:4] = 1.0
    for t in range(12):
        maps[t, 5:7, 6 + t // 2 : 9 + t // 2] = 0.6
    still, wandering = tubes_of(maps, np.full(12, 0.5), REGION, "waving")
    assert (still.start, still.end, still.label, still.score) == (2, 10, "waving", pytest.approx(0.5))
    assert (wandering.start, wandering.end, wandering.score) == (0, 12, pytest.approx(0.3))
    # Between the centres of two cells the heat falls evenly: it passes 0.35 within a cell of the edge.
    for box in still.boxes:
        np.testing.assert_allclose(box, [10 + 10, 20 + 10, 10 + 40, 20 + 40], atol=5)
    centres = wandering.boxes[:, [0, 2]].mean(1)
    np.testing.assert_allclose(centres, [10 + 10 * (7.5 + t // 2) for t in range(12)], atol=5)


def test_boxes_are_the_least_ones_around_what_is_hot() -> None:
    rng = np.random.default_rng(0)
    maps = np.maximum(0, rng.normal(0, 1, (6, 8, 16))).astype(np.float32)
    maps[:, 3:5, 3:5] += 9
    params = TubeParams(threshold=0.5)
    (only,) = tubes_of(maps, np.ones(6), (0, 0, 64, 32), "x", params)  # a pixel for each finer cell
    import torch

    heat = torch.nn.functional.interpolate(torch.from_numpy(maps)[None], (32, 64), mode="bilinear")[0].numpy()
    for frame, box in zip(heat / maps.max(), only.boxes):
        ys, xs = np.nonzero(frame >= 0.5)
        assert list(box) == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_a_tube_goes_on_across_a_short_gap_at_the_same_place() -> None:
    maps = _maps(40)
    maps[0:10, 1:3, 1:3] = 1
    maps[14:24, 1:3, 2:4] = 1
    maps[35:40, 1:3, 2:4] = 1
    first, second = sorted(tubes_of(maps, np.ones(40), REGION, "x"), key=lambda t: t.start)
    assert (first.start, first.end, second.start, second.end) == (0, 24, 35, 40)
    lefts = first.boxes[9:15, 0]
    np.testing.assert_allclose(np.diff(lefts), np.diff(lefts)[0])
    elsewhere = _maps(20)
    elsewhere[0:8, 1:3, 1:3] = 1
    elsewhere[10:18, 1:3, 9:11] = 1
    assert len(tubes_of(elsewhere, np.ones(20), REGION, "x")) == 2
    assert len(tubes_of(elsewhere[:10], np.ones(10), REGION, "x", TubeParams(least_frames=9))) == 0


def test_nothing_gives_none_and_settings_are_checked() -> None:
    assert tubes_of(_maps(), np.ones(12), REGION, "x") == []
    with pytest.raises(SettingsError, match="threshold of tubes is 1"):
        TubeParams(threshold=1.0)


def test_two_that_begin_alike_are_two() -> None:
    maps = np.zeros((5, 3, 4), np.float32)
    maps[0, 2, 0] = maps[2, 1, 2] = maps[2, 2, [0, 3]] = 1
    tubes = tubes_of(maps, np.ones(5), REGION, "x", TubeParams(0.5, least_frames=1))
    assert sorted((t.start, t.end) for t in tubes) == [(0, 3), (2, 3)]


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (5, 3, 4), elements=st.floats(0, 1, width=32)), st.floats(0.05, 0.95))
def test_tubes_lie_within_the_clip(maps: np.ndarray, threshold: float) -> None:
    for tube in tubes_of(maps, np.ones(5), REGION, "x", TubeParams(threshold, least_frames=1)):
        assert 0 <= tube.start < tube.end <= 5 and 0 < tube.score <= 1 + 1e-6
        assert (tube.boxes[:, :2] < tube.boxes[:, 2:]).all()
        assert (tube.boxes >= np.array(REGION)[[0, 1, 0, 1]]).all()
        assert (tube.boxes <= np.array(REGION)[[2, 3, 2, 3]]).all()


def test_overlap_of_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [0, 0, 2, 2]], np.float64)
    np.testing.assert_allclose(box_iou(boxes[0], boxes), [1, 1 / 7, 0, 1])
    assert box_iou(np.zeros(4), np.zeros(4)) == 0


def test_overlap_of_boxes_that_are_not_square() -> None:
    a, b = np.array([0.0, 0, 4, 1]), np.array([1.0, 0.5, 3, 2.5])
    shared, areas = 2 * 0.5, 4 + 4
    assert box_iou(a, b) == pytest.approx(shared / (areas - shared))
    assert box_iou(b, np.array([1.0, 0.5, 2, 1.5])) == pytest.approx(1 / 4)
    assert box_iou(a / 10, b / 10) == pytest.approx(shared / (areas - shared))
    assert box_iou(a, np.array([4.0, 0, 5, 1])) == 0


def test_faint_heat_and_scores_out_of_range() -> None:
    maps = _maps()
    maps[2:8, 2:4, 2:4] = 0.25
    (faint,) = tubes_of(maps, np.full(12, 0.5), REGION, "x")
    (strong,) = tubes_of(4 * maps, np.full(12, 0.5), REGION, "x")
    np.testing.assert_allclose(faint.boxes, strong.boxes)
    assert faint.score == strong.score == pytest.approx(0.5)
    assert tubes_of(maps, np.full(12, 7.0), REGION, "x")[0].score == 1.0
    assert tubes_of(maps, np.full(12, -7.0), REGION, "x")[0].score == 0.0
    for threshold in (0.0, 1.0):
        with pytest.raises(SettingsError):
            TubeParams(threshold=threshold)


def test_a_gap_is_bridged_up_to_its_length_to_the_piece_that_overlaps_most() -> None:
    for gap, count in ((8, 1), (7, 2)):
        maps = _maps(30)
        maps[0:6, 1:3, 1:3] = maps[14:20, 1:3, 1:3] = 1
        found = tubes_of(maps, np.ones(30), REGION, "waving", TubeParams(gap=gap))
        assert len(found) == count and {t.label for t in found} == {"waving"}
    maps = _maps(30)
    maps[0:6, 1:4, 1:6] = 1
    maps[8:14, 5:7, 1:6] = 0.9  # beside it, earlier in the order
    maps[9:15, 1:4, 2:7] = 1
    maps[8, 1:4, 1:6] = 0
    first = min(tubes_of(maps, np.ones(30), REGION, "x"), key=lambda t: (t.start, t.boxes[0, 1]))
    assert (first.start, first.end) == (0, 15)


def test_heat_of_exactly_the_threshold_is_inside() -> None:
    maps = np.full((4, 4, 4), 0.5, np.float32)
    maps[:, 1, 1] = 1
    (tube,) = tubes_of(maps, np.ones(4), (0, 0, 4, 4), "x", TubeParams(0.5))
    np.testing.assert_array_equal(tube.boxes, [[0, 0, 4, 4]] * 4)


def test_pieces_that_follow_without_a_gap_are_joined_where_they_overlap_by_the_least() -> None:
    left, right = np.array([[0.0, 0, 4, 4]]), np.array([[2.0, 0, 6, 4]])  # they share a third
    pieces = [Tube("x", 0.5, 0, left.repeat(3, 0)), Tube("x", 0.4, 3, right.repeat(2, 0))]
    (joined,) = _linked(pieces, TubeParams(overlap=8 / 24, gap=0))
    assert (joined.start, joined.end, joined.score) == (0, 5, 0.5)
    np.testing.assert_array_equal(joined.boxes[[2, 3], 0], [0, 2])
    assert len(_linked(pieces, TubeParams(overlap=0.34, gap=0))) == 2


def test_of_three_in_a_row_the_first_goes_on_with_the_second() -> None:
    box = np.array([[0.0, 0, 4, 4]])
    pieces = [Tube("x", 0.1, start, box.repeat(2, 0)) for start in (0, 2, 4)]
    (joined,) = _linked(pieces, TubeParams(gap=1))
    assert (joined.start, joined.end) == (0, 6)
