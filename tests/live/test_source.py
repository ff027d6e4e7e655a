from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pytest

from tests.live.clock import ManualClock
from vidcam.errors import ClipError
from vidcam.live.source import HandedOver, PacedFile, Reconnecting, live_source
from vidcam.live.stream import Connect, Connection
from vidcam.playground.demo import demo_clip
from vidcam.video.reader import Clip
from vidcam.video.source import ArraySource

Given = tuple[float | None, float, int]
"""Seconds of the stream, seconds on the clock, and width of the picture."""


def _connections(clock: ManualClock, *given: Sequence[Given] | OSError, ended: str = "") -> Connect:
    """Return a function that opens one connection after the other; those behind the last cannot be opened."""
    coming = iter(given)

    @contextmanager
    def connect() -> Iterator[Connection]:
        frames = next(coming, OSError("Connection refused"))
        if isinstance(frames, OSError):
            raise frames
        yield Connection(10.0, _frames(clock, frames), ended)

    return connect


def _frames(clock: ManualClock, given: Sequence[Given]) -> Iterator[tuple[float | None, np.ndarray]]:
    for seconds, now, width in given:
        clock.seconds = max(clock.seconds, now)
        yield seconds, np.zeros((8, width, 3), np.uint8)


def _steady(begin: float, count: int, clock: float, width: int = 16) -> list[Given]:
    return [(begin + i / 10, clock + i / 10, width) for i in range(count)]


def test_a_file_is_played_at_its_own_pace() -> None:
    clock = ManualClock()
    frames = list(PacedFile(Clip(demo_clip()), clock).frames())
    assert np.allclose([f.arrived for f in frames], [f.time for f in frames])
    assert [f.index for f in frames] == list(range(80))


def test_a_file_that_was_read_late_is_not_played_faster_than_its_pace_for_long() -> None:
    clock = ManualClock()
    frames = PacedFile(Clip(demo_clip()), clock).frames()
    first = next(frames)
    clock.seconds += 100.0
    later = list(frames)
    assert later[0].arrived == 100.0 and clock.seconds >= 100.0 + later[-1].time - first.time - 2.1


def test_frames_that_are_handed_over_do_not_wait_for_the_clock() -> None:
    clock = ManualClock()
    source = live_source(ArraySource(np.zeros((5, 8, 8, 3), np.uint8), 10.0), clock, print, None, 16.0)
    assert isinstance(source, HandedOver) and not source.paced
    assert [f.time for f in source.frames()] == [0.0, 0.1, 0.2, 0.3, 0.4] and clock.waits == []


def test_a_stream_that_ends_is_connected_again_with_growing_waits() -> None:
    clock, notes = ManualClock(), []
    refused = OSError("Connection refused")
    connect = _connections(clock, _steady(50.0, 3, 0.0), refused, refused, _steady(7.0, 3, 9.0))
    frames = list(islice(Reconnecting("camera", connect, clock, notes.append).frames(), 6))
    assert [f.stretch for f in frames] == [0, 0, 0, 1, 1, 1]
    assert [f.index for f in frames] == list(range(6))
    assert np.allclose([f.time for f in frames], [0.0, 0.1, 0.2, 9.0, 9.1, 9.2])  # the clock of the run goes on
    assert clock.waits == [0.5, 1.0, 2.0]
    assert notes == [
        "camera: the stream has ended; it is tried again in 0.5 s",
        "camera: Connection refused; it is tried again in 1 s",
        "camera: Connection refused; it is tried again in 2 s",
    ]


def test_waits_begin_anew_after_frames() -> None:
    clock = ManualClock()
    connect = _connections(clock, _steady(0.0, 2, 0.0), OSError("no"), _steady(0.0, 2, 5.0), _steady(0.0, 2, 9.0))
    list(islice(Reconnecting("camera", connect, clock, lambda note: None).frames(), 6))
    assert clock.waits == [0.5, 1.0, 0.5]


@pytest.mark.parametrize(
    "second",
    [_steady(0.3, 3, 0.3, width=32), _steady(0.2 + 5.0, 3, 5.3), _steady(-9.0, 3, 0.3)],
    ids=["another size", "a gap", "a clock set back"],
)
def test_a_break_inside_a_connection_begins_a_stretch(second: list[Given]) -> None:
    clock, notes = ManualClock(), []
    connect = _connections(clock, _steady(0.0, 3, 0.0) + second)
    frames = list(islice(Reconnecting("camera", connect, clock, notes.append).frames(), 6))
    assert [f.stretch for f in frames] == [0, 0, 0, 1, 1, 1]
    assert np.all(np.diff([f.time for f in frames]) > 0)
    assert notes == (["camera: pictures are 32x8 from now on"] if second[0][2] == 32 else [])


def test_frames_before_the_first_time_do_not_hide_the_clock_of_the_stream() -> None:
    """A camera of RTSP gives its first picture without a time. Those behind it came in one burst, 1.2 s after they were taken."""
    clock = ManualClock()
    given = (
        [(None, 10.0, 16)]
        + [(0.1 * i, 10.0, 16) for i in range(5)]
        + [(0.1 * i, 9.0 + 0.1 * i, 16) for i in range(12, 20)]
    )
    frames = list(islice(Reconnecting("camera", _connections(clock, given), clock, print).frames(), len(given)))
    assert {f.stretch for f in frames} == {0}
    assert np.allclose(np.diff([f.time for f in frames[1:6]]), 0.1, atol=0.002)
    assert np.allclose([f.captured for f in frames[6:]], [f.arrived for f in frames[6:]], atol=0.01)


