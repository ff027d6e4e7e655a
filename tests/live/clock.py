"""A clock that is set by hand: waiting takes no time."""

from __future__ import annotations

from vidcam.live.clock import Clock


class ManualClock(Clock):
    """Seconds from 0 on; `wait` moves them forward."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.seconds += max(0.0, seconds)
        return self.stopped
