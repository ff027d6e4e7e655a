from __future__ import annotations

import numpy as np
import pytest

from vidcam.metrics.baselines import BASELINES, centre, motion


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
