from __future__ import annotations

import numpy as np
import pytest

from vidcam.live.window import ExplainedWindow, stitched
from vidcam.temporal.stitch import at_times, stitch
from vidcam.video.windows import Windowing


def _windows(count: int, windowing: Windowing) -> tuple[list[ExplainedWindow], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    values = [rng.random((2, 3, 3)).astype(np.float32) for _ in range(count)]
    some = [
        ExplainedWindow(0, i * windowing.stride, 0.0, 0.0, windowing, np.zeros((1, 2)), {0: v}, {}, 0.0)
        for i, v in enumerate(values)
    ]
    return some, values


@pytest.mark.parametrize("windowing", [Windowing(8, 2), Windowing(4, 3, 3)], ids=str)
def test_values_are_those_of_the_whole_clip(windowing: Windowing) -> None:
    windows, values = _windows(5, windowing)
    frames = windows[-1].start + windowing.span
    whole = stitch(values, [w.start for w in windows], frames, windowing)
    at = np.linspace(0, frames - 1, 37)
    expected = at_times(whole, list(range(frames)), list(at))
    for position, value in zip(at, expected):
        found = stitched([(w, w.maps[0]) for w in windows], float(position))
        assert found is not None and np.allclose(found, value, atol=1e-6)


def test_a_window_without_a_value_counts_as_zero() -> None:
    windows, _ = _windows(2, Windowing(4, 2))
    ones = np.ones((1, 1), np.float32)
    found = stitched([(windows[0], ones), (windows[1], None)], 2.0)
    assert found is not None and np.allclose(found, 2 / 3)  # weights 2 and 1
    assert stitched([(windows[0], None)], 1.0) is None
    assert stitched([(windows[0], ones)], 9.0) is None


def test_between_two_instants_of_which_a_window_holds_the_later_alone_it_is_that_ones_value() -> None:
    windows, values = _windows(2, Windowing(4, 2))
    found, expected = (stitched([(windows[1], values[1])], position) for position in (1.5, 2.0))
    assert found is not None and expected is not None and np.allclose(found, expected)
