from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.errors import SettingsError
from vidcam.video.windows import Windowing, long_spans, sliding_windows, windows_with_context


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
    assert list(windows_with_context([], Windowing(4, 2))) == []


def _mirrored(index: int, count: int) -> int:
    """The frame at a position of a clip that goes on in a mirror at both ends, step by step."""
    position, step = 0, 1 if index > 0 else -1
    for _ in range(abs(index)):
        if not 0 <= position + step < count:
            step = -step
        position += step
    return position


@given(windowings(), st.integers(2, 80))
def test_windows_with_context_against_a_walk_between_mirrors(windowing: Windowing, count: int) -> None:
    inside = list(sliding_windows(range(count), windowing))
    found = list(windows_with_context(iter(range(count)), windowing))
    starts = [window.start for window in found]
    assert starts == sorted(set(starts))
    assert [window for window in found if 0 <= window.start <= max(0, count - windowing.span)] == inside
    half, rate = min(windowing.span // 2, count - 1), windowing.sampling_rate
    for window in found:
        assert -half <= window.start < count
        if not 0 <= window.start <= max(0, count - windowing.span):
            positions = [window.start + step * rate for step in range(windowing.length)]
            assert list(window.frames) == [_mirrored(position, count) for position in positions]
    if half:
        assert starts[0] == -half
    if half and half < count and count >= windowing.span:
        assert starts[-1] == count - windowing.span + half


def test_a_single_frame_has_no_context() -> None:
    windowing = Windowing(4, 2)
    assert list(windows_with_context([7], windowing)) == list(sliding_windows([7], windowing))


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


@given(windowings(), st.integers(1, 300), st.integers(4, 6), st.integers(1, 4))
def test_long_spans_hold_the_sliding_windows_with_a_margin(
    windowing: Windowing, count: int, several: int, unit: int
) -> None:
    frames, rate, length = list(range(count)), windowing.sampling_rate, several * windowing.length
    unit = min(unit, windowing.length)
    spans = list(long_spans(iter(frames), windowing, length, unit))
    windows = list(sliding_windows(iter(frames), windowing))
    assert [start for span in spans for start in span.starts] == [w.start for w in windows]
    if windows[0].padded:
        assert [(s.first, s.frames, s.padded) for s in spans] == [(0, windows[0].frames, windows[0].padded)]
        return
    for index, span in enumerate(spans):
        assert span.starts and span.first % unit == 0 and len(span.frames) <= length
        assert list(span.frames) == frames[::rate][span.first : span.first + len(span.frames)]
        begins, ends = span.starts[0] / rate - span.first, span.first + len(span.frames) - span.starts[-1] / rate
        assert begins >= (0 if span.first == 0 else windowing.length - unit + 1 / rate - 1)
        assert ends >= (windowing.length - 1 if index == len(spans) - 1 else 2 * windowing.length - 1)


def test_a_span_of_few_windows_is_refused() -> None:
    with pytest.raises(SettingsError, match="give 64 or more"):
        list(long_spans(range(100), Windowing(16, 8), 63, 2))
