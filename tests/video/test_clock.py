from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.video.clock import EARLIEST, at_rate


def _steady(count: int, rate: Fraction | float) -> list[tuple[float, int]]:
    return [(float(n / rate), n) for n in range(count)]


def _shown(frames: list[tuple[float, int]], rate: float, last: float | None = None, most: int = 10**6) -> list[int]:
    last = (frames[-1][0] - frames[0][0]) / max(1, len(frames) - 1) if last is None else last
    found = list(at_rate(frames, rate, last=last, most=most))
    assert all(frame == index for _, index, frame in found)
    return [index for _, index, _ in found]


@given(st.integers(1, 80), st.sampled_from([7.5, 12.5, 15, 16, 24, 25, 29.97, 30, 60, 240]), st.floats(0, 1e5))
def test_frames_of_the_same_rate_are_given_once_each(count: int, rate: float, begin: float) -> None:
    frames = [(begin + n / rate, n) for n in range(count)]
    found = list(at_rate(frames, rate, last=1 / rate, most=100))
    assert [index for _, index, _ in found] == list(range(count))
    np.testing.assert_allclose([instant for instant, _, _ in found], [t for t, _ in frames], rtol=0, atol=1e-9)


@given(st.integers(2, 200), st.sampled_from([15.0, 24.0, 30.0, 16.0]))
def test_times_rounded_to_milliseconds_change_nothing(count: int, rate: float) -> None:
    frames = [(round(1000 * n / rate) / 1000, n) for n in range(count)]
    assert _shown(frames, rate, 1 / rate) == list(range(count))


@given(
    st.lists(st.floats(0.004, 0.5), min_size=1, max_size=60),
    st.floats(4, 60),
)
def test_each_instant_shows_the_nearest_frame(steps: list[float], rate: float) -> None:
    times = np.concatenate([[0.0], np.cumsum(steps)])
    for instant, index, _ in at_rate([(float(t), i) for i, t in enumerate(times)], rate, last=0.1, most=10**6):
        away = np.abs(times - instant)
        assert away[index] <= away.min() + 2e-6 / rate


@given(st.floats(4, 60), st.floats(4, 60), st.integers(1, 100))
def test_there_are_as_many_instants_as_the_clip_lasts(rate: float, own: float, count: int) -> None:
    found = _shown(_steady(count, own), rate, 1 / own)
    assert abs(len(found) - count / own * rate) <= 1.01
    assert found == sorted(found) and found[0] == 0 and abs((count - 1 - found[-1]) / own) <= 1.51 / rate


def test_rates_by_hand() -> None:
    assert _shown(_steady(5, 25), 30) == [0, 1, 2, 3, 3, 4]  # 0, 33, 67, 100, 133, 167 of 0, 40, 80, 120, 160 ms
    assert _shown(_steady(10, 60), 24) == [
        0,
        3,
        5,
        8,
    ]  # an instant between two frames shows the second, as FFmpeg rounds
    assert _shown([(0.0, 0), (0.5, 1), (0.52, 2), (1.0, 3)], 2, last=0.02) == [0, 1, 3]  # the last has its instant
    assert _shown(_steady(8, 8), 16)[:6] == [0, 1, 1, 2, 2, 3]
    ntsc = _shown(_steady(3000, Fraction(30000, 1001)), 30)
    assert len(ntsc) == 3003 and sorted(set(ntsc)) == list(range(3000))  # 1 in 1001 is repeated


def test_a_gap_keeps_the_frame_before_it() -> None:
    frames = [(0.0, 0), (0.1, 1), (5.1, 2), (5.2, 3)]
    found = list(at_rate(frames, 10, last=0.1, most=1000))
    shown = {round(instant, 3): index for instant, index, _ in found}
    assert len(found) == 53 and shown[0.1] == 1 and shown[4.8] == 1 and shown[4.9] == 2 and shown[5.2] == 3
    assert all(frames[index][0] - instant <= EARLIEST + 1e-6 for instant, index, _ in found)


@pytest.mark.parametrize("hours", [0.01, 2, 3000])
def test_a_long_gap_is_shortened_for_windows(hours: float) -> None:
    gap = 3600 * hours
    frames = [(n / 10, n) for n in range(20)] + [(2 + gap + n / 10, 20 + n) for n in range(20)]
    found = list(at_rate(frames, 10, last=0.1, most=16))
    instants, shown = [instant for instant, _, _ in found], [index for _, index, _ in found]
    assert shown.count(19) == 2 * 16 and set(shown) == set(range(40)) and len(found) <= 39 + 32 + 2
    assert instants == sorted(instants) and instants[0] == 0
    np.testing.assert_allclose(instants[-1], 2 + gap + 1.9, atol=1e-6 * gap)
    at = shown.index(19) + 16  # across the jump a window shows one frame only
    assert instants[at] - instants[at - 1] > gap / 2 and set(shown[at - 16 : at + 16]) == {19}


def test_a_picture_and_nothing() -> None:
    assert list(at_rate([(0.0, "a")], 30, last=0, most=16)) == [(0.0, 0, "a")]
    assert list(at_rate([], 30, last=1.0, most=16)) == []
    assert len(list(at_rate([(3.0, "a")], 30, last=1.0, most=16))) == 30
