"""Ring: the frames and windows between the threads of a live run, bounded in number."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil
from threading import Condition

from vidcam.live.clock import Clock
from vidcam.live.frame import LiveFrame
from vidcam.live.window import ExplainedWindow, LiveWindow
from vidcam.video.windows import Windowing

PATIENCE = 2.0
"""Seconds beyond a window that a frame of a paced source is held for the windows that hold it."""


@dataclass(frozen=True)
class PlacedFrame:
    """A frame and its place among the windows.

    Attributes:
        frame: the frame.
        position: in instants of its stretch.
        windowing: of its stretch.
    """

    frame: LiveFrame
    position: float
    windowing: Windowing

    @property
    def last_window(self) -> int:
        """Start of the last regular window that holds the frame."""
        return ceil(self.position) // self.windowing.stride * self.windowing.stride


class Ring:
    """The frames that wait for their windows, and the windows that wait for the network or are explained.

    One thread decodes (`add`, `offer`, `end`), one runs the network (`take`, `explained`), one draws (`next`). A frame is
    given to the last one when every window that holds it is explained or skipped; or, so that frames go on while the
    network or the source does not, when it has waited for a window and `PATIENCE` seconds, or when the ring is full.

    Args:
        clock: of the run.
        skips: True if a window that the network has not begun when the next one is complete is skipped. False if
            `offer` waits for the network, for frames that are not paced.

    Attributes:
        windows_skipped: number of windows.
        arrived: seconds on the monotonic clock of the last frame.
    """

    def __init__(self, clock: Clock, *, skips: bool) -> None:
        self._clock, self._skips = clock, skips
        self._changed = Condition()
        self._frames: deque[PlacedFrame] = deque()
        self._explained: deque[ExplainedWindow] = deque()
        self._waiting: LiveWindow | None = None  # for the network
        self._running: LiveWindow | None = None
        self._offered = -1  # start of the newest window of the newest stretch
        self._stretch = -1
        self._ended = self._failed = False
        self.windows_skipped = 0
        self.arrived = clock.now()

    def add(self, placed: PlacedFrame) -> None:
        """Append a frame; wait while the ring is full."""
        with self._changed:
            while self._is_full(placed) and not self._closed:
                self._changed.wait(0.1)
            if placed.frame.stretch != self._stretch:
                self._stretch, self._offered = placed.frame.stretch, -1
            self._frames.append(placed)
            self.arrived = placed.frame.arrived
            self._changed.notify_all()

    def offer(self, window: LiveWindow) -> None:
        """Give a window to the network; a window that it has not begun is skipped, or waited for."""
        with self._changed:
            while self._waiting is not None and not self._skips and not self._closed:
                self._changed.wait(0.1)
            self.windows_skipped += self._waiting is not None
            self._waiting, self._offered = window, window.start
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no frame comes any more; those that wait are still given."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self) -> None:
        """End at once, because a thread has failed; what waits is dropped."""
        with self._changed:
            self._failed = True
            self._changed.notify_all()

    def take(self) -> LiveWindow | None:
        """Return the next window for the network, which waits for it; None at the end."""
        with self._changed:
            while self._waiting is None and not self._ended and not self._closed:
                self._changed.wait(0.1)
            if self._closed:
                return None
            self._running, self._waiting = self._waiting, None
            self._changed.notify_all()
            return self._running

    def explained(self, window: ExplainedWindow) -> None:
        """Take the result of the window that `take` returned last."""
        with self._changed:
            self._running = None
            self._explained.append(window)
            self._changed.notify_all()

    def next(self, seconds: float) -> tuple[PlacedFrame, list[ExplainedWindow]] | None:
        """Return the next frame and the explained windows of its stretch that end at it or later; None after a time.

        Args:
            seconds: to wait at most.
        """
        with self._changed:
            if not self._is_ready():
                self._changed.wait(seconds)
            if not self._is_ready():
                return None
            placed = self._frames.popleft()
            self._forget(placed)
            self._changed.notify_all()
            return placed, [w for w in self._explained if w.stretch == placed.frame.stretch]

    @property
    def is_over(self) -> bool:
        """True if no frame comes any more and none waits, or a thread has failed."""
        with self._changed:
            return self._closed or (self._ended and not self._frames)

    @property
    def _closed(self) -> bool:
        return self._failed

    def _is_ready(self) -> bool:
        """Return True if the first frame may be given."""
        if not self._frames or self._closed:
            return False
        first = self._frames[0]
        if self._is_full(first) or self._is_late(first):
            return True
        undecided = (w for w in (self._running, self._waiting) if w is not None)
        if any(w.stretch == first.frame.stretch and w.start <= ceil(first.position) for w in undecided):
            return False
        over = self._ended or first.frame.stretch != self._stretch
        return over or self._offered >= first.last_window

    def _is_late(self, placed: PlacedFrame) -> bool:
        return self._skips and self._clock.now() >= placed.frame.arrived + _window_seconds(placed) + PATIENCE

    def _is_full(self, placed: PlacedFrame) -> bool:
        """Return True if the ring has the frames of a window and a stride, and of `PATIENCE` and a half more."""
        return len(self._frames) >= placed.frame.frame_rate * (2 * _window_seconds(placed) + 1.5 * PATIENCE) + 8

    def _forget(self, placed: PlacedFrame) -> None:
        """Forget windows that hold neither this frame nor a later one."""
        stretch, position = placed.frame.stretch, int(placed.position)
        while self._explained and (
            self._explained[0].stretch < stretch
            or (
                self._explained[0].stretch == stretch
                and self._explained[0].start + self._explained[0].windowing.span <= position
            )
        ):
            self._explained.popleft()


def _window_seconds(placed: PlacedFrame) -> float:
    """Return the seconds that a window and its stride last."""
    windowing = placed.windowing
    return (windowing.span + windowing.stride) / (windowing.rate or placed.frame.frame_rate)
