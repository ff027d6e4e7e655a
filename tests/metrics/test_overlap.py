from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.metrics.overlap import energy_inside, saliency_iou, tube_localization, tube_of


def test_energy_of_a_case_worked_by_hand() -> None:
    heat = np.array([[[1.0, 3.0]], [[0.0, 4.0]]])
    mask = np.array([[[True, False]], [[False, True]]])
    assert energy_inside(heat, mask) == 5 / 8
    assert energy_inside(0 * heat, mask) == 0


def test_saliency_iou_of_cases_worked_by_hand() -> None:
    mask = np.zeros((1, 2, 4), bool)
    mask[0, 0, :2] = True
    heat = np.array([[[9.0, 1.0, 8.0, 0], [0, 0, 0, 0]]])
    assert saliency_iou(heat, mask) == 1 / 3
    assert saliency_iou(mask.astype(float), mask) == 1
    assert saliency_iou(np.ones((1, 2, 4)), mask) == 2 / 8
    assert saliency_iou(np.zeros((1, 2, 4)), mask) == 0


@given(st.integers(0, 500))
def test_tubes_are_the_boxes_of_the_frames(seed: int) -> None:
    mask = np.random.default_rng(seed).random((3, 6, 7)) < 0.07
    expected = np.zeros_like(mask)
    for frame, box in zip(mask, expected):
        ys, xs = np.nonzero(frame)
        if len(ys):
            box[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    np.testing.assert_array_equal(tube_of(mask), expected)


@given(st.integers(0, 500), st.sampled_from([0.0, 0.25, 0.5]))
def test_localization_counts_voxels_one_by_one(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    heat, tube = rng.random((2, 4, 5)), rng.random((2, 4, 5)) < 0.3
    tube[0, 0, 0] = True
    low, high = heat.min(), heat.max()
    internal = external = area = 0
    for value, inside in zip(heat.ravel(), tube.ravel()):
        above = (value - low) / (high - low) > threshold
        internal += above and inside
        external += above and not inside
        area += inside
    assert tube_localization(heat, tube, threshold) == pytest.approx(internal / (area + external))


def test_a_constant_map_localizes_nothing() -> None:
    assert tube_localization(np.ones((1, 3, 3)), np.ones((1, 3, 3), bool), 0.0) == 0


def test_faint_maps_and_empty_masks() -> None:
    heat = np.array([[[0.1, 0.0], [0.3, 0.1]]], np.float32)
    mask = np.array([[[False, False], [True, False]]])
    assert energy_inside(heat, mask) == pytest.approx(0.6) and energy_inside(0 * heat, mask) == 0.0
    assert saliency_iou(heat, mask) == 1.0 and saliency_iou(heat, ~mask & False) == 0.0


def test_the_strongest_of_many_voxels_are_found() -> None:
    heat = np.random.default_rng(0).random((4, 30, 30)).astype(np.float32)
    for count in (1, 7, 300, 2000):
        mask = np.zeros(heat.size, bool)
        mask[np.argsort(-heat.ravel())[:count]] = True
        assert saliency_iou(heat, mask.reshape(heat.shape)) == 1.0
