from __future__ import annotations

import numpy as np

from vidcam.cam.fusion import fuse


def test_layers_are_scaled_before_they_meet() -> None:
    coarse = np.array([[[0.0]], [[200.0]]], np.float32)
    fine = np.array([[[1.0, 0.0], [0.0, 0.5]], [[0.0, 0.0], [0.5, 0.0]]], np.float32)
    mean, largest = fuse([coarse, fine]), fuse([coarse, fine], "max")
    np.testing.assert_allclose(mean, [[[0.5, 0], [0, 0.25]], [[0.5, 0.5], [0.75, 0.5]]])
    np.testing.assert_allclose(largest, [[[1, 0], [0, 0.5]], [[1, 1], [1, 1]]])
    assert mean.dtype == np.float32


def test_layers_without_any_heat_stay_at_zero() -> None:
    assert (fuse([np.zeros((3, 2, 2), np.float32), np.zeros((3, 4, 4), np.float32)]) == 0).all()


def test_maps_that_are_not_square_and_maps_without_heat() -> None:
    tall, flat = np.full((2, 6, 2), 0.5, np.float32), np.full((2, 3, 4), 0.25, np.float32)
    assert fuse([tall, flat]).shape == (2, 6, 4)
    np.testing.assert_allclose(fuse([tall, flat]), 1.0)
    np.testing.assert_allclose(fuse([tall, 0 * flat]), 0.5)
    np.testing.assert_allclose(fuse([tall, 0 * flat], "max"), 1.0)
