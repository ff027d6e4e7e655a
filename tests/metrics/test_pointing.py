from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidcam.metrics.pointing import clip_hit, dilate, frame_hits


@given(st.integers(0, 1000), st.floats(0, 6))
def test_near_is_the_distance_to_the_nearest_pixel_of_the_mask(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 11)) < 0.06
    ys, xs = np.nonzero(mask)
    for y in range(9):
        for x in range(11):
            least = min((np.hypot(y - a, x - b) for a, b in zip(ys, xs)), default=np.inf)
            if abs(least - tolerance) > 1e-3:
                assert dilate(mask, tolerance)[y, x] == (least <= tolerance)


def test_frames_are_hit_where_their_own_peak_lies_on_the_mask() -> None:
    heat = np.zeros((4, 8, 8), np.float32)
    mask = np.zeros((4, 8, 8), bool)
    mask[:3, 2:4, 2:4] = True
    heat[0, 3, 3] = 5  # on it
    heat[1, 5, 3] = 1  # two pixels below
    heat[2, 7, 7] = 9  # far
    heat[3, 0, 0] = 99  # nothing to see there
    assert frame_hits(heat, mask, 0).tolist() == [1, 0, 0]
    assert frame_hits(heat, mask, 2).tolist() == [1, 1, 0]


def test_a_map_without_an_opinion_gets_what_chance_would_give() -> None:
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 0, :2] = True
    assert frame_hits(np.ones((1, 4, 4)), mask, 0).tolist() == [2 / 16]
    assert clip_hit(np.ones((2, 4, 4)), np.concatenate([mask, ~mask]), 0) == 0.5


def test_a_clip_is_hit_in_space_and_in_time() -> None:
    heat, mask = np.zeros((3, 4, 4)), np.zeros((3, 4, 4), bool)
    mask[1, 1, 1] = True
    heat[1, 1, 1] = 1
    assert clip_hit(heat, mask, 0) == 1
    heat[0, 1, 1] = 2  # the right place at the wrong time
    assert clip_hit(heat, mask, 0) == 0
