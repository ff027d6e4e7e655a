from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from vidcam.metrics.baselines import BASELINES, centre, motion, ones, random


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_a_map_of_the_clip(name: str) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), np.uint8)
    heat = BASELINES[name](frames, 0)
    assert heat.shape == (6, 20, 30)
    assert np.isfinite(heat).all() and heat.min() >= 0 and heat.max() > 0
    assert BASELINES[name](frames[:1], 0).shape == (1, 20, 30)


def test_the_centre_is_brightest_and_falls_off_evenly() -> None:
    heat = centre(np.zeros((1, 21, 31, 3), np.uint8))[0]
    assert np.unravel_index(heat.argmax(), heat.shape) == (10, 15)
    np.testing.assert_allclose(heat, heat[::-1, ::-1], rtol=1e-6)


def test_motion_is_brightest_where_something_moves() -> None:
    frames = np.zeros((5, 56, 56, 3), np.uint8)
    for t in range(5):
        frames[t, 30:34, 5 + 8 * t : 9 + 8 * t] = 255
    for t in range(5):
        y, x = np.unravel_index(motion(frames)[t].argmax(), (56, 56))
        assert 28 <= y <= 36 and x <= 50
    assert motion(frames[:1]).max() == 0 or motion(frames[:1]).shape == (1, 56, 56)


FRAMES = np.random.default_rng(0).integers(0, 255, (5, 56, 84, 3), np.uint8)


def test_the_centre_is_the_product_of_two_normal_distributions() -> None:
    y, x = norm(28, 14).pdf(np.arange(56) + 0.5), norm(42, 21).pdf(np.arange(84) + 0.5)
    expected = np.outer(y, x) / (norm(0, 14).pdf(0) * norm(0, 21).pdf(0))
    found = centre(FRAMES)
    assert found.shape == (5, 56, 84) and found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-5)


def test_motion_is_blurred_change() -> None:
    grey = FRAMES.astype(np.float64).mean(3)
    change = [np.abs(grey[min(t + 1, 4)] - grey[t] if t < 4 else grey[4] - grey[3]) for t in range(5)]
    expected = np.stack([gaussian_filter(c, 2, mode="mirror", truncate=6) for c in change])
    np.testing.assert_allclose(motion(FRAMES), expected, rtol=0.03)
    np.testing.assert_allclose(motion(FRAMES[:2])[0], motion(FRAMES[:2])[1])
    assert not motion(FRAMES[:1]).any()


def test_noise_is_as_coarse_as_a_map_and_that_of_its_seed() -> None:
    small = np.zeros((5, 14, 14, 3), np.uint8)
    noise = np.random.default_rng(7).random((2, 14, 14), np.float32)
    assert np.array_equal(random(small, 7), noise[[0, 0, 0, 1, 1]])
    assert np.array_equal(random(small[:1], 7), np.random.default_rng(7).random((1, 14, 14), np.float32))
    assert random(FRAMES).shape == (5, 56, 84)
    assert (ones(FRAMES) == np.ones((5, 56, 84))).all() and ones(FRAMES).dtype == np.float32


def test_a_pixel_that_changes_is_spread_by_a_28th_of_the_height() -> None:
    frames = np.zeros((2, 56, 84, 3), np.uint8)
    frames[1, 28, 42] = 200
    found = motion(frames)
    assert found.shape == (2, 56, 84)
    np.testing.assert_allclose(found[:, 28, 42], 200 / (2 * np.pi * 2**2), rtol=0.02)
    np.testing.assert_allclose(found.sum((1, 2)), 200, rtol=1e-4)
