from __future__ import annotations

import numpy as np
import pytest

from vidcam.metrics.tubes import TubeDetection, TubeTruth, coverage, tube_iou, video_map
from vidcam.temporal.tubes import Tube


def _boxes(frames: int, left: float = 0) -> np.ndarray:
    return np.tile([left, 0.0, left + 10, 10.0], (frames, 1))


def test_overlap_is_that_in_time_times_that_in_space() -> None:
    assert tube_iou(3, _boxes(10), 3, _boxes(10)) == 1
    assert tube_iou(0, _boxes(10), 5, _boxes(10)) == pytest.approx(5 / 15)
    assert tube_iou(0, _boxes(10), 5, _boxes(10, left=5)) == pytest.approx(5 / 15 * 50 / 150)
    assert tube_iou(0, _boxes(4), 4, _boxes(4)) == 0
    wandering = _boxes(4)
    wandering[2:, [0, 2]] += 100
    assert tube_iou(0, _boxes(4), 0, wandering) == pytest.approx(0.5)


def test_video_map_of_a_case_worked_by_hand() -> None:
    """Two truths of one class: a hit, a second tube on the same truth, and another video's; one class without any."""
    truths = [TubeTruth("a", "wave", 0, _boxes(10)), TubeTruth("b", "wave", 0, _boxes(10))]
    found = [
        TubeDetection("a", Tube("wave", 0.9, 0, _boxes(10))),
        TubeDetection("a", Tube("wave", 0.8, 0, _boxes(9))),
        TubeDetection("b", Tube("wave", 0.7, 0, _boxes(4))),
    ]
    # By falling score: true, false, true at 0.2 and false at 0.5.
    np.testing.assert_allclose(video_map(truths, found, (0.2, 0.5)), [0.5 * 1 + 0.5 * 2 / 3, 0.5])
    truths.append(TubeTruth("c", "jump", 0, _boxes(3)))
    np.testing.assert_allclose(video_map(truths, found, (0.2, 0.5)), [(5 / 6) / 2, 0.25])


def test_a_tube_of_another_video_does_not_count() -> None:
    assert video_map([TubeTruth("a", "x", 0, _boxes(5))], [TubeDetection("b", Tube("x", 1, 0, _boxes(5)))], (0.2,)) == 0


def test_what_a_map_covers() -> None:
    heat = np.zeros((2, 4, 4))
    heat[:, :2] = 4
    heat[:, 2] = 1
    mask = np.zeros((2, 4, 4), bool)
    mask[0, 1:4, 0] = True
    assert coverage(heat, mask, 0.5) == pytest.approx(1 / 3)
    assert coverage(heat, mask, 0.25) == pytest.approx(2 / 3)
    assert coverage(np.zeros((2, 4, 4)), mask, 0.25) == 0


def test_tubes_that_begin_later_by_hand() -> None:
    boxes = np.array([[0, 0, 2, 4], [10, 0, 12, 4], [20, 0, 22, 4]], np.float64)
    assert tube_iou(5, boxes, 6, boxes[1:]) == pytest.approx(2 / 3)
    assert tube_iou(6, boxes[1:], 5, boxes) == pytest.approx(2 / 3)
    assert tube_iou(5, boxes, 5, boxes[:2]) == tube_iou(5, boxes[:2], 5, boxes) == pytest.approx(2 / 3)
    assert tube_iou(5, boxes, 6, boxes[:2]) == 0.0


def test_faint_maps_cover_as_much() -> None:
    heat = np.array([[[0.2, 0.1, 0.0, 0.4]]])
    mask = np.array([[[True, True, False, True]]])
    assert coverage(heat, mask, 0.5) == pytest.approx(2 / 3) and coverage(0 * heat, mask, 0.5) == 0.0