def test_times_rise_over_a_break_after_a_burst() -> None:
    """The first second of a stream came at once, so that its clock is ahead; then the size changes, then the connection."""
    clock = ManualClock()
    burst = [(0.1 * i, max(0.0, 0.1 * i - 1.0), 16) for i in range(20)]
    wider = [(0.1 * i, 0.1 * i - 1.0, 32) for i in range(20, 25)]
    connect = _connections(clock, burst + wider, [(0.1 * i, 2.0 + 0.1 * i, 32) for i in range(5)])
    frames = list(islice(Reconnecting("camera", connect, clock, lambda note: None).frames(), 30))
    assert [f.stretch for f in frames] == [0] * 20 + [1] * 5 + [2] * 5
    steps = np.diff([f.time for f in frames])
    assert np.all(steps > 0) and np.allclose(steps[20:24], 0.1) and np.allclose(steps[25:], 0.1)
    assert frames[21].captured == pytest.approx(frames[21].arrived, abs=0.01)


def test_a_frame_without_a_time_is_a_step_behind_the_one_before() -> None:
    clock, notes = ManualClock(), []
    given = [(0.1 * i if i != 5 else None, 3.0 if i < 20 else 1.0 + 0.1 * i, 16) for i in range(24)]
    frames = list(islice(Reconnecting("camera", _connections(clock, given), clock, notes.append).frames(), len(given)))
    assert {f.stretch for f in frames} == {0} and notes == []
    assert np.allclose(np.diff([f.time for f in frames]), 0.1)
    assert frames[-1].captured == pytest.approx(frames[-1].arrived, abs=0.01)


def test_equal_and_swapped_times_are_made_to_rise() -> None:
    clock = ManualClock()
    times = [0.0, 0.1, 0.1, 0.09, 0.3]
    connect = _connections(clock, [(t, i / 10, 16) for i, t in enumerate(times)])
    frames = list(islice(Reconnecting("camera", connect, clock, print).frames(), 5))
    assert {f.stretch for f in frames} == {0} and np.all(np.diff([f.time for f in frames]) > 0)


def test_a_source_without_a_clock_has_the_times_of_arrival() -> None:
    clock = ManualClock()
    connect = _connections(clock, [(None, 0.0, 16), (None, 0.13, 16), (None, 0.2, 16)])
    frames = list(islice(Reconnecting("camera", connect, clock, print).frames(), 3))
    assert np.allclose([f.time for f in frames], [0.0, 0.13, 0.2])


def test_standard_input_ends_the_run_and_must_hold_frames() -> None:
    clock = ManualClock()
    connect = _connections(clock, _steady(0.0, 2, 0.0), [])
    assert len(list(Reconnecting("standard input", connect, clock, print, ends=True).frames())) == 2
    with pytest.raises(ClipError, match="holds no frame"):
        list(Reconnecting("standard input", connect, clock, print, ends=True).frames())


def test_a_stopped_clock_ends_the_waiting() -> None:
    clock = ManualClock()
    clock.stop()
    assert list(Reconnecting("camera", _connections(clock), clock, print).frames()) == []


def test_missing_and_damaged_pictures_are_told() -> None:
    clock, notes = ManualClock(), []
    given = _steady(0.0, 3, 0.0) + _steady(1.2, 40, 1.2)

    @contextmanager
    def connect() -> Iterator[Connection]:
        connection = Connection(10.0, iter(()))

        def frames() -> Iterator[tuple[float | None, np.ndarray]]:
            for index, frame in enumerate(_frames(clock, given)):
                connection.damaged += index in (4, 5, 6)
                yield frame

        connection.frames = frames()
        yield connection

    frames = list(islice(Reconnecting("camera", connect, clock, notes.append).frames(), 43))
    assert {f.stretch for f in frames} == {0}
    assert notes == [
        "camera: there is no picture for 1.0 s; the one before is held",
        "camera: the stream is damaged in 1 place",
    ]


def test_the_time_in_buffers_counts_for_the_delay() -> None:
    clock = ManualClock()
    clock.seconds = 100.0
    burst = [(7.0 + i / 10, 100.0, 16) for i in range(5)]  # held while the stream was analysed
    steady = [(7.5 + i / 10, 100.1 + i / 10, 16) for i in range(5)]
    late = [(8.0 + i / 10, 103.0, 16) for i in range(5)]  # decoded late: they waited in a buffer
    connect = _connections(clock, burst + steady + late)
    frames = list(islice(Reconnecting("camera", connect, clock, print).frames(), 15))
    assert {f.stretch for f in frames} == {0}
    waited = [f.arrived - f.captured for f in frames]
    assert np.allclose(waited[4:10], 0.0, atol=1e-3)
    assert np.allclose(waited[10:], [2.4, 2.3, 2.2, 2.1, 2.0], atol=1e-3)


def test_a_slow_clock_of_a_stream_is_no_delay() -> None:
    clock = ManualClock()
    connect = _connections(clock, [(i / 10 * (1 - 5e-5), i / 10, 16) for i in range(3000)])
    frames = list(islice(Reconnecting("camera", connect, clock, print).frames(), 3000))
    assert max(f.arrived - f.captured for f in frames) < 1e-3


def test_a_late_reader_of_a_file_is_behind_its_pace() -> None:
    clock = ManualClock()
    frames = PacedFile(Clip(demo_clip()), clock).frames()
    next(frames)
    clock.seconds += 1.0
    late = next(frames)
    assert late.arrived == 1.0 and np.isclose(late.captured, late.time)
