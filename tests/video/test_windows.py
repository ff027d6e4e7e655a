from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.errors import SettingsError
from vidcam.video.windows import Windowing, sliding_windows


@st.composite
def windowings(draw: st.DrawFn) -> Windowing:
    length, rate = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    span = (length - 1) * rate + 1
    return Windowing(length, draw(st.integers(1, span)), rate)


@given(windowings(), st.integers(1, 80))
def test_windows_against_slices_of_a_list(windowing: Windowing, count: int) -> None:
    frames = list(range(count))
    windows = list(sliding_windows(iter(frames), windowing))
    assert all(len(w.frames) == windowing.length for w in windows)
    assert windows[-1].frames[-1] == count - 1
    if count < windowing.span:
        sampled = frames[:: windowing.sampling_rate]
        assert [w.start for w in windows] == [0]
        assert windows[0].padded == windowing.length - len(sampled)
        assert list(windows[0].frames) == sampled + [count - 1] * windows[0].padded
        return
    last = count - windowing.span
    regular = list(range(0, last + 1, windowing.stride))
    assert [w.start for w in windows] == sorted({*regular, last})
    for w in windows:
        assert w.padded == 0
        assert list(w.frames) == frames[w.start : w.start + windowing.span : windowing.sampling_rate]
    covered = {i for w in windows for i in range(w.start, w.start + windowing.span)}
    assert covered == set(frames)


def test_an_empty_stream_has_no_window() -> None:
    assert list(sliding_windows([], Windowing(4, 2))) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1), "length is 0"),
        ((4, 0, 1), "stride is 0"),
        ((4, 1, 0), "sampling rate is 0"),
        ((4, 8, 2), "at most 7"),
    ],
)
def test_impossible_windows(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Windowing(*arguments)
