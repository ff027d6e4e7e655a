from __future__ import annotations

import numpy as np

from tests.live.clock import ManualClock
from vidcam.live.frame import LiveFrame
from vidcam.live.ring import PATIENCE, PlacedFrame, Ring
from vidcam.live.window import ExplainedWindow, LiveWindow
from vidcam.video.windows import Windowing

_WINDOWING = Windowing(length=4, stride=2, rate=10.0)


def _frame(index: int, stretch: int = 0, arrived: float = 0.0) -> PlacedFrame:
    return PlacedFrame(
        LiveFrame(index, stretch, index / 10, arrived, arrived, 10.0, np.zeros((2, 2, 3), np.uint8)), index, _WINDOWING
    )


def _window(start: int, stretch: int = 0) -> LiveWindow:
    return LiveWindow(stretch, start, start / 10, start / 10 + 0.3, _WINDOWING, ())


def _explained(window: LiveWindow) -> ExplainedWindow:
    return ExplainedWindow(window.stretch, window.start, 0.0, 0.0, _WINDOWING, np.zeros((1, 2)), {}, {}, 0.1)


def _given(ring: Ring) -> list[int]:
    found = []
    while (item := ring.next(0.0)) is not None:
        found.append(item[0].frame.index)
    return found


def test_a_frame_waits_for_every_window_that_holds_it() -> None:
    ring = Ring(ManualClock(), skips=True)
    for index in range(6):
        ring.add(_frame(index))
        if index == 3:
            ring.offer(_window(0))
    assert _given(ring) == []  # the network has not begun
    window = ring.take()
    assert window is not None and _given(ring) == []
    ring.explained(_explained(window))
    assert _given(ring) == [0, 1]  # frame 2 is in the window that begins at it, too
    ring.offer(_window(2))
    window = ring.take()
    assert window is not None
    ring.explained(_explained(window))
    placed = ring.next(0.0)
    assert placed is not None and [w.start for w in placed[1]] == [0, 2]
    assert _given(ring) == [3]


def test_a_late_network_skips_windows_and_no_frame() -> None:
    ring = Ring(ManualClock(), skips=True)
    for index in range(10):
        ring.add(_frame(index))
        if index >= 3 and index % 2:
            ring.offer(_window(index - 3))
    assert ring.windows_skipped == 3
    window = ring.take()
    assert window is not None and window.start == 6
    ring.explained(_explained(window))
    assert _given(ring) == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_frame_goes_on_after_its_patience() -> None:
    clock = ManualClock()
    ring = Ring(clock, skips=True)
    ring.add(_frame(0))
    clock.seconds = 0.6 + PATIENCE - 0.01
    assert _given(ring) == []
    clock.seconds += 0.02
    assert _given(ring) == [0]


def test_frames_that_are_handed_over_wait_as_long_as_it_takes() -> None:
    clock = ManualClock()
    ring = Ring(clock, skips=False)
    ring.add(_frame(0))
    clock.seconds = 1e6
    assert _given(ring) == []
    ring.end()
    assert not ring.is_over and _given(ring) == [0] and ring.is_over


def test_a_new_stretch_and_the_end_leave_no_frame_behind() -> None:
    ring = Ring(ManualClock(), skips=True)
    for index in range(3):
        ring.add(_frame(index))
    ring.add(_frame(3, stretch=1))
    assert _given(ring) == [0, 1, 2]
    ring.end()
    assert _given(ring) == [3] and ring.is_over and ring.take() is None


def test_a_full_ring_gives_its_first_frame() -> None:
    ring = Ring(ManualClock(), skips=False)
    for index in range(49):
        ring.add(_frame(index))
    assert _given(ring) == []
    ring.add(_frame(49))
    assert _given(ring) == [0]


def test_windows_that_hold_no_later_frame_are_forgotten() -> None:
    ring = Ring(ManualClock(), skips=True)
    for index in range(200):
        ring.add(_frame(index))
        if index >= 3 and index % 2:
            ring.offer(_window(index - 3))
            window = ring.take()
            assert window is not None
            ring.explained(_explained(window))
        while (item := ring.next(0.0)) is not None:
            assert len(item[1]) <= 4


def test_nothing_is_given_after_a_failure() -> None:
    ring = Ring(ManualClock(), skips=True)
    ring.add(_frame(0))
    ring.offer(_window(0))
    ring.fail()
    assert ring.is_over and ring.take() is None and _given(ring) == []
