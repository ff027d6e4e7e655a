from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.errors import SettingsError
from vidcam.temporal.motion import LEAST_BITS, MotionShare, motion_share, no_motion_share, part_of
from vidcam.temporal.stitch import stitch
from vidcam.video.windows import Windowing

WINDOWS = Windowing(4, 2)  # frozen at their third frames
HEAT = st.lists(st.tuples(st.floats(0, 1e3, width=32), st.floats(0, 1e3, width=32)), min_size=1, max_size=20)


@given(HEAT)
def test_motion_and_appearance_add_up_to_the_whole(pairs: list[tuple[float, float]]) -> None:
    heat, frozen = np.array(pairs, np.float32).T
    motion, appearance = part_of(heat, frozen, "motion"), part_of(heat, frozen, "appearance")
    for got_motion, got_appearance, whole, still in zip(motion, appearance, heat, frozen):
        assert got_motion == (whole - still if whole > still else 0)
        assert got_appearance == (still if whole > still else whole)
    np.testing.assert_allclose(motion + appearance, heat, rtol=1e-6)
    assert part_of(heat, frozen, "whole") is heat


def test_no_such_evidence() -> None:
    wrong: Any = "sound"
    with pytest.raises(SettingsError, match="no evidence 'sound'; choose one of whole, motion, appearance"):
        part_of(np.zeros(1), np.zeros(1), wrong)


def _share(p: list[float], frozen: list[float], *, inside: list[bool] | None = None, classes: int = 4) -> MotionShare:
    starts = [2 * i for i in range(len(p))]
    return motion_share(
        np.array(p),
        np.array(frozen),
        starts,
        np.ones(len(p), bool) if inside is None else np.array(inside),
        WINDOWS,
        lambda values: stitch(values, starts, starts[-1] + 4, WINDOWS),
        classes,
        [f"class {i}" for i in range(len(p))],
    )


def _by_hand(p: list[float], frozen: list[float], choose: Any, classes: int = 4) -> float:
    """The clip's share, window by window: bits of motion over bits above chance, cut to [0, 1]."""
    motion, above = 0.0, 0.0
    for i in range(len(p)):
        if log2(p[i] * classes) < LEAST_BITS:
            continue
        frames = {2 * j + 2: frozen[j] for j in range(len(p)) if 2 * i <= 2 * j + 2 < 2 * i + 4}
        motion += log2(p[i] / choose(frames, 2 * i + 2))
        above += log2(p[i] * classes)
    return min(1.0, max(0.0, motion / above))


def test_the_share_of_a_clip_by_hand() -> None:
    p, frozen = [0.9, 0.8, 0.95, 0.3], [0.3, 0.5, 0.4, 0.01]  # the last window is near chance
    found = _share(p, frozen)
    assert found.share == pytest.approx(_by_hand(p, frozen, lambda frames, middle: frames[middle]))
    assert found.low == pytest.approx(_by_hand(p, frozen, lambda frames, middle: max(frames.values())))
    assert found.high == pytest.approx(_by_hand(p, frozen, lambda frames, middle: min(frames.values())))
    assert found.low < found.share < found.high
    expected = [log2(a / b) / log2(4 * a) for a, b in zip(p[:3], frozen)]
    np.testing.assert_allclose(found.windows[:3], expected)
    assert np.isnan(found.windows[3]) and np.isnan(found.window_range[3]).all()
    # A window holds the frozen frame of the window before, too, at its first frame.
    held = [(0.3,), (0.5, 0.3), (0.4, 0.5)]
    expected = [[log2(a / max(b)) / log2(4 * a), log2(a / min(b)) / log2(4 * a)] for a, b in zip(p, held)]
    np.testing.assert_allclose(found.window_range[:3], expected)
    assert found.frozen == (("class 0", 1), ("class 1", 1), ("class 2", 1))


def test_the_share_around_a_frame_is_that_of_its_windows() -> None:
    found = _share([0.9, 0.3], [0.3, 0.1])
    assert found.frames.shape == (6,) and np.isnan(found.frames[4:]).all()  # of the second window alone
    np.testing.assert_allclose(found.frames[:4], found.windows[0], rtol=1e-6)
    found = _share([1.0, 1.0], [1.0, 0.25])
    assert (found.frames[0], found.frames[5]) == (0, 1) and 0 < found.frames[2] < found.frames[3] < 1


def test_a_share_beyond_its_ends_is_cut_and_said() -> None:
    above = _share([0.9], [0.01])
    assert above.share == 1 and above.unclamped == pytest.approx(log2(90) / log2(3.6))
    assert "cut from 3.51, because frozen windows have it below chance" in above.notes("waving")[0]
    below = _share([0.5], [0.9])
    assert below.share == 0 and below.unclamped is not None and below.unclamped < 0
    assert "because frozen windows have more of it" in below.notes("waving")[0]
    for found, cut in ((above, 1), (below, 0)):  # those of a window, too
        assert found.windows.tolist() == [cut] and found.window_range.tolist() == [[cut, cut]]
    inside = _share([0.9], [0.5])
    assert "cut" not in inside.notes("waving")[0]
    assert (
        inside.notes("waving")[1]
        == "frozen at its middle frame, a window of waving is taken for class 0 (1 of 1 window)"
    )


@pytest.mark.parametrize("p", [0.0, 0.2, 0.25, 0.35])
def test_near_chance_there_is_none(p: float) -> None:
    found = _share([p, p], [0.2, 0.0])
    assert (found.share, found.low, found.high, found.unclamped) == (None,) * 4
    assert np.isnan(found.frames).all() and found.written() == "undefined"
    assert found.notes("waving")[0] == (
        "the motion share of waving is undefined: its probability is near chance in every window"
    )


def test_probabilities_that_underflow() -> None:
    found = _share([1.0], [0.0])
    assert found.share == 1 and found.unclamped is not None and np.isfinite(found.unclamped)


def test_windows_over_the_ends_of_a_clip_are_not_counted() -> None:
    p, frozen = [0.9, 0.9, 0.9], [0.9, 0.3, 0.9]
    found = _share(p, frozen, inside=[False, True, False])
    assert found.share == pytest.approx(log2(3) / log2(3.6)) and len(found.windows) == 1
    assert found.low == 0  # frozen at its first frame, the middle of the window before
    assert found.frozen == (("class 1", 1),)


def test_a_target_without_a_share() -> None:
    found = no_motion_share("it is a value", 2, 5)
    assert (found.share, found.undefined) == (None, "it is a value")
    assert np.isnan(found.windows).all() and found.window_range.shape == (2, 2) and found.frames.shape == (5,)
    assert found.notes("a") == ("the motion share of a is undefined: it is a value",)
