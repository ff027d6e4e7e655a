from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.test_windows import windowings
from vidcam.temporal.stitch import stitch
from vidcam.video.windows import Windowing, sliding_windows, windows_with_context


def _starts(frames: int, windowing: Windowing) -> list[int]:
    return [w.start for w in sliding_windows(range(frames), windowing)]


@given(windowings(), st.integers(1, 60), st.floats(-3, 3))
def test_equal_windows_give_that_value_everywhere(windowing: Windowing, frames: int, value: float) -> None:
    starts = _starts(frames, windowing)
    stitched = stitch(np.full((len(starts), 2, 3), value), starts, frames, windowing)
    assert stitched.shape == (frames, 3)
    np.testing.assert_allclose(stitched, value, rtol=1e-6, atol=1e-30)


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(8, 40), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_against_trilinear_upsampling_and_a_loop(seed: int, steps: int, frames: int, stride: int) -> None:
    windowing = Windowing(8, stride)
    starts = _starts(frames, windowing)
    values = np.random.default_rng(seed).random((len(starts), steps, 3, 2))
    size = (8, 9, 10)
    total, norm = np.zeros((frames, 9, 10)), np.zeros(frames)
    for window, start in zip(values, starts):
        whole = torch.nn.functional.interpolate(torch.tensor(window)[None, None], size=size, mode="trilinear")[0, 0]
        for t in range(8):
            weight = min(t + 1, 8 - t)
            total[start + t] += weight * whole[t].numpy()
            norm[start + t] += weight
    small = torch.tensor(stitch(values, starts, frames, windowing))
    upsampled = torch.nn.functional.interpolate(small[:, None], size=size[1:], mode="bilinear")[:, 0]
    np.testing.assert_allclose(upsampled, total / norm[:, None, None], rtol=1e-5, atol=1e-6)


def test_frames_between_sampled_ones_lie_between_by_hand() -> None:
    # Two steps over a window of two frames, two source frames apart: the frame between is their mean.
    stitched = stitch(np.array([[1.0, 3.0]]), [0], 3, Windowing(2, 1, 2))
    np.testing.assert_allclose(stitched, [1, 2, 3])


@given(windowings(), st.integers(2, 60))
@settings(deadline=None)
def test_windows_that_begin_before_the_clip_count_where_they_lie_in_it(windowing: Windowing, frames: int) -> None:
    rng = np.random.default_rng(frames)
    starts = [w.start for w in windows_with_context(range(frames), windowing)]
    values = rng.random((len(starts), 3))
    total, norm = np.zeros(frames), np.zeros(frames)
    for window, start in zip(values, starts):
        for step in range(windowing.span):
            if 0 <= start + step < frames:
                weight = min(step + 1, windowing.span - step)
                at = np.clip((step / windowing.sampling_rate + 0.5) * 3 / windowing.length - 0.5, 0, 2)
                total[start + step] += weight * np.interp(at, [0, 1, 2], window)
                norm[start + step] += weight
    np.testing.assert_allclose(stitch(values, starts, frames, windowing), total / norm, rtol=1e-5)


def test_steps_on_padding_are_dropped() -> None:
    stitched = stitch(np.array([[1.0, 2.0, 9.0, 9.0]]), [0], 2, Windowing(4, 1))
    np.testing.assert_allclose(stitched, [1, 2])


def test_windows_and_starts_come_in_pairs() -> None:
    with pytest.raises(ValueError):
        stitch(np.ones((3, 1)), [0, 2], 6, Windowing(4, 2, 1))


def test_a_last_window_that_overruns_the_clip_by_hand() -> None:
    found = stitch(np.array([[1.0], [3.0]], np.float32), [0, 2], 5, Windowing(4, 2, 1))
    np.testing.assert_allclose(
        found[:, 0] if found.ndim > 1 else found, [1, 1, (2 * 1 + 1 * 3) / 3, (1 * 1 + 2 * 3) / 3, 3]
    )
    assert found.dtype == np.float32
